/**
 * Who may change something. Reading is free for everyone.
 *
 * Without polkit: root and the user the service runs as. A caller's user is asked of the bus
 * once and kept; unique names are never given twice during the life of a bus, so what is kept
 * cannot go stale, and {@link IdentityAuthorizer.forget} drops it when the bus is another one.
 */
import { MirrorError } from '../model/errors';
import { MAX_KNOWN_CALLERS } from './limits';

export interface Authorizer {
  /**
   * @param sender unique bus name of the caller
   * @param action interface and method, such as `org.blkmirror.Mirror1.Device.Promote`
   * @throws NotAuthorized
   */
  authorize(sender: string, action: string): Promise<void>;
}

export class IdentityAuthorizer implements Authorizer {
  private readonly uids = new Map<string, number>();

  constructor(
    /** Asks the bus: org.freedesktop.DBus.GetConnectionUnixUser. */
    private readonly lookupUid: (sender: string) => Promise<number>,
    private readonly ownUid: number,
  ) {}

  async authorize(sender: string, action: string): Promise<void> {
    const uid = await this.uidOf(sender);
    if (uid === 0 || uid === this.ownUid) return;
    const who = this.ownUid === 0 ? 'root' : `root and user ${this.ownUid}`;
    const method = action.slice(action.lastIndexOf('.') + 1);
    const message = `${method} is refused to user ${uid}: only ${who} may change anything`;
    throw new MirrorError('NotAuthorized', message);
  }

  /** After the bus was lost: names of another bus mean others. */
  forget(): void {
    this.uids.clear();
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
      const message = 'the bus does not say who calls';
      throw new MirrorError('NotAuthorized', message, { cause: error });
    }
  }
}
