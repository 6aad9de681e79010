/**
 * What every command gets: the global options, where to write, and how to reach the service.
 */
import { hostname } from 'node:os';
import { resolveBusAddress } from '../dbus/busAddress';
import { resourceArgumentProblem, resourceFromArgument } from '../offline/configured';
import type { ResourceName } from '../model/states';
import type { Output } from './output';
import { Service } from './service';
import { shellQuoted } from './words';

export const DEFAULT_CONFIG_DIR = '/etc/blkmirror';

export interface GlobalOptions {
  readonly configDir?: string;
  readonly bus?: string;
  readonly node?: string;
}

/** On a terminal: that a command goes on, while it does. Drawn over itself. */
class WaitingLine {
  private drawn = false;

  constructor(private readonly output: Output) {}

  show(waitedMs: number): void {
    if (!this.output.isTerminal) return;
    const seconds = Math.round(waitedMs / 1000);
    const text = `blkmirrord is still at work on it, ${seconds} s so far`;
    this.output.write(`\r\x1b[2K${this.output.paint('busy', text)}`);
    this.drawn = true;
  }

  clear(): void {
    if (this.drawn) this.output.write('\r\x1b[2K');
    this.drawn = false;
  }
}

/** A command line that cannot be meant: exit status 2. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}

export class Context {
  constructor(
    private readonly options: GlobalOptions,
    readonly output: Output,
  ) {}

  get configDir(): string {
    return this.options.configDir ?? DEFAULT_CONFIG_DIR;
  }

  get nodeName(): string {
    return this.options.node ?? hostname();
  }

  /** undefined when the user did not say: the service may know better. */
  get givenNodeName(): string | undefined {
    return this.options.node;
  }

  /** The connection is closed when `action` has ended. */
  async withService<T>(action: (service: Service) => Promise<T>): Promise<T> {
    const waiting = new WaitingLine(this.output);
    const service = await Service.open(this.busAddress(), (ms) => waiting.show(ms));
    try {
      return await action(service);
    } finally {
      waiting.clear();
      service.close();
    }
  }

  /** What is no address is wrong usage; a bus that cannot be reached is not. */
  private busAddress(): string {
    const { bus = 'system' } = this.options;
    if (bus === 'system' || bus === 'session') return bus;
    const resolved = resolveBusAddress(bus, {});
    if (!resolved.ok) throw new UsageError(`--bus: ${resolved.problem}`);
    return bus;
  }

  /** A command line to be copied, with those of the given global options that it needs. */
  commandLine(command: string, needs: readonly (keyof GlobalOptions)[]): string {
    const names = { configDir: '--config-dir', bus: '--bus', node: '--node' } as const;
    const words = needs.flatMap((need) => {
      const value = this.options[need];
      return value === undefined ? [] : [names[need], shellQuoted(value)];
    });
    return ['blkmirror', ...words, command].join(' ');
  }
}

/** @throws UsageError when `text` cannot name a resource */
export function resourceArgument(text: string, configDir: string): ResourceName {
  const resource = resourceFromArgument(text, configDir);
  const problem = resourceArgumentProblem(resource);
  if (problem !== undefined) throw new UsageError(problem);
  return resource as ResourceName;
}
