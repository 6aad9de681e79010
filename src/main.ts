/**
 * Entry of `blkmirrord`: one foreground process, started by systemd or by hand.
 *
 * Order of the start: run-dir claimed, on the bus, what was up is up again (before the bus where a
 * kernel device waits for it), ready. An error of
 * one resource never ends it; a second service with the same run-dir or bus name does not begin.
 * Nothing is buffered here that a sudden end of this process could lose.
 */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import pino from 'pino';
import type { Logger } from 'pino';
import { getResource } from './config/load';
import { resolveBusAddress } from './dbus/busAddress';
import { MirrorBus } from './dbus/mirrorBus';
import { HANDLERS_PROGRAM, HelperProcess } from './handlers/helper';
import { toMirrorError } from './model/errors';
import type { HandlerRunner } from './model/handlers';
import { programVersion } from './model/version';
import { KernelDevices } from './plane/kernelDevices';
import { KernelTree, SYSTEM_ROOTS } from './plane/kernelTree';
import { openKernelDriver, openNativePlane } from './plane/nativePlane';
import type { Plane } from './plane/plane';
import type { Environment } from './resource/core';
import type { KernelSide } from './resource/kernelDevice';
import { Resource } from './resource/resource';
import {
  loadNbd,
  processName,
  readBootId,
  resolveHost,
  systemClock,
  systemRandom,
} from './resource/system';
import { HELP, readArguments } from './service/arguments';
import type { Settings } from './service/arguments';
import { Locations } from './service/locations';
import { MirrorService } from './service/mirrorService';
import type { OpenDevice } from './service/mirrorService';
import { Ports } from './service/ports';
import { claimRunDir, inheritRunDir, makeFolder } from './service/runDir';
import type { RunDir } from './service/runDir';
import { StateLog } from './service/stateLog';
import { UpList } from './service/upList';
import { asSocketStore, openFdStore } from './systemd/fdStore';
import type { FdStore } from './systemd/fdStore';
import { openNotifier, Watchdog, watchdogIntervalMs } from './systemd/notifier';
import type { Notifier } from './systemd/notifier';
import { ADOPTION_SOCKET, Inheritance, Successor, tryAdopt } from './systemd/succession';

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const STANDARD_OUTPUT = 1;
const STATUS_INTERVAL_MS = 1000;

/** Of systemd: this process is replaced by the next one. */
const RESTARTING_JOBS: readonly string[] = ['restart', 'try-restart'];

/** How long callers wait for what was up to be up again; then they see what there is. */
const RESTORE_PATIENCE_MS = 10_000;

/** How long the bus waits for kernel devices that wait for this process. */
const RESUME_PATIENCE_MS = 10_000;

/** A promise that is resolved from outside. */
class Latch {
  readonly opened: Promise<void>;
  open: () => void = () => undefined;

  constructor() {
    this.opened = new Promise((resolve) => (this.open = resolve));
  }
}

/** What is there before anything is claimed. */
interface Parts {
  readonly log: Logger;
  readonly plane: Plane;
  readonly handlers: HelperProcess;
  readonly notifier: Notifier;
}

/** What a running service is made of. */
interface Daemon extends Parts {
  readonly runDir: RunDir;
  readonly service: MirrorService;
  readonly bus: MirrorBus;
  readonly watchdog: Watchdog;
  readonly fdStore: FdStore | undefined;
  readonly kernel: KernelSide;
}

function main(): void {
  const parsed = readArguments(process.argv.slice(2), hostname());
  switch (parsed.kind) {
    case 'help':
      process.stdout.write(HELP);
      return;
    case 'version':
      process.stdout.write(`blkmirrord ${programVersion(__dirname)}\n`);
      return;
    case 'wrong':
      refuseUsage(parsed.problem);
      return;
    case 'run':
      runService(parsed.settings);
  }
}

function runService(settings: Settings): void {
  const resolved = resolveBusAddress(settings.bus, process.env);
  if (!resolved.ok) {
    refuseUsage(resolved.problem);
    return;
  }
  const log = openLog();
  process.on('uncaughtException', (error) => die(log, error));
  process.on('unhandledRejection', (reason) => die(log, reason));
  start(settings, resolved.addresses, log).catch((error: unknown) => {
    const { code, message } = toMirrorError(error);
    log.fatal({ code }, message);
    process.stderr.write(`blkmirrord: ${message}\n`);
    process.exit(EXIT_FAILED);
  });
}

