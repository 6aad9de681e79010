/**
 * The command line of blkmirrord. Pure but for what is handed in.
 */
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { nodeNameProblem } from '../config/names';

export interface Settings {
  /** Absolute. */
  readonly configDir: string;
  /** Absolute. */
  readonly runDir: string;
  /** Absolute. */
  readonly stateDir: string;
  /** `system`, `session` or a D-Bus address. */
  readonly bus: string;
  readonly nodeName: string;
}

export type Arguments =
  | { readonly kind: 'run'; readonly settings: Settings }
  | { readonly kind: 'help' }
  | { readonly kind: 'version' }
  /** In one line. */
  | { readonly kind: 'wrong'; readonly problem: string };

export const HELP = `usage: blkmirrord [OPTION...]

Mirrors block devices to other hosts: the service that the blkmirror command talks to.

  --config-dir DIR   where blkmirror.conf and resources.d are (/etc/blkmirror)
  --run-dir DIR      for sockets and what is up; made if missing (/run/blkmirror)
  --state-dir DIR    what outlives a reboot (/var/lib/blkmirror, or state in a given run-dir)
  --bus ADDRESS      a D-Bus address, system or session (system)
  --node NAME        this node's name in the configuration (the host name)
  --help             show this
  --version          show the version

SIGHUP reads the configuration of what is up again; SIGTERM ends the service cleanly.
`;

const OPTIONS = {
  'config-dir': { type: 'string' },
  'run-dir': { type: 'string' },
  'state-dir': { type: 'string' },
  bus: { type: 'string' },
  node: { type: 'string' },
  help: { type: 'boolean' },
  version: { type: 'boolean' },
} as const;

export function readArguments(args: readonly string[], hostName: string): Arguments {
  try {
    const { values } = parseArgs({ args: [...args], options: OPTIONS, strict: true });
    if (values.help === true) return { kind: 'help' };
    if (values.version === true) return { kind: 'version' };
    const problem = valuesProblem(values);
    if (problem !== undefined) return { kind: 'wrong', problem };
    return { kind: 'run', settings: settingsOf(values, hostName) };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { kind: 'wrong', problem: message.replace(/\s+/g, ' ') };
  }
}

type Values = { readonly [K in keyof typeof OPTIONS]?: string | boolean };

function valuesProblem(values: Values): string | undefined {
  const empty = Object.entries(values).find(([, value]) => value === '');
  if (empty !== undefined) return `option --${empty[0]} needs a value`;
  return typeof values.node === 'string' ? nodeNameProblem(values.node) : undefined;
}

function settingsOf(values: Values, hostName: string): Settings {
  const text = (name: keyof typeof OPTIONS): string | undefined => {
    const value = values[name];
    return typeof value === 'string' ? value : undefined;
  };
  const runDir = text('run-dir');
  const stateDir = runDir === undefined ? '/var/lib/blkmirror' : join(runDir, 'state');
  return {
    configDir: resolve(text('config-dir') ?? '/etc/blkmirror'),
    runDir: resolve(runDir ?? '/run/blkmirror'),
    stateDir: resolve(text('state-dir') ?? stateDir),
    bus: text('bus') ?? 'system',
    nodeName: text('node') ?? hostName,
  };
}
