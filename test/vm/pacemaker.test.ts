// pacemaker with the example that the package installs, and with fencing: a node in standby, one
// without power and one that the network lost are taken over from, with the file system and the
// service on it, and come back. What the service said is on its disk is there each time.

import { readContext } from './support/context';
import { Driver, startCluster } from './support/cluster';
import { eventually } from './support/deadline';
import type { Guest } from './support/guest';
import { configure, inSyncPrimary, property, rejoined } from './support/mirror';
import { withoutEmulation } from './support/pace';
import { guestPair } from './support/pair';

const ROUNDS = readContext().full ? 10 : 2;
const AGENT = '/usr/lib/ocf/resource.d/blkmirror/mirror';
/** The constraint of crm-fence-peer, and the exit status where there is none. */
const CONSTRAINT =
  'cibadmin --query --xpath "//rsc_location[@id=\'blkmirror-fence-by-handler-r0\']"';
const NONE_STATUS = 105;
/** A minute or two are expected: pacemaker starts many programs, and each takes its time here. */
const TAKEOVER_DEADLINE_MS = 600_000;
const STEP_DEADLINE_MS = 1_800_000;
const LEAST_LINES = 5;

const { pair, step } = guestPair('pacemaker');
let driver: Driver;

async function untilOk(guest: Guest, what: string, script: string): Promise<void> {
  await eventually(
    `${what}, asked on ${guest.name}`,
    async () => ((await guest.run(script)).status === 0 ? true : undefined),
    TAKEOVER_DEADLINE_MS,
    2000,
  );
}

/** The service writes there, on the mounted file system; answers since when, as Date.now(). */
async function serves(guest: Guest): Promise<number> {
  driver.forget();
  await eventually(
    `the service to write on ${guest.name}`,
    async () => (driver.hasToldSince(guest) ? true : undefined),
    TAKEOVER_DEADLINE_MS,
  );
  const since = Date.now();
  expect(await guest.runOk('findmnt --noheadings --output SOURCE /data')).toMatch(/^\/dev\/nbd/);
  expect(await property(guest, 'r0', 'Role')).toBe('Primary');
  return since;
}

/**
 * What waits for a clock, as corosync does before it gives a node up, takes its time whoever
 * waits; what programs do is slow by emulation. `times`: of the fault, of the end of the waiting,
 * and of the first line of the service, as Date.now().
 */
async function report(what: string, guest: Guest, times: readonly number[]): Promise<void> {
  const [start = 0, waited = start, end = waited] = times;
  const waiting = (waited - start) / 1000;
  const working = (end - waited) / 1000;
  const native = waiting + (await withoutEmulation(guest, working));
  console.log(
    `${what} after ${waiting.toFixed(0)} s, the service goes on ${working.toFixed(0)} s later; ` +
      `where node starts in 0.1 s that is ${native.toFixed(0)} s`,
  );
}

/** All lines that the driver was told of. */
async function hasAllLines(guest: Guest): Promise<void> {
  const told = [...driver.told];
  const found = (await guest.runOk('cat /data/lines')).split('\n');
  told.forEach((host, index) => {
    if (host === undefined) return;
    expect(found[index]?.trimEnd()).toBe(`${String(index + 1).padStart(8, '0')} ${host}`);
  });
  expect(driver.toldAgain).toEqual([]);
}

/** As Secondary and in sync; and nothing of a fencing is left. */
async function isBack(guest: Guest, other: Guest): Promise<void> {
  const shown = `crm_mon --one-shot | grep 'Unpromoted: \\[ ${guest.name} '`;
  await untilOk(other, `${guest.name} to be Secondary`, shown);
  await rejoined(guest, other, 'r0');
  expect(await property(guest, 'r0', 'Role')).toBe('Secondary');
  await eventually('the constraint to be gone', async () =>
    (await other.run(CONSTRAINT)).status === NONE_STATUS ? true : undefined,
  );
}