async function start(settings: Settings, addresses: readonly string[], log: Logger): Promise<void> {
  const { runDir } = settings;
  const inheritance = Inheritance.tryOpen(process.env, runDir);
  if (inheritance === undefined && (await tryAdopt(runDir, process.env))) {
    log.info('the successor of the former process serves already');
    return;
  }
  const restored = new Latch();
  const parts = loadParts(log);
  const handed = await inheritance?.receive();
  const claim = inheritance?.claim;
  const claimed =
    claim === undefined ? claimRunDir(runDir) : inheritRunDir(runDir, claim, ADOPTION_SOCKET);
  const daemon = assemble(settings, addresses, parts, claimed, handed, restored);
  const { service, notifier } = daemon;
  handleSignals(daemon);
  log.info({ ...settings, version: service.version, pid: process.pid }, 'starting');
  const restoring = daemon.kernel.devices.anyWaits ? service.restore() : undefined;
  if (restoring !== undefined) await beforeBus(restoring, service);
  await daemon.bus.open();
  const patience = setTimeout(() => restored.open(), RESTORE_PATIENCE_MS);
  await (restoring ?? service.restore());
  await daemon.fdStore?.discard();
  clearTimeout(patience);
  restored.open();
  if ((await inheritance?.adopted) === false) return endAlone(daemon);
  daemon.watchdog.start(watchdogIntervalMs(process.env, process.pid));
  notifier.ready(statusText(service));
  keepStatus(service, notifier);
  log.info({ resources: service.devices().length }, 'ready');
}

/** Of a successor: the service was stopped while it took over. */
function endAlone(daemon: Daemon): Promise<void> {
  daemon.log.warn('the service manager does not know of this process: the service is stopped');
  return stop(daemon);
}

function loadParts(log: Logger): Parts {
  const plane = openNativePlane({ onWarning: (warning) => log.warn(warning) });
  const handlers = new HelperProcess(HANDLERS_PROGRAM, log);
  return { log, plane, handlers, notifier: openNotifier(process.env, log) };
}

/** Whoever uses a kernel device does not wait for the bus as well; the bus not for ever for it. */
async function beforeBus(restoring: Promise<void>, service: MirrorService): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, RESUME_PATIENCE_MS);
  });
  await Promise.race([restoring.then(() => service.resumed()), late]);
  clearTimeout(timer);
}

function assemble(
  settings: Settings,
  addresses: readonly string[],
  parts: Parts,
  runDir: RunDir,
  handed: Map<string, number> | undefined,
  restored: Latch,
): Daemon {
  const { log, plane, handlers, notifier } = parts;
  makeFolder(settings.stateDir);
  const fdStore = openFdStore(process.env, process.pid, log, handed);
  const kernel = openKernelSide(fdStore, log);
  const service = new MirrorService({
    version: programVersion(__dirname),
    nodeName: settings.nodeName,
    loadConfig: (name) => getResource(settings.configDir, name),
    openDevice: deviceOpener(plane, handlers, kernel, settings, log),
    ports: new Ports({ plane, log }),
    upList: new UpList(settings.runDir, log),
    log,
  });
  new StateLog(service.changes, (name) => service.tryDevice(name), log);
  const ownUid = process.getuid?.() ?? 0;
  const bus = new MirrorBus({ service, addresses, ownUid, ready: restored.opened, log });
  const watchdog = new Watchdog(notifier, () => service.devices(), log);
  return { ...parts, runDir, service, bus, watchdog, fdStore, kernel };
}

function deviceOpener(
  plane: Plane,
  handlers: HandlerRunner,
  kernel: KernelSide,
  settings: Settings,
  log: Logger,
): OpenDevice {
  const { runDir, stateDir } = settings;
  const environment: Environment = {
    plane,
    clock: systemClock,
    random: systemRandom,
    bootNonce: randomBytes(8).toString('hex'),
    bootId: readBootId(),
    runDir,
    locations: new Locations(stateDir, log),
    handlers,
    kernel,
    resolveHost,
    processName,
  };
  return (config, node, onChange) =>
    Resource.open({ environment, config, node: node.name, onChange });
}

