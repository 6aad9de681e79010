/**
 * Who may change something. Reading is free for everyone.
 *
 * Root and the user the service runs as always may; others as polkit says, where there is one
 * on the bus. A caller's user is asked of the bus once and kept; unique names are never given
 * twice during the life of a bus, so what is kept cannot go stale, and
 * {@link BusAuthorizer.forget} drops it when the bus is another one.
 */
import { MirrorError } from '../model/errors';
import { MAX_KNOWN_CALLERS } from './limits';
import { DISCARDING_ACTION, POLKIT_ACTIONS } from './polkit';
import type { Polkit, PolkitAction } from './polkit';

/** A method call that wants to change something. */
export interface Request {
  /** Unique bus name of the caller. */
  readonly sender: string;
  /** Interface and method, such as `org.blkmirror.Mirror1.Device.Promote`. */
  readonly method: string;
  /** The caller's user may be asked for a password. */
  readonly interactive: boolean;
  /** It may overwrite or give up data (an option such as force says so). */
  readonly discards: boolean;
}

export interface Authorizer {
  /** @throws NotAuthorized */
  authorize(request: Request): Promise<void>;
}

export class BusAuthorizer implements Authorizer {
  private readonly uids = new Map<string, number>();

  constructor(
    /** Asks the bus: org.freedesktop.DBus.GetConnectionUnixUser. */
    private readonly lookupUid: (sender: string) => Promise<number>,
    private readonly ownUid: number,
    private readonly polkit: Pick<Polkit, 'ask'>,
  ) {}

  async authorize(request: Request): Promise<void> {
    const uid = await this.uidOf(request.sender);
    if (uid === 0 || uid === this.ownUid) return;
    for (const action of actionsFor(request)) await this.askPolkit(request, uid, action);
  }

  /** After the bus was lost: names of another bus mean others. */
  forget(): void {
    this.uids.clear();
  }

  private async askPolkit(request: Request, uid: number, action: PolkitAction): Promise<void> {
    const answer = await this.polkit.ask(request.sender, action, request.interactive);
    const name = request.method.slice(request.method.lastIndexOf('.') + 1);
    const refused = `${name} is refused to user ${uid}`;
    switch (answer) {
      case 'yes':
        return;
      case 'absent':
        throw refusal(`${refused}: only ${this.privileged()} may change anything`);
      case 'no':
        throw refusal(`${refused}: polkit does not grant ${action}; run it as root`);
      case 'challenge':
        throw refusal(`${refused}: polkit asks for a password (${action}); run it as root`);
    }
  }

  private privileged(): string {
    return this.ownUid === 0 ? 'root' : `root and user ${this.ownUid}`;
  }

  private async uidOf(sender: string): Promise<number> {
    const known = this.uids.get(sender);
    if (known !== undefined) return known;
    const uid = await this.askUid(sender);
    const oldest = this.uids.keys().next();
    if (this.uids.size >= MAX_KNOWN_CALLERS && oldest.done !== true) {
      this.uids.delete(oldest.value);
    }
    this.uids.set(sender, uid);
    return uid;
  }

  private async askUid(sender: string): Promise<number> {
    try {
      return await this.lookupUid(sender);
    } catch (error) {
      throw refusal('the bus does not say who calls', error);
    }
  }
}

/** A method without an action of its own is a mistake here, and nobody's but root's. */
function actionsFor({ method, discards }: Request): readonly PolkitAction[] {
  const key = method.split('.').slice(-2).join('.');
  const action = Object.entries(POLKIT_ACTIONS).find(([name]) => name === key)?.[1];
  if (action === undefined) throw refusal(`${method} is for root only`);
  return discards && action !== DISCARDING_ACTION ? [action, DISCARDING_ACTION] : [action];
}

function refusal(message: string, cause?: unknown): MirrorError {
  return new MirrorError('NotAuthorized', message, cause === undefined ? {} : { cause });
}
