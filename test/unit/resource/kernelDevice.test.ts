// The kernel device of a resource over a fake kernel: promotion, demotion, and a later process that
// goes on as Primary, or must not.

import type { ResourceConfig } from '../../../src/config/types';
import type { KernelSide } from '../../../src/resource/kernelDevice';
import { FakeKernel } from '../../support/fakeKernel';
import { World } from '../../support/mirrorWorld';
import type { Node } from '../../support/mirrorWorld';

let world: World;
let kernel: FakeKernel;
let missing: string[];

beforeEach(() => {
  world = World.create(['alpha', 'beta']);
  kernel = new FakeKernel();
  missing = [];
});

afterEach(() => {
  kernel.remove();
  expect(world.violations).toEqual([]);
});

const alpha = (): Node => world.node('alpha');
const beta = (): Node => world.node('beta');

function config(device: string, more: Partial<ResourceConfig> = {}): ResourceConfig {
  return { ...world.config(), device, ...more };
}

/** As a newly started daemon has it. */
function newSide(): KernelSide {
  const onMissing = (why: string): void => void missing.push(why);
  return { devices: kernel.devices(world.clock), sockets: kernel, onMissing };
}

async function startAlpha(configured = config('auto')): Promise<void> {
  alpha().kernel = newSide();
  await alpha().up(configured);
}

/** In sync, alpha Primary with its kernel device. */
async function upWithDevice(configured = config('auto')): Promise<void> {
  await startAlpha(configured);
  await beta().up({ ...configured, device: 'none' });
  await world.do(alpha().resource.promote({ force: true }));
  await world.reach(() => alpha().sees('beta') && beta().sees('alpha'));
}

/** kill -9: the kernel's device stays, its connection is dead. */
function killAlpha(): void {
  alpha().crash();
  kernel.die();
}

function failures(node: Node): string[] {
  return node.changes.flatMap((change) => (change.type === 'failed' ? change.error.message : []));
}

const isPrimary = (): boolean => alpha().resource.status().role === 'Primary';

test('a promotion has the kernel device, a demotion ends it', async () => {
  await upWithDevice();
  expect(alpha().resource.status().device).toBe(`${kernel.roots.dev}/blkmirror/r0`);
  expect(kernel.connected.get(0)?.spec).toMatchObject({ sizeBytes: 81920n, blockBytes: 512 });
  expect(alpha().device.kernelFd).toBe(kernel.connected.get(0)?.fd);
  await world.do(alpha().resource.demote());
  expect(alpha().resource.status()).toMatchObject({ role: 'Secondary', device: null });
  expect(kernel.calls).toEqual(['connect 0', 'claim nbd0', 'disconnect 0']);
  expect(kernel.links()).toEqual([]);
  expect(kernel.open.size).toBe(1); // the data plane's, which the fake does not close
});

test('demote and down are refused while it is mounted, and leave it as it is', async () => {
  await upWithDevice();
  kernel.mount('nbd0', '/data');
  const message = 'r0 is in use: /dev/nbd0 is mounted on /data; end that first';
  await expect(world.do(alpha().resource.demote())).rejects.toThrow(message);
  await expect(world.do(alpha().resource.down())).rejects.toThrow(message);
  expect(alpha().device.kernelFd).toBeDefined();
  kernel.unmount();
  await world.do(alpha().resource.demote());
  expect(kernel.connected.size).toBe(0);
});

test('device = none asks the kernel for nothing', async () => {
  await upWithDevice(config('none'));
  expect(kernel.calls).toEqual([]);
  expect(alpha().resource.status().device).toBeNull();
});

test('device = auto does without where the kernel has no nbd, or root is needed', async () => {
  kernel.present = false;
  await upWithDevice();
  expect(alpha().resource.status()).toMatchObject({ role: 'Primary', device: null });
  expect(missing).toEqual(['the kernel has no nbd: run modprobe nbd']);
  await world.do(alpha().resource.demote());
  kernel.present = true;
  kernel.permitted = false;
  await world.do(alpha().resource.promote({ force: false }));
  expect(missing).toContain('not permitted: run the service as root');
});

test('a named device that cannot be had refuses the promotion', async () => {
  kernel.present = false;
  await startAlpha(config('/dev/nbd1'));
  await beta().up();
  await expect(world.do(alpha().resource.promote({ force: true }))).rejects.toThrow(
    'r0 cannot have /dev/nbd1: the kernel has no nbd: run modprobe nbd, or use device = none',
  );
  expect(alpha().resource.status().role).toBe('Secondary');
  kernel.present = true;
  await world.do(alpha().resource.promote({ force: true }));
  expect([...kernel.connected.keys()]).toEqual([1]);
});

test.each(['C', 'B', 'A'] as const)('killed, it goes on as Primary in protocol %s', async (one) => {
  await upWithDevice(config('auto', { protocol: one }));
  alpha().device.write(1, 'before');
  killAlpha();
  await world.reach(() => beta().peer('alpha').connectionState !== 'Connected');
  await startAlpha(config('auto', { protocol: one }));
  await world.reach(isPrimary);
  expect(kernel.connected.get(0)).toMatchObject({ dead: false, fd: alpha().device.kernelFd });
  await world.reach(() => alpha().sees('beta') && beta().sees('alpha'));
  expect(beta().contents()).toEqual(alpha().contents());
  expect(alpha().resource.status().device).not.toBeNull();
  expect(failures(alpha())).toEqual([]);
});

