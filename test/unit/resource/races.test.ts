// Simultaneous connections and simultaneous promotions, over many seeds; strangers and
// garbage on the port.

import { MirrorError } from '../../../src/model/errors';
import type { Hello } from '../../../src/resource/hello';
import { formatHello, parseHello } from '../../../src/resource/hello';
import { TIMEOUT_MS, World } from '../../support/mirrorWorld';

const seeds = Array.from({ length: 16 }, (_, index) => index + 1);

test.each(seeds)('both dial at once, seed %d', async (seed) => {
  const world = World.create(['alpha', 'beta'], seed);
  await world.upInSync();
  const [alpha, beta] = [world.node('alpha'), world.node('beta')];
  for (let round = 0; round < 3; round += 1) {
    world.network.cut('alpha', 'beta');
    await world.clock.pass(seed * 37);
    world.network.heal('alpha', 'beta');
    for (const node of [alpha, beta]) {
      await world.do(node.resource.disconnect({}));
      await world.clock.pass(10);
    }
    const connects = [alpha, beta].map((node) => node.resource.connect({ discardMyData: false }));
    await world.do(Promise.all(connects));
    await world.reach(() => alpha.sees('beta') && beta.sees('alpha'), 10_000);
  }
  await world.clock.pass(10_000);
  expect(world.network.openConnections()).toBe(1);
  expect(alpha.sees('beta') && beta.sees('alpha')).toBe(true);
  expect(world.violations).toEqual([]);
});

test('a restarted peer replaces a connection that looks alive', async () => {
  const world = World.create(['alpha', 'beta']);
  await world.upInSync();
  const [alpha, beta] = [world.node('alpha'), world.node('beta')];
  for (const end of beta.device.links.values()) end.end.open = false; // dies without a word
  beta.plane.crash();
  await world.up('beta');
  await world.reach(() => alpha.sees('beta') && beta.sees('alpha'), TIMEOUT_MS);
  expect(world.violations).toEqual([]);
});

test('a resync that ends before its handshake keeps its connection', async () => {
  const world = World.create(['alpha', 'beta']);
  await world.upInSync();
  const [alpha, beta] = [world.node('alpha'), world.node('beta')];
  await world.do(beta.resource.disconnect({}));
  alpha.device.write(1, 'newer');
  const establish = beta.device.establish.bind(beta.device);
  let connections = 0;
  beta.device.establish = async (slot, incarnation, plan) => {
    connections += 1;
    await establish(slot, incarnation, plan);
    await new Promise<void>((resolve) => void world.clock.after(TIMEOUT_MS / 2, resolve));
  };
  await world.do(beta.resource.connect({ discardMyData: false }));
  await world.reach(() => alpha.sees('beta') && beta.sees('alpha'), 10 * TIMEOUT_MS);
  expect(connections).toBe(1);
  expect(world.violations).toEqual([]);
});

