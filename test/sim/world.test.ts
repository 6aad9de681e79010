// The simulated world itself: the same seed is the same run, disks lose what was not flushed,
// connections are held by a cut of one direction, a paused node stands still.

import { BarePair, DISK } from './bare';

let pair: BarePair | undefined;

async function mirrored(seed: bigint): Promise<BarePair> {
  const made = new BarePair(seed);
  pair = made;
  await made.begin();
  made.mirror();
  return made;
}

afterEach(() => {
  pair?.world.close();
  pair = undefined;
});

async function hashOf(seed: bigint): Promise<bigint> {
  const run = await mirrored(seed);
  run.client();
  run.operations(200);
  run.beta.node.crash('power');
  run.pass(700_000);
  run.operations(200);
  const hash = run.world.traceHash();
  run.world.close();
  return hash;
}

test('the same seed gives the same run, another one another', async () => {
  const first = await hashOf(7n);
  expect(await hashOf(7n)).toBe(first);
  expect(await hashOf(8n)).not.toBe(first);
});

test('a client is answered, and both copies hold what the model says', async () => {
  const { world, alpha, beta, ...run } = await mirrored(1n);
  const made = pair as BarePair;
  const client = made.client();
  made.operations(500);
  client.stop();
  made.pass(100_000);
  expect(client.idle).toBe(true);
  expect(client.counters).toMatchObject({ errors: 0 });
  expect(world.model.checkCopy(0, alpha.node, DISK)).toBe('');
  expect(world.model.checkCopy(0, beta.node, DISK)).toBe('');
  expect(world.model.compareCopies(alpha.node, DISK, beta.node, DISK)).toBe('');
  expect(world.model.facts(0).acknowledged).toBeGreaterThan(100);
  expect(run.diskBytes).toBeGreaterThan(0);
});

test('a power loss takes what no flush covered, and nothing else', async () => {
  const made = await mirrored(3n);
  const { world, alpha } = made;
  const client = made.client({ flushPercent: 0 });
  made.operations(400);
  client.stop();
  made.pass(100_000);
  client.drop();
  alpha.node.crash('power');
  expect(world.faults()['lostSector']).toBeGreaterThan(0);
  expect(world.model.checkCopy(0, alpha.node, DISK)).not.toBe('');
  world.model.losePower(0);
  expect(world.model.checkCopy(0, alpha.node, DISK)).toBe('');
});

test('a cut of one direction holds what is sent, and the link ends by its timeout', async () => {
  const made = await mirrored(4n);
  const { world, alpha, beta } = made;
  const client = made.client();
  made.operations(100);
  world.setCut(beta.node, alpha.node, true);
  made.pass(2_000_000);
  expect(alpha.events.at(-1)).toMatchObject({ type: expect.any(String) as string });
  expect(alpha.has('linkClosed')).toBe(true);
  expect(world.faults()['heldSegment']).toBeGreaterThan(0);
  made.operations(100);
  client.stop();
  world.setCut(beta.node, alpha.node, false);
  made.until(() => beta.has('linkClosed'));
});

test('a dial waits through a cut up to its timeout, and a firewall refuses it', async () => {
  const made = new BarePair(5n);
  pair = made;
  await made.begin();
  const { world, alpha, beta } = made;
  world.setCut(alpha.node, beta.node, true);
  made.dial(50);
  made.until(() => alpha.lobbyEvents.length === 1);
  expect(alpha.lobbyEvents[0]).toMatchObject({ type: 'dialled', code: 'ETIMEDOUT' });
  world.setCut(alpha.node, beta.node, false);
  world.setRefusing(alpha.node, beta.node, true);
  beta.lobbyEvents.push({ type: 'dialled' } as never);
  made.dial();
  made.until(() => alpha.lobbyEvents.length === 2);
  expect(alpha.lobbyEvents[1]).toMatchObject({ type: 'dialled', code: 'ECONNREFUSED' });
});

test('a paused node answers nothing until it goes on', async () => {
  const made = await mirrored(6n);
  const client = made.client();
  made.operations(50);
  made.alpha.node.pause();
  made.pass(10_000);
  const before = made.world.operations();
  made.pass(300_000);
  expect(made.world.operations()).toBe(before);
  made.alpha.node.resume();
  made.operations(50);
  client.stop();
});

test('a disk that hangs holds operations until it is healed', async () => {
  const made = await mirrored(9n);
  made.client();
  made.operations(50);
  made.alpha.node.setDisk(DISK, { hang: true });
  made.pass(200_000);
  const before = made.world.operations();
  made.pass(200_000);
  expect(made.world.operations()).toBe(before);
  expect(made.world.faults()['heldOperation']).toBeGreaterThan(0);
  made.alpha.node.healDisk(DISK);
  made.operations(50);
});

test('damage to the metadata is found when the disk is attached again', async () => {
  const made = await mirrored(10n);
  const { beta } = made;
  beta.node.crash('process');
  expect(beta.node.damageMetadata(DISK, 'superblock0', 'flip')).toBe(true);
  expect(beta.node.damageMetadata(DISK, 'superblock1', 'zero')).toBe(true);
  beta.boot();
  await expect(beta.addon.readMetadata(DISK, '')).rejects.toMatchObject({ code: 'EBADMSG' });
});

test('a fork may be anything by force, but must hold what its generation says', async () => {
  const made = await mirrored(11n);
  const { world, alpha, beta } = made;
  const client = made.client({ readPercent: 10 });
  made.operations(100);
  beta.node.crash('process');
  made.pass(1_000_000);
  made.operations(300);
  client.drop();
  alpha.node.crash('process');
  expect(world.model.acknowledgedAfter(0, 0x1230n)).toBeGreaterThan(0);
  expect([0x1230n, 0x9999n].map((uuid) => world.model.knows(0, uuid))).toEqual([true, false]);
  const held = { uuid: 0x1230n, powerLost: false };
  const branch = world.model.fork(0, beta.node, DISK, held);
  expect(world.violation()).toBe('');
  expect(world.model.checkCopy(branch, beta.node, DISK)).toBe('');
  world.model.fork(0, beta.node, DISK, { uuid: 0x9999n, powerLost: false });
  expect(world.violation()).toContain('does not hold what it must');
});
