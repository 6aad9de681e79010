/**
 * The grammar of the command line: global options before or after the command, commands with
 * their arguments and options, help. Wrong usage is exit status 2.
 */
import { Command, CommanderError } from 'commander';
import { Context, UsageError } from './context';
import type { GlobalOptions } from './context';
import { connect, invalidate, invalidateRemote, outdate } from './copyCommands';
import { attach, demote, detach, disconnect, promote, resumeIo, resync } from './deviceCommands';
import { createMdCommand, setup } from './diskCommands';
import { COMMAND_HELP, PROGRAM_HELP, examplesText, unwrapped } from './help';
import type { CommandName } from './help';
import { down, up } from './lifecycle';
import {
  dumpMdCommand,
  repairMdCommand,
  resizeCommand,
  restoreMdCommand,
} from './metadataCommands';
import type { Output } from './output';
import { events, status } from './statusCommand';
import { reasonOf } from './words';

const RESOURCE = ['<resource>', 'name of the resource, or /dev/nbdN'] as const;
const RESOURCE_OR_ALL = ['<resource>', 'name of the resource, or all'] as const;
const PEER = ['[peer]', 'name of the peer; all when missing'] as const;

/** Exit status: 0 done, 1 refused or failed, 2 wrong usage. */
export async function run(
  args: readonly string[],
  version: string,
  output: Output,
): Promise<number> {
  let exit = 0;
  const program = buildProgram(version, output, (status) => {
    exit = status;
  });
  try {
    await program.parseAsync([...args], { from: 'user' });
    return exit;
  } catch (error) {
    if (error instanceof CommanderError) return afterCommander(error, output);
    if (error instanceof UsageError) {
      output.complain(error.message);
      return 2;
    }
    output.complain(reasonOf(error));
    return 1;
  }
}

function afterCommander(error: CommanderError, output: Output): number {
  // Help and version that were asked for have been printed.
  if (error.exitCode === 0) return 0;
  if (error.code === 'commander.help') {
    output.complain('which command? see: blkmirror --help');
    return 2;
  }
  const [first = '', near] = error.message.replace(/^error: /, '').split('\n');
  const meant = near === undefined ? '' : `; ${near.replace(/^\(D(.*)\)$/, 'd$1')}`;
  const reason = first.replace(/\. Expected (.*)\.$/, ' (expected $1)');
  output.complain(`${reason}${meant === '' ? '; see: blkmirror --help' : meant}`);
  return 2;
}

const STATE_DIR = [
  '--state-dir <dir>',
  'state directory of blkmirrord (default: /var/lib/blkmirror)',
] as const;

type Action = (context: Context, ...rest: never[]) => Promise<number>;