test.each(seeds)('two promotions at once: the lower rank wins, seed %d', async (seed) => {
  const world = World.create(['alpha', 'beta', 'gamma'].slice(0, 2 + (seed % 2)), seed);
  await world.upInSync();
  const [alpha, beta] = [world.node('alpha'), world.node('beta')];
  await world.do(alpha.resource.demote());
  await world.clock.pass(1000);
  const promotions = [beta, alpha].map((node) => node.resource.promote({ force: false }));
  const results = await world.do(Promise.allSettled(promotions));
  expect(results.map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
  expect(results[0]).toMatchObject({
    reason: { code: expect.stringMatching(/Primary|Transi/) as string },
  });
  expect(alpha.resource.status().role).toBe('Primary');
  await world.reach(() => beta.peer('alpha').role === 'Primary');
  expect(beta.device.serving).toBeUndefined();
  expect(beta.disk.meta.primaryIndicator).toBe(false);
});

const moments = Array.from({ length: 24 }, (_, index) => index * 3);

/** Both Secondary, apart, and told to connect so many milliseconds ago. */
async function connecting(seed: number, primary: boolean, forMs: number): Promise<World> {
  const world = World.create(['alpha', 'beta'], seed);
  await world.upInSync();
  const [alpha, beta] = [world.node('alpha'), world.node('beta')];
  if (!primary) await world.do(alpha.resource.demote());
  await world.do(beta.resource.disconnect({}));
  await world.reach(() => alpha.peer('beta').connectionState !== 'Connected');
  await world.clock.pass(seed * 17);
  void beta.resource.connect({ discardMyData: false });
  await world.clock.pass(forMs);
  return world;
}

test.each(moments)('promote while connecting, %d ms after it began', async (forMs) => {
  for (const name of ['alpha', 'beta']) {
    const world = await connecting(forMs + 1, false, forMs);
    await world.do(world.node(name).resource.promote({ force: false }));
    const other = world.node(world.others(name)[0] ?? '');
    await world.reach(
      () => other.peer(name).role === 'Primary' && world.node(name).sees(other.name),
    );
    expect(other.resource.status().role).toBe('Secondary');
    expect(world.violations).toEqual([]);
  }
});

test.each(moments)('promote while connecting to a Primary is refused, after %d ms', async (ms) => {
  const world = await connecting(ms + 1, true, ms);
  const beta = world.node('beta');
  await expect(world.do(beta.resource.promote({ force: false }))).rejects.toMatchObject({
    code: 'PeerIsPrimary',
  });
  await world.reach(() => world.node('alpha').sees('beta'));
  expect(beta.resource.status().role).toBe('Secondary');
  expect(beta.device.metadata().peers.some((record) => record.promotedApart)).toBe(false);
});

test('what was being dialled when a promotion began makes no connection', async () => {
  const world = World.create(['alpha', 'beta']);
  await world.upInSync();
  const [alpha, beta] = [world.node('alpha'), world.node('beta')];
  await world.do(alpha.resource.demote());
  world.network.cut('alpha', 'beta');
  await world.reach(() => !alpha.sees('beta') && !beta.sees('alpha'), 10 * TIMEOUT_MS);
  await world.do(beta.resource.promote({ force: false }));
  beta.device.write(1, 'newer');
  beta.plane.dial = () => Promise.reject(new MirrorError('NotConnected', 'not now'));
  const dial = alpha.plane.dial.bind(alpha.plane);
  let dialled: () => void = () => undefined;
  const meanwhile = new Promise<void>((resolve) => (dialled = resolve));
  alpha.plane.dial = (spec) => meanwhile.then(() => dial(spec));
  world.network.heal('alpha', 'beta');
  const update = alpha.device.updateMetadata.bind(alpha.device);
  alpha.device.updateMetadata = async (patch) => {
    if (patch.primaryIndicator === true) {
      dialled();
      await world.clock.pass(50);
    }
    return update(patch);
  };
  await world.do(alpha.resource.promote({ force: false }));
  expect(alpha.resource.status()).toMatchObject({ role: 'Primary', diskState: 'UpToDate' });
  expect(world.violations).toEqual([]);
});

test.each(seeds)('promote and demote on two nodes at once, seed %d', async (seed) => {
  const world = World.create(['alpha', 'beta'], seed);
  await world.upInSync();
  for (let round = 0; round < 8; round += 1) {
    const [from, to] = round % 2 === 0 ? ['alpha', 'beta'] : ['beta', 'alpha'];
    const [primary, other] = [world.node(from), world.node(to)];
    const demoting = primary.resource.demote();
    await world.clock.pass((seed * round) % 7);
    const promoting = other.resource.promote({ force: false });
    const [, promoted] = await world.do(Promise.allSettled([demoting, promoting]));
    // Refused as long as the other is Primary: then asked again, as a cluster manager does.
    if (promoted.status === 'rejected') {
      expect(promoted.reason).toMatchObject({ code: 'PeerIsPrimary' });
      await world.do(other.resource.promote({ force: false }));
    }
    expect(primary.resource.status().role).toBe('Secondary');
    expect(other.resource.status().role).toBe('Primary');
    await world.reach(() => primary.peer(to).role === 'Primary');
  }
  expect(world.violations).toEqual([]);
});

test('a promotion that failed leaves no trace of it', async () => {
  const world = World.create(['alpha', 'beta']);
  await world.upInSync();
  await world.do(world.node('alpha').resource.demote());
  const beta = world.node('beta');
  world.network.cut('alpha', 'beta');
  await world.clock.pass(100);
  beta.device.serve = () => Promise.reject(new MirrorError('Failed', 'no socket'));
  await expect(world.do(beta.resource.promote({ force: false }))).rejects.toThrow('no socket');
  const { primaryIndicator, peers } = beta.device.metadata();
  expect(primaryIndicator).toBe(false);
  expect(peers.map((record) => record.promotedApart)).toEqual(peers.map(() => false));
  expect(beta.resource.status().role).toBe('Secondary');
});

test('a peer that stays connected and does not answer is not waited for any longer', async () => {
  const world = World.create(['alpha', 'beta']);
  await world.upInSync();
  const beta = world.node('beta');
  await world.do(world.node('alpha').resource.demote());
  await world.clock.pass(100);
  for (const link of world.node('alpha').device.links.values()) link.end.listen(deaf);
  await expect(world.do(beta.resource.promote({ force: false }))).rejects.toMatchObject({
    code: 'TimedOut',
  });
  expect(beta.resource.status().role).toBe('Secondary');
  expect(beta.disk.meta.primaryIndicator).toBe(false);
});

const deaf = { control: () => undefined, closed: () => undefined, established: () => undefined };

test('a consent ends with the connection', async () => {
  const world = World.create(['alpha', 'beta']);
  await world.upInSync();
  const [alpha, beta] = [world.node('alpha'), world.node('beta')];
  await world.do(alpha.resource.demote());
  await world.clock.pass(100);
  const text = JSON.stringify({ type: 'prepare', id: 77 });
  const { slot, incarnation } = [...alpha.device.links.values()].at(-1) ?? {
    slot: 0,
    incarnation: 0,
  };
  alpha.device.sendControl(slot, incarnation, text);
  await world.clock.pass(10);
  await expect(world.do(beta.resource.promote({ force: false }))).rejects.toMatchObject({
    code: 'InTransition',
  });
  world.network.cut('alpha', 'beta');
  await world.clock.pass(10);
  await world.do(beta.resource.promote({ force: false }));
  expect(beta.resource.status().role).toBe('Primary');
});

async function helloOfAlpha(world: World): Promise<Hello> {
  const heard: string[] = [];
  world.network.listen('gamma', 7788, (connection) => heard.push(connection.hello));
  const config = world.config();
  const nodes = config.nodes.map((node) =>
    node.name === 'beta' ? { ...node, host: 'gamma', address: 'gamma:7788' } : node,
  );
  await world.node('alpha').up({ ...config, nodes });
  await world.reach(() => heard.length > 0);
  const parsed = parseHello(heard[0] ?? '');
  if (parsed.kind !== 'hello') throw new Error(parsed.message);
  return parsed.hello;
}

const foreign: [string, Partial<Hello>, RegExp][] = [
  ['a peer that looks for somebody else', { peer: 'delta' }, /looks for delta but this is beta/],
  ['another protocol', { protocol: 'A' }, /uses protocol A for r0, beta C/],
  ['another wire version', { versionMin: 7, versionMax: 9 }, /speaks wire versions 7 to 9/],
  ['an unknown node', { node: 'delta' }, /delta is no peer of r0 here: its peers are alpha/],
];

test.each(foreign)('%s is told why', async (_name, change, message) => {
  const world = World.create(['alpha', 'beta']);
  const hello = await helloOfAlpha(world);
  await world.up('beta');
  const answers: string[] = [];
  const text = formatHello({ ...hello, ...change });
  world.node('alpha').crash();
  const end = world.network.connect('alpha', 'beta', 7788, text);
  end?.listen({ ...deaf, control: (answer) => answers.push(answer) });
  await world.reach(() => answers.length > 0);
  expect(JSON.parse(answers[0] ?? '')).toMatchObject({
    type: 'refused',
    code: 'InvalidArgs',
    message: expect.stringMatching(message) as string,
  });
  expect(world.node('beta').disk.meta.generation).toBe(1n);
});

test('another wire version leaves both nodes StandAlone', async () => {
  const world = World.create(['alpha', 'beta']);
  const hello = await helloOfAlpha(world);
  await world.up('beta');
  world.node('alpha').crash();
  const text = formatHello({ ...hello, versionMin: 7, versionMax: 9 });
  world.network.connect('alpha', 'beta', 7788, text);
  await world.reach(() => world.node('beta').standsAlone('alpha'));
  expect(world.node('beta').peer('alpha').reason).toMatch(/upgrade the older one/);
});

test('a node that answers under another name is refused on both sides', async () => {
  const world = World.create(['alpha', 'beta']);
  await world.up('beta');
  world.network.listen('alpha', 7788, (connection) => {
    const parsed = parseHello(connection.hello);
    if (parsed.kind !== 'hello') return;
    const reply = { ...parsed.hello, node: 'delta', peer: 'beta' };
    world.node('alpha').plane.refuse(connection.socket, formatHello(reply));
  });
  await world.reach(() => world.node('beta').standsAlone('alpha'));
  expect(world.node('beta').peer('alpha').reason).toMatch(/delta answered where alpha was/);
});

test('sizes that differ leave both StandAlone with the reason', async () => {
  const world = World.create(['alpha', 'beta']);
  world.node('beta').disk.meta.sizeBytes = 4096n;
  await world.up();
  await world.reach(() => world.node('alpha').standsAlone('beta'));
  await world.reach(() => world.node('beta').standsAlone('alpha'));
  for (const [node, other] of [
    ['alpha', 'beta'],
    ['beta', 'alpha'],
  ] as const) {
    expect(world.node(node).peer(other).reason).toMatch(
      /^the sizes of r0 differ: .*alpha (has )?81920 bytes.*give beta a disk/,
    );
  }
});

test.each(['', '{', '[]', '"x"', '{"type":"hello"}', `{"type":"hello","nodes":${'9'.repeat(40)}}`])(
  'a first frame of %p is refused politely',
  (text) => {
    expect(parseHello(text)).toMatchObject({
      kind: 'refused',
      message: expect.stringMatching(/^this is no hello of a blkmirror node: /) as string,
    });
  },
);

test.each([
  '{',
  '{"type":"nonsense"}',
  '{"type":"state"}',
  '{"type":"hello"}',
  '{"type":"prepare"}',
])('a control frame of %p ends that connection and nothing else', async (text) => {
  const world = World.create(['alpha', 'beta']);
  await world.upInSync();
  const [alpha, beta] = [world.node('alpha'), world.node('beta')];
  const { slot, incarnation } = [...alpha.device.links.values()].at(-1) ?? deafLink;
  alpha.device.sendControl(slot, incarnation, text);
  await world.reach(() => beta.peer('alpha').reason.startsWith('protocol error'), 1000);
  await world.reach(() => alpha.sees('beta') && beta.sees('alpha'));
  expect(alpha.resource.status().role).toBe('Primary');
  expect(world.violations).toEqual([]);
});

const deafLink = { slot: 0, incarnation: 0 };
