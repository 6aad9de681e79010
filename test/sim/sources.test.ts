// Which of two copies of one generation the other is brought up to date from, where the wrong one
// would overwrite what was acknowledged: over the simulator, one step after the other.

import { compare } from './healing';
import { KernelLeft } from './kernelLeft';
import { coreOf } from './machine';
import type { Machine } from './machine';
import type { Story } from './story';
import {
  SMALL,
  close,
  cut,
  cutOff,
  demote,
  mirror,
  outside,
  pair,
  run,
  until,
  write,
} from './stage';

afterEach(close);

test(
  'a copy that lost what it had reported is no source because it once counted further',
  outside(() => {
    const options = { 'resource.device': 'none', 'net.timeout-ms': 500, 'resource.protocol': 'A' };
    const story = mirror(61, { ...SMALL, options });
    const [alpha, beta] = pair(story);
    cutOff(story, alpha, beta);
    write(story, 300);
    demote(story, alpha);
    cut(story, alpha, beta, false);
    until(story, () => alpha.peer(beta).replicationState === 'Established');
    run(story, beta, 'promote', () => beta.resource.promote({ force: false }));
    write(story, 20);
    story.cluster.pass(100_000);
    const { currentUuid } = beta.metadata();
    story.crash(alpha, 'power');
    until(story, () => beta.peer(alpha).connectionState !== 'Connected');
    demote(story, beta);
    expect(beta.metadata().currentUuid).toBe(currentUuid);
    story.boot(alpha);
    until(story, () => alpha.isUp && alpha.peer(beta).replicationState.startsWith('Sync'));
    expect(alpha.peer(beta).replicationState).toBe('SyncTarget');
    until(story, () => alpha.peer(beta).replicationState === 'Established');
    run(story, alpha, 'promote', () => alpha.resource.promote({ force: false }));
    compare(story);
  }),
);

/** The Primary is killed; clients of its kernel device wait for the next daemon there. */
function killedWithClients(seed: number): [Story, Machine, Machine] {
  const story = mirror(seed, SMALL);
  const [alpha, beta] = pair(story);
  write(story, 100);
  story.crash(alpha, 'process');
  until(story, () => beta.peer(alpha).connectionState !== 'Connected');
  alpha.kernel = new KernelLeft();
  return [story, alpha, beta];
}

test(
  'a killed Primary whose kernel device is there goes on, and its copy is the source',
  outside(() => {
    const [story, alpha, beta] = killedWithClients(62);
    story.boot(alpha);
    until(story, () => beta.peer(alpha).replicationState === 'SyncTarget');
    until(story, () => alpha.isPrimary);
    expect(alpha.kernel?.disconnected).toBe(false);
    compare(story);
    expect(alpha.isPrimary).toBe(true);
  }),
);

test(
  'a killed Primary does not go on where its peer has become Primary meanwhile',
  outside(() => {
    const [story, alpha, beta] = killedWithClients(63);
    run(story, beta, 'promote', () => beta.resource.promote({ force: false }));
    write(story, 100);
    story.boot(alpha);
    until(story, () => alpha.kernel?.disconnected === true);
    compare(story);
    expect([alpha.isPrimary, beta.isPrimary]).toEqual([false, true]);
  }),
);

test(
  'a copy that may not be UpToDate is no source beside one that is',
  outside(() => {
    const story = mirror(64, SMALL);
    const [alpha, beta] = pair(story);
    write(story, 100);
    demote(story, alpha);
    // Nothing here writes that down, but metadata can say so.
    run(story, alpha, 'update', () =>
      coreOf(alpha.resource).updateMetadata({ wasUpToDate: false }),
    );
    run(story, alpha, 'down', () => alpha.down());
    cut(story, alpha, beta, true);
    run(story, alpha, 'up', () => alpha.start());
    expect(alpha.state?.diskState).toBe('Consistent');
    cut(story, alpha, beta, false);
    until(story, () => alpha.peer(beta).replicationState === 'SyncTarget');
    until(story, () => alpha.state?.diskState === 'UpToDate');
    compare(story);
  }),
);
