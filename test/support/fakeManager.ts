// What blkmirrord sees of a service manager: the notification socket, and on a bus the job that
// runs for its unit.

import { closeSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Message, sessionBus, Variant } from 'dbus-next';
import type { MessageBus } from 'dbus-next';
import { openNoticeSocket } from '../../src/plane/nativePlane';
import type { NoticeSocket } from '../../src/plane/nativePlane';
import { scratchFolder } from './systemProcess';

const NAME = 'org.freedesktop.systemd1';
const UNIT = '/org/freedesktop/systemd1/unit/blkmirrord_2eservice';
const JOB = '/org/freedesktop/systemd1/job/17';
const LOOK_MS = 200;

export class FakeManager {
  /** What was sent, the oldest first. */
  readonly states: string[] = [];
  /** As systemd names it; '' for none. */
  job = '';
  private readonly folder = scratchFolder();
  private readonly socket: NoticeSocket;
  private readonly reading: Promise<void>;
  private ended = false;
  private bus: MessageBus | undefined;

  constructor() {
    this.socket = openNoticeSocket(this.address);
    this.reading = this.read();
  }

  /** $NOTIFY_SOCKET */
  get address(): string {
    return join(this.folder, 'notify');
  }

  async joinBus(address: string): Promise<void> {
    const bus = sessionBus({ busAddress: address });
    this.bus = bus;
    bus.addMethodHandler((message: Message) => this.answer(bus, message));
    await bus.requestName(NAME, 0);
  }

  async remove(): Promise<void> {
    this.ended = true;
    this.bus?.disconnect();
    await this.reading;
    this.socket.close();
    rmSync(this.folder, { recursive: true });
  }

  private answer(bus: MessageBus, message: Message): boolean {
    const name = String(message.body[1]);
    if (message.member === 'GetUnitByPID') {
      bus.send(Message.newMethodReturn(message, 'o', [UNIT]));
    } else if (name === 'Job') {
      const path = this.job === '' ? '/' : JOB;
      bus.send(Message.newMethodReturn(message, 'v', [new Variant('(uo)', [17, path])]));
    } else if (name === 'JobType') {
      bus.send(Message.newMethodReturn(message, 'v', [new Variant('s', this.job)]));
    } else {
      return false;
    }
    return true;
  }

  private async read(): Promise<void> {
    while (!this.ended) {
      const notice = await this.socket.receive(LOOK_MS).catch(() => undefined);
      if (notice === undefined) continue;
      this.states.push(notice.state);
      if (notice.fd >= 0) closeSync(notice.fd);
    }
  }
}
