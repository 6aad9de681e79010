// The man pages and the completion know every command and option, the default configuration
// every option of the schema.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { COMMAND_HELP } from '../../src/cli/help';
import { getResource } from '../../src/config/load';
import { optionNames, SECTION_KINDS } from '../../src/config/schema';
import { HELP } from '../../src/service/arguments';
import { repository, run } from '../support/systemProcess';
import { Terminal } from '../unit/cli/terminal';

const COMMON = ['--config-dir', '--bus', '--node'];
const folder = mkdtempSync(join(tmpdir(), 'blkmirror-manuals-'));

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function packaged(path: string): string {
  return readFileSync(join(repository, 'packaging', path), 'utf8');
}

function longOptions(text: string): string[] {
  return [...new Set(text.match(/(?<![\w-])--[a-z][a-z-]*/g))];
}

async function optionsOf(command: string): Promise<string[]> {
  const { out } = await new Terminal([]).run(command, '--help');
  const [, own = ''] = /\nOptions:\n([\s\S]*?)\n(?:Global Options|Examples):/.exec(out) ?? [];
  return longOptions(own).filter((option) => option !== '--help');
}

/** The completion's words for each command line, whose last word is being written. */
async function complete(...lines: readonly (readonly string[])[]): Promise<string[][]> {
  const file = join(repository, 'packaging/completion/blkmirror');
  const asked = lines.map((words) => {
    const line = ['blkmirror', ...words].map((word) => `'${word}'`);
    return `COMP_WORDS=(${line.join(' ')}) COMP_CWORD=${words.length}; _blkmirror
echo "\${COMPREPLY[*]}"`;
  });
  const { stdout } = await run('bash', [], { input: `. '${file}'\n${asked.join('\n')}\n` });
  const answers = stdout.split('\n').slice(0, lines.length);
  return answers.map((answer) => answer.split(' ').filter((word) => word !== ''));
}

test('blkmirror(8) has every command with every option', async () => {
  const page = packaged('man/blkmirror.8.scd');
  for (const command of Object.keys(COMMAND_HELP)) {
    const entry = new RegExp(`^.*\\*${command}\\* _?[^\\n]*\\n(?:[^\\n]+\\n)*`, 'm').exec(page);
    const [text = ''] = entry ?? [page.includes(`*${command}* [`) ? page : ''];
    expect(text).toContain(`*${command}*`);
    for (const option of await optionsOf(command)) expect(text).toContain(`*${option}*`);
  }
  for (const option of COMMON) expect(page).toContain(`*${option}*`);
});

test('blkmirrord(8) has every option', () => {
  const page = packaged('man/blkmirrord.8.scd');
  for (const option of longOptions(HELP)) expect(page).toContain(`*${option}*`);
});

test('blkmirror.conf(5) and the default configuration have every option', () => {
  const page = packaged('man/blkmirror.conf.5.scd');
  const defaults = packaged('config/blkmirror.conf');
  for (const kind of SECTION_KINDS) {
    const title = kind === 'node' ? '# [node "NAME"]' : `# [${kind}]`;
    const [, after = ''] = page.split(`\n${title}\n`);
    const [section = ''] = after.split('\n# ');
    for (const name of optionNames(kind)) expect(section).toContain(`*${name}*`);
    if (kind === 'node' || kind === 'handlers') continue;
    for (const name of optionNames(kind)) expect(defaults).toContain(`\n; ${name} = `);
  }
});

test('the default configuration is right, also with every comment taken away', () => {
  const resources = join(folder, 'resources.d');
  mkdirSync(resources, { recursive: true });
  writeFileSync(join(resources, 'r0.conf'), packaged('config/r0.conf'));
  const text = packaged('config/blkmirror.conf');
  writeFileSync(join(folder, 'blkmirror.conf'), text);
  const plain = getResource(folder, 'r0');
  writeFileSync(join(folder, 'blkmirror.conf'), text.replace(/^; (?=[a-z0-9-]+ = )/gm, ''));
  const explicit = getResource(folder, 'r0');
  expect({ ...explicit, handlers: {} }).toEqual(plain);
  expect(Object.keys(explicit.handlers)).toContain('fence-peer');
});

test('every page is formatted without a warning', async () => {
  const pages = ['blkmirrord.8', 'blkmirror.8', 'blkmirror.conf.5'];
  for (const page of [...pages, 'ocf_blkmirror_mirror.7', 'blkmirror-heartbeat.7']) {
    const made = await run('scdoc', [], { input: packaged(`man/${page}.scd`) });
    expect(made).toMatchObject({ status: 0, stderr: '' });
    expect(made.stdout).toContain('.TH ');
  }
});

test('the completion knows commands, options, resources and nodes', async () => {
  const commands = Object.keys(COMMAND_HELP);
  const [words = [], ...offered] = await complete([''], ...commands.map((each) => [each, '--']));
  expect(words.filter((word) => word !== 'help').sort()).toEqual([...commands].sort());
  for (const [index, command] of commands.entries()) {
    const expected = [...(await optionsOf(command)), '--help'].sort();
    expect(offered[index]?.sort()).toEqual(expected);
  }
  const resources = join(folder, 'resources.d');
  mkdirSync(resources, { recursive: true });
  writeFileSync(join(resources, 'r0.conf'), packaged('config/r0.conf'));
  const found = await complete(
    ['--config-dir', folder, 'up', ''],
    ['--config-dir', folder, 'promote', 'r'],
    ['--config-dir', folder, 'resync', 'r0', '--from', ''],
    ['--config-dir', folder, 'connect', 'r0', 'b'],
  );
  expect(found).toEqual([['all', 'r0'], ['r0'], ['alpha', 'beta'], ['beta']]);
});
