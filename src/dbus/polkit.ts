/**
 * Asks polkit whether a caller may do something: which action stands for which method, and the
 * question itself. The actions are described in dbus/org.blkmirror.policy.
 */
import { Variant } from 'dbus-next';
import { MirrorError } from '../model/errors';
import { MAX_POLKIT_QUESTIONS, POLKIT_DEADLINE_MS, POLKIT_DIALOG_DEADLINE_MS } from './limits';

export type PolkitAction = (typeof POLKIT_ACTIONS)[keyof typeof POLKIT_ACTIONS];

/** Every method that changes something, as interface and member below the bus name. */
export const POLKIT_ACTIONS = {
  'Manager.Up': 'org.blkmirror.configure',
  'Manager.Down': 'org.blkmirror.configure',
  'Manager.Reload': 'org.blkmirror.configure',
  'Device.Promote': 'org.blkmirror.manage-role',
  'Device.Demote': 'org.blkmirror.manage-role',
  'Device.Connect': 'org.blkmirror.manage-replication',
  'Device.Disconnect': 'org.blkmirror.manage-replication',
  'Device.Resync': 'org.blkmirror.manage-replication',
  'Device.ResumeIo': 'org.blkmirror.manage-replication',
  'Job.Cancel': 'org.blkmirror.manage-replication',
  'Device.Attach': 'org.blkmirror.manage-copies',
  'Device.Detach': 'org.blkmirror.manage-copies',
  'Device.Invalidate': 'org.blkmirror.manage-copies',
  'Device.InvalidateRemote': 'org.blkmirror.manage-copies',
  'Device.Outdate': 'org.blkmirror.manage-copies',
} as const;

/** Those that overwrite or give up data by an option need the right to do so as well. */
export const DISCARDING_ACTION = 'org.blkmirror.manage-copies';

/** A call of this side to another on the bus: the body of its answer. */
export type BusCall = (call: {
  readonly destination: string;
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly signature: string;
  readonly body: readonly unknown[];
  readonly deadlineMs: number;
}) => Promise<readonly unknown[]>;

/** `absent`: there is no polkit on this bus. `challenge`: a password would be asked for. */
export type PolkitAnswer = 'yes' | 'no' | 'challenge' | 'absent';

const ALLOW_INTERACTION = 1;
const ABSENT = ['ServiceUnknown', 'NameHasNoOwner', 'Spawn.ServiceNotFound'].map(
  (name) => `org.freedesktop.DBus.Error.${name}`,
);

export class Polkit {
  private questions = 0;

  constructor(private readonly call: BusCall) {}

  /**
   * @param sender unique bus name of the caller
   * @param interactive whether the caller's user may be asked for a password, which takes a while
   * @throws NotAuthorized when polkit does not answer, or is asked too much at once
   */
  async ask(sender: string, action: PolkitAction, interactive: boolean): Promise<PolkitAnswer> {
    // Root is never asked about: it cannot be kept out by others' questions.
    if (this.questions >= MAX_POLKIT_QUESTIONS) {
      throw new MirrorError('NotAuthorized', 'polkit is being asked too much at once; try again');
    }
    this.questions++;
    try {
      return await this.question(sender, action, interactive);
    } finally {
      this.questions--;
    }
  }

  private async question(
    sender: string,
    action: PolkitAction,
    interactive: boolean,
  ): Promise<PolkitAnswer> {
    const subject = ['system-bus-name', { name: new Variant('s', sender) }];
    try {
      const [answer] = await this.call({
        destination: 'org.freedesktop.PolicyKit1',
        path: '/org/freedesktop/PolicyKit1/Authority',
        interface: 'org.freedesktop.PolicyKit1.Authority',
        member: 'CheckAuthorization',
        signature: '(sa{sv})sa{ss}us',
        body: [subject, action, {}, interactive ? ALLOW_INTERACTION : 0, ''],
        deadlineMs: interactive ? POLKIT_DIALOG_DEADLINE_MS : POLKIT_DEADLINE_MS,
      });
      return readAnswer(answer);
    } catch (error) {
      if (isAbsent(error)) return 'absent';
      const why = error instanceof Error ? error.message : String(error);
      const message = `polkit does not say whether ${action} is allowed: ${why}`;
      throw new MirrorError('NotAuthorized', message, { cause: error });
    }
  }
}

/** (is_authorized, is_challenge, details) */
function readAnswer(answer: unknown): PolkitAnswer {
  const [authorized, challenge] = Array.isArray(answer) ? (answer as readonly unknown[]) : [];
  if (authorized === true) return 'yes';
  return challenge === true ? 'challenge' : 'no';
}

/** The bus's own name of the error is kept in the cause. */
function isAbsent(error: unknown): boolean {
  const cause = error instanceof MirrorError ? error.cause : error;
  const type = (cause as { readonly type?: unknown } | undefined)?.type;
  return typeof type === 'string' && ABSENT.includes(type);
}
