// The demo from the first sync to the last comparison. Every step does what it says with the
// real programs and fails when it did not happen.

import { closeSync, openSync, readSync } from 'node:fs';
import { NbdClient } from './nbd.mjs';
import { bar, command, count, duration, endBar, good, result, step } from './screen.mjs';
import { MIB, soon } from './world.mjs';
import { Writer } from './writer.mjs';

const FIRST_WRITES = 10_000;
const WRITES_BEFORE_DEATH = 5000;
const WRITES_ALONE = 10_000;
const STEP_DEADLINE_MS = 30_000;

export async function tell(world) {
  const { alpha, beta } = world;
  await startNodes(world);
  await firstSync(alpha, beta);
  const writer = new Writer(world.diskBytes / 2);
  await writeAndVerify(alpha, writer);
  const killedAt = await killWhileWriting(alpha, writer);
  const client = await takeOver(beta, writer, killedAt);
  await writeAlone(beta, client, writer);
  await comeBack(alpha, beta, writer);
  await writer.stop();
  client.close();
  await compare(world);
}

async function startNodes(world) {
  const { alpha, beta, diskBytes } = world;
  step(`Two nodes start, alpha and beta, each with an empty disk of ${diskBytes / MIB} MiB.`);
  const start = performance.now();
  await Promise.all([alpha.start(), beta.start()]);
  for (const node of [alpha, beta]) {
    command(node.name, 'create-md r0');
    command(node.name, 'up r0');
  }
  await Promise.all(
    [alpha, beta].map(async (node) => {
      await node.command('create-md', 'r0');
      await node.command('up', 'r0');
    }),
  );
  await until('they are connected', () => isConnected(alpha));
  result(`Connected after ${duration(performance.now() - start)}.`);
}

async function firstSync(alpha, beta) {
  step('alpha becomes Primary. Its disk is copied to beta once, in the background.');
  command('alpha', 'promote r0 --force');
  await alpha.command('promote', 'r0', '--force');
  const took = await showResync(alpha, beta);
  result(`Both copies are UpToDate after ${duration(took)}.`);
}

async function writeAndVerify(alpha, writer) {
  step('A program writes to alpha over NBD; every write goes to both disks. It reads all back.');
  const client = await NbdClient.open(alpha.socket);
  const start = performance.now();
  writer.start(client);
  await until('it has written', () => writer.acknowledged >= FIRST_WRITES);
  await writer.stop();
  const perSecond = (writer.acknowledged / (performance.now() - start)) * 1000;
  await requireNothingLost(writer, client);
  client.close();
  const rate = count(Math.round(perSecond / 100) * 100);
  result(`${count(writer.acknowledged)} writes (${rate} a second), all read back right.`);
}

async function killWhileWriting(alpha, writer) {
  step('The program writes on, and alpha is killed in the middle of it (kill -9).');
  writer.start(await NbdClient.open(alpha.socket));
  const enough = writer.acknowledged + WRITES_BEFORE_DEATH;
  await until('it has written', () => writer.acknowledged >= enough);
  const killedAt = performance.now();
  await alpha.kill();
  await writer.abandon();
  result(`alpha is dead; ${count(writer.acknowledged)} writes were acknowledged until then.`);
  return killedAt;
}

async function takeOver(beta, writer, killedAt) {
  step('beta takes over.');
  command('beta', 'promote r0');
  await beta.command('promote', 'r0');
  const client = await NbdClient.open(beta.socket);
  await client.read(0, 4096);
  result(`beta took over after ${duration(performance.now() - killedAt)}.`);
  await requireNothingLost(writer, client);
  const blocks = count(writer.writtenBlocks());
  result(good(`All ${blocks} blocks are there: no acknowledged write is lost.`));
  return client;
}

async function writeAlone(beta, client, writer) {
  step('The program writes on, to beta. beta remembers what alpha misses.');
  const enough = writer.acknowledged + WRITES_ALONE;
  writer.start(client);
  await until('it has written', () => writer.acknowledged >= enough);
  const { outOfSyncBytes } = await peerOf(beta);
  result(
    `${count(WRITES_ALONE)} writes; alpha is ${(outOfSyncBytes / MIB).toFixed(0)} MiB behind.`,
  );
}

async function comeBack(alpha, beta, writer) {
  step('alpha comes back, as Secondary, and catches up while the program goes on writing.');
  const before = writer.acknowledged;
  writer.longestPauseMs = 0;
  await alpha.start();
  await showResync(beta, alpha);
  const { role, diskState } = await alpha.status();
  const meanwhile = count(writer.acknowledged - before);
  result(`alpha is ${role} and ${diskState}.`);
  result(
    `Meanwhile ${meanwhile} writes; the longest pause was ${duration(writer.longestPauseMs)}.`,
  );
}

async function compare(world) {
  step('The program stops. Both disks are compared, byte for byte.');
  const { sizeBytes } = await world.beta.status();
  const differs = firstDifference(world.alpha.disk, world.beta.disk, sizeBytes);
  if (differs !== undefined) throw new Error(`the copies differ in the MiB at byte ${differs}`);
  result(good(`${(sizeBytes / MIB).toFixed(0)} MiB, identical.`));
}

/** Until both are in sync; how long it took. */
async function showResync(source, target) {
  const start = performance.now();
  let shown = 0;
  await until(
    'the resync ends',
    async () => {
      const peer = await peerOf(source);
      const own = await target.status();
      const syncing = peer.replicationState === 'SyncSource';
      if (syncing && peer.resyncDonePercent !== null) {
        shown = Math.max(shown, peer.resyncDonePercent);
        bar(shown, `${(peer.resyncBytesPerSecond / MIB).toFixed(0)} MiB/s`);
      }
      return (
        peer.diskState === 'UpToDate' &&
        peer.replicationState === 'Established' &&
        own?.diskState === 'UpToDate'
      );
    },
    STEP_DEADLINE_MS,
  );
  const took = performance.now() - start;
  bar(100, '');
  endBar();
  return took;
}

async function peerOf(node) {
  const status = await node.status();
  const [peer] = status?.peers ?? [];
  if (peer === undefined) throw new Error(`r0 is not up on ${node.name}`);
  return peer;
}

async function isConnected(node) {
  return (await peerOf(node)).connectionState === 'Connected';
}

async function requireNothingLost(writer, client) {
  const lost = await writer.countLost(client);
  if (lost > 0) throw new Error(`${lost} blocks lost an acknowledged write`);
}

/** The offset of the first MiB that is not the same in both, or undefined. */
function firstDifference(one, other, bytes) {
  const files = [openSync(one, 'r'), openSync(other, 'r')];
  const buffers = [Buffer.alloc(MIB), Buffer.alloc(MIB)];
  try {
    for (let offset = 0; offset < bytes; offset += MIB) {
      const length = Math.min(MIB, bytes - offset);
      files.forEach((file, i) => readSync(file, buffers[i], 0, length, offset));
      if (buffers[0].compare(buffers[1], 0, length, 0, length) !== 0) return offset;
    }
    return undefined;
  } finally {
    files.forEach((file) => closeSync(file));
  }
}

async function until(what, holds, deadlineMs = STEP_DEADLINE_MS) {
  const end = Date.now() + deadlineMs;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`not within ${duration(deadlineMs)}: ${what}`);
    await soon();
  }
}
