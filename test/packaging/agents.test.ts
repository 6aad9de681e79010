// The agents for pacemaker and heartbeat against two real daemons, each on a bus of its own.

import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Outcome } from '../support/privateBus';
import { until } from '../support/privateBus';
import { Cluster } from '../support/systemCluster';
import type { SystemNode } from '../support/systemNode';
import { repository, run } from '../support/systemProcess';

const OCF = join(repository, 'packaging/ocf/blkmirror/mirror');
const HEARTBEAT = join(repository, 'packaging/heartbeat/blkmirror');
const FUNCTIONS = join(repository, 'packaging/shell/functions');
/** Seconds 1: what cannot be done now is not waited for. */
const AT_ONCE = { OCF_RESKEY_CRM_meta_timeout: '6000' };

let cluster: Cluster;
let alpha: SystemNode;
let beta: SystemNode;
let bin: string;

beforeAll(async () => {
  cluster = await Cluster.prepare({ tmpfs: true, diskBytes: 16 * 1024 * 1024 });
  [alpha, beta] = [cluster.first, cluster.second];
  await Promise.all([alpha.start(), beta.start()]);
  await Promise.all([alpha.must('create-md', 'r0'), beta.must('create-md', 'r0')]);
  bin = join(cluster.folder, 'bin');
  mkdirSync(bin);
  // Keeps the last score that was set.
  writeFileSync(join(bin, 'crm_attribute'), '#!/bin/sh\necho "$*" >"$SCORE_FILE"\n');
  chmodSync(join(bin, 'crm_attribute'), 0o755);
}, 120_000);

afterAll(() => cluster.remove());

async function ocf(node: SystemNode, action: string, env = {}): Promise<number> {
  return (await ocfOutcome(node, action, env)).status;
}

function ocfOutcome(node: SystemNode, action: string, env = {}): Promise<Outcome> {
  return run(OCF, [action], {
    env: {
      PATH: `${bin}:${process.env.PATH ?? ''}`,
      BLKMIRROR_FUNCTIONS: FUNCTIONS,
      OCF_RESOURCE_INSTANCE: 'p_r0:0',
      OCF_RESKEY_resource: 'r0',
      OCF_RESKEY_bus: node.bus.address,
      OCF_RESKEY_run_dir: node.runDir,
      OCF_RESKEY_config_dir: node.configDir,
      OCF_RESKEY_CRM_meta_timeout: '30000',
      SCORE_FILE: scoreFile(node),
      ...env,
    },
  });
}

function heartbeat(node: SystemNode, action: string): Promise<Outcome> {
  return run(HEARTBEAT, ['r0', action], {
    env: {
      BLKMIRROR_FUNCTIONS: FUNCTIONS,
      BLKMIRROR_BUS: node.bus.address,
      BLKMIRROR_RUN_DIR: node.runDir,
      BLKMIRROR_PATIENCE: '1',
    },
  });
}

function scoreFile(node: SystemNode): string {
  return join(cluster.folder, `score-${node.name}`);
}

/** The last number set, or `none` when it was deleted. */
function score(node: SystemNode): string {
  const words = readFileSync(scoreFile(node), 'utf8');
  return /--update (\d+)/.exec(words)?.[1] ?? (words.includes('--delete') ? 'none' : words);
}

/** After a notification of what was done, on the node `promoted` if it was a promotion. */
async function scoreAfter(node: SystemNode, operation: string, promoted = ''): Promise<string> {
  writeFileSync(scoreFile(node), 'as before');
  const told = {
    OCF_RESKEY_CRM_meta_on_node: node.name,
    OCF_RESKEY_CRM_meta_notify_type: 'post',
    OCF_RESKEY_CRM_meta_notify_operation: operation,
    OCF_RESKEY_CRM_meta_notify_promote_uname: promoted,
  };
  expect(await ocf(node, 'notify', told)).toBe(0);
  return score(node);
}

test('the meta-data is what pacemaker reads', async () => {
  const { stdout, status } = await ocfOutcome(alpha, 'meta-data');
  expect(status).toBe(0);
  expect(stdout).toContain('<resource-agent name="mirror" ');
  const names = [...stdout.matchAll(/<action name="([^"]+)"/g)].map(([, name]) => name);
  expect(names.sort()).toEqual([
    ...['demote', 'meta-data', 'monitor', 'monitor', 'notify', 'promote', 'start', 'stop'],
    'validate-all',
  ]);
});

