// Fencing over the memory plane: who is fenced when, and what each answer does.

import { MirrorError } from '../../../src/model/errors';
import type { FencingPolicy } from '../../../src/model/fencing';
import type { HandlerEnd } from '../../../src/model/handlers';
import { World } from '../../support/mirrorWorld';

let world: World;

async function start(fencing: FencingPolicy, end: HandlerEnd): Promise<void> {
  world = World.create(['alpha', 'beta']);
  const config = { ...world.config(), fencing };
  for (const node of ['alpha', 'beta']) {
    world.node(node).answers.set('fence-peer', end);
    await world.node(node).up(config);
  }
  await world.do(world.node('alpha').resource.promote({ force: true }));
  await world.reach(() => world.node('alpha').sees('beta') && world.node('beta').sees('alpha'));
}

function exit(status: number): HandlerEnd {
  return { kind: 'exited', status };
}

function fenced(node: string): number {
  return world.node(node).handled.filter((one) => one.startsWith('fence-peer')).length;
}

function isOutdated(node: string, peer: string): boolean {
  const { peers } = world.node(node).device.metadata();
  return peers.some((record) => record.name === peer && record.outdated);
}

test.each([3, 4, 5, 7])('stonith: exit status %d lets suspended I/O go on', async (status) => {
  await start('resource-and-stonith', exit(status));
  const before = fenced('alpha');
  world.node('beta').crash();
  await world.reach(() => isOutdated('alpha', 'beta'));
  await world.reach(() => !world.node('alpha').resource.status().suspended);
  expect(fenced('alpha')).toBe(before + 1);
});

test.each([
  [3, 'Inconsistent'],
  [4, 'Outdated'],
  [5, 'Outdated'],
  [7, 'Outdated'],
])('after exit status %d the absent copy is shown as %s', async (status, diskState) => {
  await start('resource-and-stonith', exit(status));
  world.node('beta').crash();
  await world.reach(() => isOutdated('alpha', 'beta'));
  expect(world.node('alpha').peer('beta').diskState).toBe(diskState);
  await world.node('beta').up({ ...world.config(), fencing: 'resource-and-stonith' });
  await world.reach(() => world.node('alpha').sees('beta'));
  expect(world.node('alpha').peer('beta').diskState).toBe('UpToDate');
});

test.each(['disconnect', 'down', 'close'] as const)(
  'stonith: who leaves by %s is Outdated and says so: no handler runs',
  async (how) => {
    await start('resource-and-stonith', exit(5));
    const before = fenced('alpha');
    const { resource } = world.node('beta');
    await world.do(how === 'disconnect' ? resource.disconnect({}) : resource[how]());
    await world.reach(() => isOutdated('alpha', 'beta'));
    await world.reach(() => !world.node('alpha').resource.status().suspended);
    expect(world.node('alpha').peer('beta').diskState).toBe('Outdated');
    expect(fenced('alpha')).toBe(before);
    world.node('alpha').device.write(1, 'without beta');
    if (how === 'disconnect') {
      expect(resource.status().diskState).toBe('Outdated');
      await expect(world.do(resource.promote({ force: false }))).rejects.toThrow(/is Outdated/);
      await world.do(resource.connect({ discardMyData: false }));
    } else {
      await world.node('beta').up({ ...world.config(), fencing: 'resource-and-stonith' });
    }
    await world.reach(() => world.node('beta').resource.status().diskState === 'UpToDate');
    expect(isOutdated('alpha', 'beta')).toBe(false);
  },
);

test('stonith: who is detached is Outdated and says so, and is whole after attach', async () => {
  await start('resource-and-stonith', exit(5));
  const before = fenced('alpha');
  const { resource } = world.node('beta');
  await world.do(resource.detach({ force: false }));
  await world.reach(() => isOutdated('alpha', 'beta'));
  await world.reach(() => !world.node('alpha').resource.status().suspended);
  expect(fenced('alpha')).toBe(before);
  world.node('alpha').device.write(1, 'without beta');
  await world.do(resource.attach());
  await world.reach(() => resource.status().diskState === 'UpToDate');
  expect(isOutdated('alpha', 'beta')).toBe(false);
});

test('stonith: who comes back after a farewell and crashes is fenced', async () => {
  await start('resource-and-stonith', exit(5));
  const before = fenced('alpha');
  await world.do(world.node('beta').resource.disconnect({}));
  await world.do(world.node('beta').resource.connect({ discardMyData: false }));
  await world.reach(() => world.node('beta').resource.status().diskState === 'UpToDate');
  world.node('beta').crash();
  await world.reach(() => isOutdated('alpha', 'beta'));
  expect(fenced('alpha')).toBe(before + 1);
});

test('stonith: a peer that is lost while its Primary ends is fenced, and it ends', async () => {
  await start('resource-and-stonith', exit(5));
  const { device, resource } = world.node('alpha');
  const withdraw = device.withdraw.bind(device);
  let flushed: () => void = () => undefined;
  const lastFlush = new Promise<void>((resolve) => (flushed = resolve));
  device.withdraw = (force) => lastFlush.then(() => withdraw(force));
  const ended = resource.close();
  world.node('beta').crash();
  await world.reach(() => isOutdated('alpha', 'beta') && !resource.status().suspended);
  flushed();
  await world.do(ended);
});

