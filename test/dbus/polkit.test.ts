// Who may change something, by a real polkitd on a bus of its own, and without one.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readMirrorInterfaces } from '../../src/dbus/interfaces';
import type { MirrorBus } from '../../src/dbus/mirrorBus';
import { POLKIT_ACTIONS } from '../../src/dbus/polkit';
import { PolkitDaemon } from '../support/polkitDaemon';
import { PrivateBus } from '../support/privateBus';
import type { Outcome } from '../support/privateBus';
import { ServiceWorld } from '../support/serviceWorld';
import { repository } from '../support/systemProcess';

const NAME = 'org.blkmirror.Mirror1';
const ROOT = '/org/blkmirror/Mirror1';
const R0 = `${ROOT}/devices/r0`;
const NOBODY = 65_534;
const DAEMON = 1;
/** Nobody may promote; whoever asks to connect would have to give a password. */
const RULES = `
polkit.addRule(function (action, subject) {
  if (action.id === 'org.blkmirror.manage-role' && subject.user === 'nobody') {
    return polkit.Result.YES;
  }
  if (action.id === 'org.blkmirror.configure') return polkit.Result.NO;
});
`;
/** Other users, and mounts, need root. */
const asRoot = process.getuid?.() === 0 ? test : test.skip;

const bus = new PrivateBus();
const polkit = new PolkitDaemon(bus, RULES);
let world: ServiceWorld;
let mirror: MirrorBus;

beforeAll(() => bus.start());
afterAll(async () => {
  await polkit.stop();
  await bus.remove();
});

beforeEach(async () => {
  world = new ServiceWorld();
  world.configure('r0');
  await world.service.up('r0');
  mirror = world.mirrorBus(bus.address);
  await mirror.open();
});

afterEach(async () => {
  await mirror.close();
  await world.close();
});

function device(uid: number, method: string, ...options: string[]): Promise<Outcome> {
  const given = options.length === 0 ? ['0'] : options;
  return bus.busctlAs(uid, 'call', NAME, R0, `${NAME}.Device`, method, 'a{sv}', ...given);
}

asRoot('without polkit only root and the own user change anything', async () => {
  const refused = await device(NOBODY, 'Promote');
  expect(refused.stderr).toContain('Promote is refused to user 65534: only root may change');
  expect((await device(0, 'Promote')).stderr).toBe('');
  expect(world.device('r0').calls).toEqual(['promote {"force":false}']);
});

asRoot('polkit grants, refuses and would ask, by action, user and option', async () => {
  await polkit.start();
  expect((await device(NOBODY, 'Promote')).stderr).toBe('');
  expect((await device(NOBODY, 'Promote', '1', 'force', 'b', 'false')).stderr).toBe('');
  const byForce = await device(NOBODY, 'Promote', '1', 'force', 'b', 'true');
  expect(byForce.stderr).toContain('polkit asks for a password (org.blkmirror.manage-copies)');
  const other = await device(DAEMON, 'Promote');
  expect(other.stderr).toContain('polkit asks for a password (org.blkmirror.manage-role)');
  const connect = await device(NOBODY, 'Connect');
  expect(connect.stderr).toContain('(org.blkmirror.manage-replication)');
  expect(world.device('r0').calls).toEqual(['promote {"force":false}', 'promote {"force":false}']);
  const down = ['call', NAME, ROOT, `${NAME}.Manager`, 'Down', 'sa{sv}', 'r0', '0'];
  const refused = await bus.busctlAs(NOBODY, ...down);
  expect(refused.stderr).toContain('polkit does not grant org.blkmirror.configure; run it as root');
  expect((await bus.busctl(...down)).stderr).toBe('');
  await polkit.stop();
});

asRoot(
  'a caller that allows interaction is refused all the same where nobody can be asked',
  async () => {
    await polkit.start();
    const allow = '--allow-interactive-authorization=yes';
    const call = ['call', NAME, R0, `${NAME}.Device`, 'Demote', 'a{sv}', '0'];
    const outcome = await bus.busctlAs(DAEMON, allow, ...call);
    expect(outcome.stderr).toContain('Demote is refused to user 1: polkit');
    await polkit.stop();
    const gone = await device(DAEMON, 'Demote');
    expect(gone.stderr).toContain('Demote is refused to user 1: only root may change anything');
  },
);

test('every method has one action, and every action is described', () => {
  const { manager, job, peer, ...rest } = readMirrorInterfaces();
  const methods = [manager, job, peer, rest.device].flatMap((spec) =>
    [...spec.methods.keys()].map((method) => `${spec.name.replace(`${NAME}.`, '')}.${method}`),
  );
  expect(Object.keys(POLKIT_ACTIONS).sort()).toEqual(methods.sort());
  const policy = readFileSync(join(repository, 'dbus/org.blkmirror.policy'), 'utf8');
  const described = [...policy.matchAll(/<action id="([^"]+)">/g)].map(([, id]) => id);
  expect(described.sort()).toEqual([...new Set<string>(Object.values(POLKIT_ACTIONS))].sort());
});