/** Where the file system is, and the other one. */
async function holder(): Promise<[Guest, Guest]> {
  const { alpha, beta } = pair();
  return (await alpha.run('findmnt /data')).status === 0 ? [alpha, beta] : [beta, alpha];
}

/** Switches off where the service runs, or cuts the wire; answers who is left. */
async function afterFault(fault: 'power-off' | 'cut'): Promise<[Guest, Guest]> {
  const [primary, secondary] = await holder();
  const before = driver.fenced.length;
  if (fault === 'power-off') await primary.powerOff();
  else await primary.control('set_link', { name: 'net', up: false });
  const name = await eventually(
    'a node to be fenced',
    async () => driver.fenced[before],
    TAKEOVER_DEADLINE_MS,
  );
  if (fault === 'power-off') expect(name).toBe(primary.name);
  return name === primary.name ? [primary, secondary] : [secondary, primary];
}

async function round(number: number): Promise<void> {
  const fault = number % 2 === 0 ? 'power-off' : 'cut';
  const lines = driver.told.length;
  await eventually('lines', async () =>
    driver.told.length >= lines + LEAST_LINES ? true : undefined,
  );
  const start = Date.now();
  const [lost, left] = await afterFault(fault);
  const end = await serves(left);
  await report(`${fault}: ${lost.name} fenced`, left, [start, driver.fencedAt, end]);
  await hasAllLines(left);
  expect(await left.runOk(CONSTRAINT)).toContain(`value="${left.name}"`);
  await left.control('set_link', { name: 'net', up: true });
  await lost.powerOn();
  await lost.runOk('systemctl start corosync pacemaker');
  await isBack(lost, left);
  await hasAllLines(left);
  expect(driver.fenced.length).toBe(number + 1);
}

step(
  'ocf-tester passes on the agent',
  async () => {
    const { alpha } = pair();
    await configure(pair(), 'r0');
    await inSyncPrimary(pair(), 'r0');
    await alpha.runOk('mkfs.ext4 -q /dev/blkmirror/r0');
    // pacemaker starts the resource, and no unit does it for pacemaker.
    const alone = 'systemctl enable blkmirrord && systemctl disable --now blkmirror@r0';
    await alpha.runOk(alone);
    const said = await alpha.runOk(`ocf-tester -n p_r0 -o resource=r0 ${AGENT}`, {
      deadlineMs: TAKEOVER_DEADLINE_MS,
    });
    expect(said).toContain('passed all tests');
    await pair().beta.runOk(alone);
  },
  STEP_DEADLINE_MS,
);

step(
  'the example is loaded: one node is promoted, mounts and starts the service',
  async () => {
    driver = new Driver(pair());
    const token = await startCluster(pair());
    console.log(`corosync waits for a node that says nothing for ${token} ms, and asks again`);
    await eventually(
      'a line',
      async () => (driver.told.length > 0 ? true : undefined),
      TAKEOVER_DEADLINE_MS,
    );
    const [primary, secondary] = await holder();
    await serves(primary);
    await isBack(secondary, primary);
  },
  STEP_DEADLINE_MS,
);

step(
  'a node in standby is taken over from, and comes back',
  async () => {
    const [from, to] = await holder();
    const start = Date.now();
    await from.runOk(`crm_standby --node ${from.name} --update on`);
    const end = await serves(to);
    await report('standby: asked for', to, [start, start, end]);
    await hasAllLines(to);
    await to.runOk(`crm_standby --node ${from.name} --delete`);
    await isBack(from, to);
    expect(driver.fenced).toEqual([]);
  },
  STEP_DEADLINE_MS,
);

for (let number = 0; number < ROUNDS; number++) {
  const fault = number % 2 === 0 ? 'power-off' : 'a network cut';
  step(
    `after ${fault} one node is fenced, the other has all that was written (round ${number + 1})`,
    () => round(number),
    STEP_DEADLINE_MS,
  );
}