test.each(['before', 'after'])(
  'stonith: a disk that fails while it is written down holds nobody (told %s the failure)',
  async (told) => {
    await start('resource-and-stonith', exit(5));
    const { device, resource } = world.node('alpha');
    const real = device.updateMetadata.bind(device);
    let asked = false;
    device.updateMetadata = async (patch) => {
      if (patch.peers?.some((peer) => peer.outdated === true) !== true) return real(patch);
      asked = true;
      if (told === 'before') device.fail('writing the metadata');
      throw new MirrorError('Failed', 'writing the metadata: Input/output error');
    };
    world.node('beta').crash();
    await world.reach(() => asked);
    if (told === 'after') {
      await world.clock.pass(10_000);
      expect(device.undecided.size).toBe(1);
      expect(resource.status().suspendedReason).toMatch(/cannot be written down/);
      device.fail('writing the metadata');
    }
    await world.reach(() => device.undecided.size === 0);
    expect(resource.status().diskState).toBe('Diskless');
    expect(resource.status().suspendedReason).toMatch(/^waits for beta: it has the data/);
  },
);

test('dont-care: who leaves keeps its copy as it is', async () => {
  await start('dont-care', exit(5));
  await world.do(world.node('beta').resource.disconnect({}));
  expect(world.node('beta').resource.status().diskState).toBe('UpToDate');
});

test('what a handler said is remembered over a restart as Outdated, as DRBD does', async () => {
  await start('resource-and-stonith', exit(3));
  world.node('beta').crash();
  await world.reach(() => isOutdated('alpha', 'beta'));
  world.node('alpha').crash();
  await world.node('alpha').up({ ...world.config(), fencing: 'resource-and-stonith' });
  expect(world.node('alpha').peer('beta').diskState).toBe('Outdated');
});

test.each<[string, HandlerEnd, RegExp]>([
  ['exit status 6', exit(6), /Primary too/],
  ['exit status 0', exit(0), /exited with 0/],
  ['exit status 127', exit(127), /exited with 127/],
  ['a handler that hangs', { kind: 'failed', message: 'was killed' }, /was killed/],
])('stonith: after %s I/O stays suspended until resume-io', async (_name, end, why) => {
  await start('resource-and-stonith', end);
  world.node('beta').crash();
  const alpha = world.node('alpha').resource;
  await world.reach(() => why.test(alpha.status().suspendedReason));
  expect(alpha.status().suspended).toBe(true);
  expect(alpha.status().suspendedReason).toContain('resume-io r0');
  await expect(world.do(alpha.demote())).rejects.toMatchObject({ code: 'InTransition' });
  await world.do(alpha.resumeIo());
  await world.reach(() => !alpha.status().suspended);
  expect(isOutdated('alpha', 'beta')).toBe(false);
});

test('stonith: the return of the peer ends it, and the mark of a fenced one', async () => {
  await start('resource-and-stonith', exit(4));
  world.node('beta').crash();
  await world.reach(() => isOutdated('alpha', 'beta'));
  await world.node('beta').up({ ...world.config(), fencing: 'resource-and-stonith' });
  await world.reach(() => world.node('alpha').sees('beta'));
  await world.reach(() => !isOutdated('alpha', 'beta'));
});

test('resource-only: I/O goes on meanwhile, whatever the answer', async () => {
  await start('resource-only', exit(1));
  world.node('beta').crash();
  await world.reach(() => fenced('alpha') > 0);
  expect(world.node('alpha').device.suspendsOnLoss).toBe(false);
  expect(world.node('alpha').resource.status().suspended).toBe(false);
});

test('a policy that is changed while Primary holds from then on', async () => {
  await start('dont-care', exit(1));
  const alpha = world.node('alpha');
  const config = world.config();
  await world.do(alpha.resource.reconfigure({ ...config, fencing: 'resource-and-stonith' }));
  world.node('beta').crash();
  await world.reach(() => alpha.resource.status().suspendedReason.includes('exited with 1'));
  expect(alpha.device.statistics().suspended).toBe(true);
  await world.do(alpha.resource.reconfigure({ ...config, fencing: 'resource-only' }));
  expect(alpha.resource.status().suspended).toBe(false);
});

test('dont-care: nobody is fenced', async () => {
  await start('dont-care', exit(4));
  world.node('beta').crash();
  await world.reach(() => world.node('alpha').peer('beta').connectionState !== 'Connected');
  expect(fenced('alpha')).toBe(0);
});

test.each([
  [4, undefined],
  [5, undefined],
  [6, 'PeerIsPrimary'],
  [1, 'NotConnected'],
])('a Secondary left by its Primary, fence-peer %d: %s', async (status, code) => {
  await start('resource-only', exit(status));
  world.node('alpha').crash();
  const beta = world.node('beta').resource;
  await world.reach(() => beta.status().diskState === 'Consistent');
  const promotion = world.do(beta.promote({ force: false }));
  if (code === undefined) await promotion;
  else await expect(promotion).rejects.toMatchObject({ code });
  const disk = code === undefined ? 'UpToDate' : status === 6 ? 'Outdated' : 'Consistent';
  expect(beta.status()).toMatchObject({ diskState: disk });
});

test('a refused resync disconnects and nothing is given up', async () => {
  await start('dont-care', exit(4));
  world.node('beta').answers.set('before-resync-target', exit(1));
  world.node('beta').crash();
  world.node('alpha').device.write(1, 'beta lacks this');
  await world.node('beta').up();
  await world.reach(() => world.node('beta').standsAlone('alpha'));
  expect(world.node('beta').resource.status().diskState).toBe('UpToDate');
  expect(world.node('beta').peer('alpha').reason).toContain('before-resync-target exited with 1');
});