test('validate-all refuses what pacemaker could not run', async () => {
  expect(await ocf(alpha, 'validate-all')).toBe(0);
  expect(await ocf(alpha, 'validate-all', { OCF_RESKEY_resource: '../r0' })).toBe(6);
  expect(await ocf(alpha, 'validate-all', { OCF_RESKEY_resource: 'r9' })).toBe(5);
  expect(await ocf(alpha, 'validate-all', { OCF_RESKEY_scores: '1 2 3' })).toBe(6);
  expect(await ocf(alpha, 'dance')).toBe(3);
});

test('a promotable clone lives: start, promote, take over, stop', async () => {
  expect(await ocf(alpha, 'monitor')).toBe(7);
  expect(await ocf(alpha, 'stop')).toBe(0);
  expect(await Promise.all([ocf(alpha, 'start'), ocf(beta, 'start')])).toEqual([0, 0]);
  expect(await ocf(alpha, 'monitor')).toBe(0);
  expect(score(alpha)).toBe('none');
  expect((await ocfOutcome(alpha, 'promote')).stderr).toContain('is Inconsistent');

  await alpha.call('r0', 'Promote', { force: true });
  await cluster.untilInSync();
  expect(await ocf(alpha, 'monitor')).toBe(8);
  expect(score(alpha)).toBe('10000');
  expect(await ocf(beta, 'notify', { OCF_RESKEY_CRM_meta_notify_type: 'post' })).toBe(0);
  expect(score(beta)).toBe('10000');
  expect(await scoreAfter(beta, 'demote')).toBe('as before');
  expect(await scoreAfter(beta, 'promote', 'alpha beta')).toBe('as before');
  expect(await scoreAfter(beta, 'promote', 'alpha')).toBe('10000');
  expect(await scoreAfter(beta, 'stop')).toBe('10000');

  const refused = await ocfOutcome(beta, 'promote', AT_ONCE);
  expect(refused).toMatchObject({ status: 1 });
  expect(refused.stderr).toContain('alpha is Primary for r0');
  expect(await ocf(alpha, 'demote')).toBe(0);
  expect(await ocf(alpha, 'demote')).toBe(0);
  expect(await ocf(beta, 'promote')).toBe(0);
  expect(await ocf(beta, 'promote')).toBe(0);
  expect(await ocf(beta, 'monitor')).toBe(8);

  expect(await ocf(alpha, 'stop')).toBe(0);
  expect(await ocf(beta, 'monitor')).toBe(8);
  expect(score(beta)).toBe('10000');
  expect(await ocf(beta, 'demote')).toBe(0);
  expect(score(beta)).toBe('1000');
  expect(await ocf(beta, 'stop')).toBe(0);
  expect(score(beta)).toBe('none');
  expect(await ocf(beta, 'monitor')).toBe(7);
  expect(await ocf(beta, 'promote')).toBe(7);
}, 120_000);

test('a service that is restarted is waited for, one that stays away is an error', async () => {
  await alpha.up('r0');
  await alpha.kill9();
  const waiting = ocf(alpha, 'monitor');
  await alpha.start();
  expect(await waiting).toBe(0);
  await alpha.kill9();
  expect(await ocf(alpha, 'monitor', AT_ONCE)).toBe(1);
  await alpha.start();
  expect(await ocf(alpha, 'stop')).toBe(0);
  await alpha.stop();
  expect(await ocf(alpha, 'monitor', AT_ONCE)).toBe(7);
  await alpha.start();
}, 120_000);

test('heartbeat: start promotes, status tells, stop demotes', async () => {
  expect(await heartbeat(alpha, 'status')).toMatchObject({ status: 3, stdout: 'stopped\n' });
  expect((await heartbeat(alpha, 'stop')).status).toBe(0);
  await beta.up('r0');
  expect((await heartbeat(alpha, 'start')).status).toBe(0);
  expect((await heartbeat(alpha, 'start')).status).toBe(0);
  expect(await heartbeat(alpha, 'status')).toMatchObject({ status: 0, stdout: 'running\n' });
  await until('beta sees it', async () => (await beta.peer('alpha')).role === 'Primary');
  const refused = await heartbeat(beta, 'start');
  expect(refused.status).toBe(1);
  expect(refused.stderr).toContain('alpha is Primary for r0');
  expect((await heartbeat(alpha, 'stop')).status).toBe(0);
  expect(await heartbeat(alpha, 'status')).toMatchObject({ status: 3, stdout: 'stopped\n' });
  expect((await heartbeat(alpha, 'reload')).status).toBe(2);
  expect((await run(HEARTBEAT, ['../r0', 'start'])).status).toBe(2);
}, 120_000);

