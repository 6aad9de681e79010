/**
 * Tells the service manager how the service is (sd_notify(3)), and that it is alive: a watchdog
 * ping at half the interval, only while the data-plane thread of every device moves.
 *
 * The sd-notify package does the sending where it could be built, otherwise the addon, which a
 * Debian package has alone. Without a manager that listens nothing is sent.
 */
import { createRequire } from 'node:module';
import type { Logger } from 'pino';
import { openManagerSocket } from '../plane/nativePlane';

export interface Notifier {
  ready(status: string): void;
  status(text: string): void;
  reloading(): void;
  stopping(): void;
  watchdog(): void;
}

/** The part of sd-notify that is used; it comes without types of its own. */
export interface SdNotify {
  /** In lines, each with its end. */
  sendState(state: string): void;
}

/** Sends nothing. */
export const SILENT_NOTIFIER: Notifier = {
  ready: () => undefined,
  status: () => undefined,
  reloading: () => undefined,
  stopping: () => undefined,
  watchdog: () => undefined,
};

type Environment = Readonly<Record<string, string | undefined>>;

/** For the manager that $NOTIFY_SOCKET names. */
export function openNotifier(env: Environment, log: Logger): Notifier {
  const address = env.NOTIFY_SOCKET;
  if (address === undefined || address === '') return SILENT_NOTIFIER;
  try {
    return new SdNotifier(trySdNotify() ?? openAddonNotify(address));
  } catch (error) {
    log.warn({ err: error }, 'the service manager is not told');
    return SILENT_NOTIFIER;
  }
}

/** undefined where the optional package is not there or not for this Node. */
function trySdNotify(): SdNotify | undefined {
  try {
    return createRequire(__filename)('sd-notify') as SdNotify;
  } catch {
    return undefined;
  }
}

/** Sends by the addon. @throws Failed when it is not built */
export function openAddonNotify(address: string): SdNotify {
  const manager = openManagerSocket(address);
  return { sendState: (state) => void manager.send(state) };
}

/** Half of what the manager allows between pings; undefined when it wants none of us. */
export function watchdogIntervalMs(env: Environment, pid: number): number | undefined {
  const usec = Number(env.WATCHDOG_USEC ?? '');
  if (!Number.isSafeInteger(usec) || usec <= 0) return undefined;
  const wanted = env.WATCHDOG_PID;
  if (wanted !== undefined && wanted !== '' && Number(wanted) !== pid) return undefined;
  return Math.max(1, Math.floor(usec / 2000));
}

export class SdNotifier implements Notifier {
  constructor(private readonly library: SdNotify) {}

  ready(status: string): void {
    this.send(`READY=1\nSTATUS=${oneLine(status)}`);
  }

  status(text: string): void {
    this.send(`STATUS=${oneLine(text)}`);
  }

  /** Older managers ignore the time; newer ones want it together with RELOADING. */
  reloading(): void {
    this.send(`RELOADING=1\nMONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
  }

  stopping(): void {
    this.send('STOPPING=1');
  }

  watchdog(): void {
    this.send('WATCHDOG=1');
  }

  private send(state: string): void {
    try {
      this.library.sendState(`${state}\n`);
    } catch {
      // A manager that does not listen changes nothing for the devices.
    }
  }
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ');
}

/** What the watchdog looks at: a device's name and the beats of its data-plane thread. */
export interface Heart {
  readonly name: string;
  heartbeat(): bigint;
}

/** Pings while every heart has beaten since the last look; one that is new counts as beating. */
export class Watchdog {
  private timer: NodeJS.Timeout | undefined;
  private beats = new Map<string, bigint>();

  constructor(
    private readonly notifier: Notifier,
    private readonly hearts: () => readonly Heart[],
    private readonly log: Logger,
  ) {}

  start(intervalMs: number | undefined): void {
    if (intervalMs === undefined) return;
    this.timer = setInterval(() => this.check(), intervalMs);
    this.timer.unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  /** One look; public for the timer and for tests. */
  check(): void {
    const before = this.beats;
    this.beats = new Map(this.hearts().map((heart) => [heart.name, heart.heartbeat()]));
    const stalled = [...this.beats].filter(([name, beat]) => before.get(name) === beat);
    if (stalled.length === 0) {
      this.notifier.watchdog();
      return;
    }
    const names = stalled.map(([name]) => name);
    this.log.error({ resources: names }, 'data plane does not move; no watchdog ping');
  }
}