function buildProgram(version: string, output: Output, done: (exit: number) => void): Command {
  const program = new Command('blkmirror');
  program
    .description(unwrapped(PROGRAM_HELP.description))
    .option('--config-dir <dir>', 'directory of the configuration (default: /etc/blkmirror)')
    .option('--bus <address>', 'D-Bus address, system or session (default: system)')
    .option('--node <name>', "name of this node (default: the host's name)")
    .version(version, '--version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .addHelpText('after', examplesText(PROGRAM_HELP))
    .configureHelp({ showGlobalOptions: true })
    .exitOverride()
    .configureOutput({
      writeOut: (text) => output.write(text),
      writeErr: () => undefined,
      outputError: () => undefined,
    });
  const add = (name: CommandName, run: Action): Command =>
    addCommand(program, name, output, done, run);
  addLifeCycle(add);
  addMetadataCommands(add);
  addDeviceCommands(add);
  addCopyCommands(add);
  add('status', status as Action)
    .argument('[resource]', 'only this resource')
    .option('--json', 'as JSON');
  add('events', events as Action).option('--json', 'as JSON, one object a line');
  return program;
}

function addLifeCycle(add: (name: CommandName, run: Action) => Command): void {
  add('create-md', createMdCommand as Action)
    .argument(...RESOURCE)
    .option('--force', 'overwrite what is there')
    .option('--max-peers <count>', 'peers to make room for, 1 to 31 (default: 7)')
    .option('--adopt', 'keep the data that is on the disk, as the copy to fill others from')
    .option('--skip-initial-sync', 'on every node, with empty disks: take them for equal')
    .option('--zero', 'with --skip-initial-sync: make them equal, by zeroes');
  add('up', up as Action)
    .argument(...RESOURCE_OR_ALL)
    .option('--wait', 'wait for the peers, at most as long as wfc-timeout says');
  add('down', down as Action).argument(...RESOURCE_OR_ALL);
  add('setup', setup as Action)
    .argument('<device>', '/dev/nbdN')
    .argument('<disk>', 'block device or file')
    .argument('<this-host>', 'this node')
    .argument('<peer-host>', 'the other node');
}

function addMetadataCommands(add: (name: CommandName, run: Action) => Command): void {
  add('dump-md', dumpMdCommand as Action)
    .argument(...RESOURCE)
    .option('--force', 'also while attached');
  add('restore-md', restoreMdCommand as Action)
    .argument(...RESOURCE)
    .argument('<file>', 'what dump-md printed; - for standard input')
    .option('--force', 'overwrite metadata that is there')
    .option('--unchanged', 'the data is what it was when the file was dumped');
  add('repair-md', repairMdCommand as Action)
    .argument(...RESOURCE)
    .option('--scan', 'look on the whole disk for a superblock')
    .option(...STATE_DIR);
  add('resize', resizeCommand as Action)
    .argument(...RESOURCE)
    .option(
      '--size <bytes>',
      'what to offer, also with K, M, G or T (default: all there is room for)',
    )
    .option(...STATE_DIR);
}

function addDeviceCommands(add: (name: CommandName, run: Action) => Command): void {
  add('promote', promote as Action)
    .argument(...RESOURCE)
    .option('--force', 'declare this copy UpToDate, whatever it is');
  add('demote', demote as Action).argument(...RESOURCE);
  add('attach', attach as Action).argument(...RESOURCE);
  add('detach', detach as Action)
    .argument(...RESOURCE)
    .option('--force', 'also the last good copy; do not wait for a disk that hangs');
  add('resync', resync as Action)
    .argument(...RESOURCE)
    .option('--full', 'copy everything')
    .option('--from <peer>', 'the peer to copy from')
    .option('--to <peer>', 'the peer to copy to')
    .option('--wait', 'wait until it is done, and show the progress');
  add('connect', connect as Action)
    .argument(...RESOURCE)
    .argument(...PEER)
    .option('--discard-my-data', 'in split brain: give up what was written here')
    .option('--dry-run', 'only tell what --discard-my-data would do');
  add('disconnect', disconnect as Action)
    .argument(...RESOURCE)
    .argument(...PEER);
  add('resume-io', resumeIo as Action).argument(...RESOURCE);
}

function addCopyCommands(add: (name: CommandName, run: Action) => Command): void {
  add('outdate', outdate as Action).argument(...RESOURCE);
  add('invalidate', invalidate as Action).argument(...RESOURCE);
  add('invalidate-remote', invalidateRemote as Action)
    .argument(...RESOURCE)
    .argument('[peer]', 'name of the peer; the only one when missing');
}

function addCommand(
  program: Command,
  name: CommandName,
  output: Output,
  done: (exit: number) => void,
  run: Action,
): Command {
  const help = COMMAND_HELP[name];
  return program
    .command(name)
    .summary(help.summary)
    .description(unwrapped(help.description))
    .helpOption('-h, --help', 'print this help')
    .addHelpText('after', examplesText(help))
    .allowExcessArguments(false)
    .action(async (...given: unknown[]) => {
      // commander adds the command itself behind arguments and options.
      const context = new Context(program.opts<GlobalOptions>(), output);
      done(await run(context, ...(given.slice(0, -1) as never[])));
    });
}