test('killed while it was in the middle of writes, its copy is the source', async () => {
  await upWithDevice();
  alpha().disk.blocks.set(2, 'written here alone, and sent again by the kernel');
  alpha().disk.peers.forEach((peer) => peer.bits.add(2));
  killAlpha();
  await startAlpha();
  await world.reach(isPrimary);
  expect(alpha().resource.status().diskState).toBe('UpToDate');
  await world.reach(() => alpha().sees('beta') && beta().sees('alpha'));
  expect(beta().disk.blocks.get(2)).toBe('written here alone, and sent again by the kernel');
});

test('a peer that is Primary now: the device fails its requests, and that is told', async () => {
  await upWithDevice();
  killAlpha();
  await world.reach(() => beta().peer('alpha').connectionState !== 'Connected');
  await world.do(beta().resource.promote({ force: false }));
  beta().device.write(3, 'the new Primary');
  await startAlpha();
  await world.reach(() => failures(alpha()).length > 0 && alpha().sees('beta'));
  expect(kernel.connected.size).toBe(0);
  expect(alpha().resource.status()).toMatchObject({ role: 'Secondary', device: null });
  expect(alpha().disk.blocks.get(3)).toBe('the new Primary');
  expect(failures(alpha()).join()).toMatch(
    /r0 does not go on as Primary: .*requests that waited on .*nbd0 have failed/,
  );
});

test('a peer that was Primary meanwhile and wrote: likewise', async () => {
  await upWithDevice();
  killAlpha();
  await world.reach(() => beta().peer('alpha').connectionState !== 'Connected');
  await world.do(beta().resource.promote({ force: false }));
  beta().device.write(3, 'meanwhile');
  await world.do(beta().resource.demote());
  await startAlpha();
  await world.reach(() => kernel.connected.size === 0);
  await world.reach(() => alpha().sees('beta'));
  expect(alpha().resource.status().role).toBe('Secondary');
  expect(alpha().disk.blocks.get(3)).toBe('meanwhile');
});

test('no peer answers: by fencing = dont-care it goes on alone', async () => {
  await upWithDevice();
  beta().crash();
  killAlpha();
  await startAlpha();
  await world.do(alpha().resource.resumed);
  expect(isPrimary()).toBe(true);
  expect(alpha().device.kernelFd).toBeDefined();
});

test('no peer answers and it cannot be fenced: the device fails its requests', async () => {
  const configured = config('auto', { fencing: 'resource-only' });
  await upWithDevice(configured);
  beta().crash();
  killAlpha();
  alpha().answers.set('fence-peer', { kind: 'exited', status: 1 });
  await startAlpha(configured);
  await world.do(alpha().resource.resumed);
  expect(kernel.connected.size).toBe(0);
  expect(alpha().resource.status().role).toBe('Secondary');
  expect(failures(alpha()).join()).toContain('beta is not fenced');
});

test('a restart keeps the connection, and what was read of it', async () => {
  await upWithDevice();
  const fd = alpha().device.kernelFd;
  await world.do(alpha().resource.close('restart'));
  expect(kernel.stored.get('r0')).toEqual({ fd, unread: new Uint8Array([fd ?? 0]) });
  alpha().crash();
  kernel.die();
  await startAlpha();
  await world.reach(isPrimary);
  expect(alpha().device.kernelFd).toBe(fd);
  expect(kernel.calls).toEqual(['connect 0']);
  expect(kernel.stored.size).toBe(0);
});

test('a stop ends a device that nobody uses', async () => {
  await upWithDevice();
  await world.do(alpha().resource.close());
  expect(kernel.connected.size).toBe(0);
  expect(kernel.links()).toEqual([]);
});

test('a stop leaves a device that is in use, and the next start goes on with it', async () => {
  await upWithDevice();
  kernel.mount('nbd0', '/data');
  await world.do(alpha().resource.close());
  expect(kernel.connected.size).toBe(1);
  expect(failures(alpha()).join()).toMatch(/nbd0 of r0 stays, and waits for the service: r0 is in/);
  alpha().crash();
  kernel.die();
  await startAlpha();
  await world.reach(isPrimary);
  expect(kernel.connected.get(0)?.fd).toBe(alpha().device.kernelFd);
});

test('a connection that ended by itself is made anew', async () => {
  await upWithDevice();
  kernel.die();
  alpha().device.loseKernel();
  await world.reach(() => alpha().device.kernelFd !== undefined);
  expect(kernel.calls).toEqual(['connect 0', 'reconfigure 0']);
});

test('a device that somebody else disconnected is given up, and that is told', async () => {
  await upWithDevice(config('/dev/nbd0'));
  await kernel.disconnect(0);
  alpha().device.loseKernel();
  await world.reach(() => alpha().resource.status().device === null);
  expect(failures(alpha()).join()).toMatch(/somebody else has disconnected .*nbd0 of r0: demote/);
  await world.do(alpha().resource.demote());
  await world.do(alpha().resource.promote({ force: false }));
  expect(alpha().resource.status().device).not.toBeNull();
});
