// A peer of another protocol version, or one that speaks a feature more: refused with what to do,
// or served. The test is the peer: it answers with the node's own hello, turned round.

import { once } from 'node:events';
import type { Server, Socket } from 'node:net';
import { until } from '../support/privateBus';
import { Cluster } from '../support/systemCluster';
import { dialPort, listenOn, readControl, writeControl } from '../support/wireFrames';

jest.setTimeout(120_000);

type Json = Record<string, unknown>;

let cluster: Cluster;
let listener: Server;
let opened: Socket[] = [];

/** Alpha is up, and dials the test where it expects beta. */
beforeEach(async () => {
  cluster = await Cluster.prepare({ tmpfs: true });
  const { first, second } = cluster;
  await first.start();
  for (const node of cluster.nodes) await node.must('create-md', 'r0');
  const heard = new Promise<Socket>((resolve) => {
    void listenOn(cluster.port(second), (socket) => {
      opened.push(socket);
      resolve(socket);
    }).then((server) => (listener = server));
  });
  await first.up('r0');
  await heard;
});

afterEach(async () => {
  await hangUp();
  await cluster.remove();
});

async function hangUp(): Promise<void> {
  for (const socket of opened) socket.destroy();
  opened = [];
  if (!listener.listening) return;
  listener.close();
  await once(listener, 'close');
}

/** What beta would say to alpha. */
async function betasHello(changes: Json): Promise<Json> {
  const dialled = opened[opened.length - 1];
  if (dialled === undefined) throw new Error('alpha has not dialled');
  const hello = await readControl(dialled);
  const identity = { ...(hello['identity'] as Json), rank: 1 };
  const names = { node: hello['peer'], peer: hello['node'] };
  return { ...hello, ...names, bootNonce: '00000000000000aa', identity, ...changes };
}

/** Says it to alpha as beta does: again while alpha is busy with a connection of its own. */
async function greet(hello: Json): Promise<Json> {
  await hangUp();
  let answer: Json = {};
  await until('alpha has time', async () => {
    const socket = await dialPort(cluster.port(cluster.first));
    opened.push(socket);
    writeControl(socket, hello);
    answer = await readControl(socket);
    return answer['code'] !== 'InTransition';
  });
  return answer;
}

async function expectUpgradeWanted(): Promise<void> {
  await until('alpha says why', async () => /upgrade/.test((await betaOnAlpha()).reason));
  expect(await betaOnAlpha()).toMatchObject({ connectionState: 'StandAlone' });
}

function betaOnAlpha(): ReturnType<typeof cluster.first.peer> {
  return cluster.first.peer('beta');
}

/** The real beta is taken without a command. */
async function expectBetaWelcome(): Promise<void> {
  const { first, second } = cluster;
  await hangUp();
  await second.start();
  await second.up('r0');
  await first.must('promote', 'r0', '--force');
  await cluster.untilInSync();
  await cluster.expectIdentical();
}

test.each<[string, Json]>([
  ['newer', { versionMin: 2, versionMax: 3 }],
  ['older', { versionMin: 0, versionMax: 0 }],
])('a peer of %s protocol version dials: both are told to upgrade', async (_what, versions) => {
  const hello = await betasHello(versions);
  let answer: Json = {};
  await until('alpha stands alone', async () => {
    answer = await greet(hello);
    return (await betaOnAlpha()).connectionState === 'StandAlone';
  });
  expect(answer).toMatchObject({ type: 'refused', code: 'InvalidArgs' });
  expect(answer['message']).toMatch(/beta speaks wire versions .* alpha 1 to 1: upgrade/);
  await expectUpgradeWanted();
  await expectBetaWelcome();
});

test('a peer of another protocol version answers: its connection is dropped', async () => {
  const hello = await betasHello({ versionMin: 7, versionMax: 9 });
  const dialled = opened[opened.length - 1];
  if (dialled !== undefined) writeControl(dialled, hello);
  await expectUpgradeWanted();
  await expectBetaWelcome();
});

test('a peer with a wider range of versions and unknown features is welcome', async () => {
  const versions = { versionMin: 1, versionMax: 9 };
  const hello = await betasHello({ ...versions, features: ['a-thing-of-tomorrow'] });
  expect(await greet(hello)).toMatchObject({ type: 'hello', node: 'alpha' });
  expect((await betaOnAlpha()).connectionState).not.toBe('StandAlone');
});