function openKernelSide(fdStore: FdStore | undefined, log: Logger): KernelSide {
  const devices = new KernelDevices({
    driver: openKernelDriver(),
    tree: new KernelTree(SYSTEM_ROOTS),
    clock: systemClock,
    loadModule: loadNbd,
  });
  let told = false;
  const onMissing = (why: string): void => {
    if (!told) log.warn(`${why}; resources without a kernel device are served on their sockets`);
    told = true;
  };
  return { devices, sockets: asSocketStore(fdStore), onMissing };
}

function handleSignals(daemon: Daemon): void {
  let ending = false;
  const onEnd = (signal: NodeJS.Signals): void => {
    daemon.log.info({ signal }, ending ? 'ending at once' : 'ending');
    if (ending) process.exit(EXIT_FAILED);
    ending = true;
    void stop(daemon);
  };
  process.on('SIGTERM', onEnd);
  process.on('SIGINT', onEnd);
  process.on('SIGHUP', () => void reload(daemon));
}

/** Closes every device cleanly; what was up comes up again at the next start. */
async function stop(daemon: Daemon): Promise<void> {
  const { log, service, bus, plane, handlers, notifier, runDir } = daemon;
  notifier.stopping();
  daemon.watchdog.stop();
  let successor: Successor | undefined;
  try {
    successor = (await isRestart(daemon)) ? await trySuccessor(daemon) : undefined;
    // It may have been stopped for good while the successor was loaded.
    const ending = (await isRestart(daemon)) ? 'restart' : 'stop';
    log.info({ ending, successor: successor !== undefined }, 'closing what is up');
    if (ending === 'stop') {
      successor?.abandon();
      successor = undefined;
    }
    await service.close(ending);
    await bus.close();
    plane.close();
    handlers.close();
    runDir.release();
    successor?.begin();
  } catch (error) {
    successor?.abandon();
    log.error({ err: error }, 'not ended cleanly');
    process.exit(EXIT_FAILED);
  }
  log.info('ended');
  process.exit(0);
}

async function isRestart({ bus }: Daemon): Promise<boolean> {
  return RESTARTING_JOBS.includes((await bus.tryUnitJob()) ?? 'none');
}

/** What this process would leave with the service manager goes to the successor from here on. */
async function trySuccessor({ runDir, fdStore, log }: Daemon): Promise<Successor | undefined> {
  const successor = await Successor.tryStart(runDir, log);
  if (successor !== undefined) fdStore?.redirect(successor.keeper);
  return successor;
}

/** What is wrong has been logged by the service, resource by resource. */
async function reload(daemon: Daemon): Promise<void> {
  daemon.notifier.reloading();
  await daemon.service.reload().catch(() => undefined);
  daemon.notifier.ready(statusText(daemon.service));
  daemon.log.info('reloaded');
}

/** At most once a second. */
function keepStatus(service: MirrorService, notifier: Notifier): void {
  let timer: NodeJS.Timeout | undefined;
  service.changes.subscribe(() => {
    timer ??= setTimeout(() => {
      timer = undefined;
      notifier.status(statusText(service));
    }, STATUS_INTERVAL_MS).unref();
  });
}

function statusText(service: MirrorService): string {
  const devices = service.devices().map((device) => device.status());
  const primaries = devices.filter((device) => device.role === 'Primary').length;
  return `${devices.length} resources up, ${primaries} Primary`;
}

/** JSON lines on standard output, written at once; whoever read them may go away. */
function openLog(): Logger {
  const destination = pino.destination({ fd: STANDARD_OUTPUT, sync: true });
  destination.on('error', () => undefined);
  return pino({ base: null, timestamp: pino.stdTimeFunctions.isoTime }, destination);
}

/** A mistake in this program: the metadata on disk says what the next start needs to know. */
function die(log: Logger, reason: unknown): never {
  log.fatal({ err: reason }, 'unexpected error, ending');
  process.exit(EXIT_FAILED);
}

function refuseUsage(problem: string): void {
  process.stderr.write(`blkmirrord: ${problem} (--help shows the usage)\n`);
  process.exitCode = EXIT_USAGE;
}

main();