test('ocf-tester finds nothing wrong', async () => {
  await Promise.all([alpha.up('r0'), beta.up('r0')]);
  await cluster.untilInSync();
  await alpha.down('r0');
  const parameters = {
    resource: 'r0',
    bus: alpha.bus.address,
    run_dir: alpha.runDir,
    config_dir: alpha.configDir,
  };
  const words = Object.entries(parameters).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  const env = { BLKMIRROR_FUNCTIONS: FUNCTIONS };
  const outcome = await run('ocf-tester', ['-n', 'p_r0', ...words, OCF], { env });
  expect(`${outcome.stdout}${outcome.stderr}`).toContain('passed all tests');
  expect(outcome.stdout).not.toMatch(/rc=/);
}, 120_000);

test('names are escaped as the service does it', async () => {
  const script = `. ${FUNCTIONS}; bm_device_path 0a.b-c_d`;
  const { stdout } = await run('sh', ['-c', script]);
  expect(stdout).toBe('/org/blkmirror/Mirror1/devices/_30a_2eb_2dc_5fd\n');
});

describe('the fence-peer handler of pacemaker', () => {
  const CLONE = '<clone id="ms_r0"><primitive id="p_r0"/></clone>';
  /** A cluster of files: what was queried is answered, what is created is kept. */
  const CIBADMIN = `#!/bin/sh
case "$*" in
  *--query*primitive*) echo '${CLONE}' ;;
  *--query*rsc_location*) cat "$CIB" 2>/dev/null ;;
  *--query*node_state*) cat "$STATE" ;;
  *--create*) [ ! -e "$CIB" ] && for word; do last=$word; done && echo "$last" >"$CIB" ;;
  *--delete*) rm "$CIB" ;;
esac
`;
  const files = (): { CIB: string; STATE: string } => ({
    CIB: join(bin, 'constraint.xml'),
    STATE: join(bin, 'state.xml'),
  });

  function script(name: string, text: string): void {
    writeFileSync(join(bin, name), text, { mode: 0o755 });
  }

  function handler(name: string, ...args: string[]): Promise<Outcome> {
    return run(join(repository, 'packaging/pacemaker', name), args, {
      env: { BLKMIRROR_PATH: bin, BLKMIRROR_RESOURCE: 'r0', BLKMIRROR_PEER: 'beta', ...files() },
    });
  }

  function peerIs(partition: string, state: string): void {
    script(
      'crm_node',
      `#!/bin/sh\ncase $1 in --name) echo alpha ;; *) echo ${partition} ;; esac\n`,
    );
    writeFileSync(files().STATE, `<node_state uname="beta" ${state}/>\n`);
  }

  beforeEach(() => {
    script('cibadmin', CIBADMIN);
    script('crm_attribute', '#!/bin/sh\necho true\n');
    rmSync(files().CIB, { force: true });
  });

  test('a peer that is there is kept from promotion until it is in sync', async () => {
    peerIs('alpha beta', 'crmd="online" expected="member"');
    expect(await handler('crm-fence-peer')).toMatchObject({ status: 4, stderr: '' });
    const constraint = readFileSync(files().CIB, 'utf8');
    expect(constraint).toContain('rsc="ms_r0"');
    expect(constraint).toContain('operation="ne" value="alpha"');
    expect((await handler('crm-fence-peer')).status).toBe(4);
    expect((await handler('crm-unfence-peer')).status).toBe(0);
    expect(existsSync(files().CIB)).toBe(false);
    expect((await handler('crm-unfence-peer')).status).toBe(0);
  });

  test('a peer that the cluster killed is 7, one not killed in time is not known', async () => {
    peerIs('alpha', 'crmd="offline" expected="down"');
    expect((await handler('crm-fence-peer')).status).toBe(7);
    peerIs('alpha', 'crmd="offline" expected="member"');
    const late = await handler('crm-fence-peer', '--timeout', '0');
    expect(late).toMatchObject({ status: 1 });
    expect(late.stderr).toContain('beta is lost and was not fenced within 0 s');
    script('crm_attribute', '#!/bin/sh\necho false\n');
    expect((await handler('crm-fence-peer')).status).toBe(5);
  });

  test('who comes second is fenced itself, and leaves the constraint', async () => {
    peerIs('alpha', 'crmd="offline" expected="member"');
    const theirs = '<expression attribute="#uname" operation="ne" value="beta" id="e"/>\n';
    writeFileSync(files().CIB, theirs);
    const outcome = await handler('crm-fence-peer');
    expect(outcome).toMatchObject({ status: 6 });
    expect(outcome.stderr).toContain('beta has fenced this node for r0');
    expect((await handler('crm-unfence-peer')).status).toBe(0);
    expect(readFileSync(files().CIB, 'utf8')).toBe(theirs);
  });
});
