// Copies that only an administrator can bring together again, and what is refused until he does:
// over the simulator, one step after the other, with everything that its checker knows.

import type { DeviceStatus } from '../../src/model/status';
import { discard, giveUp } from './administrator';
import { DISK } from './cluster';
import { compare, heal } from './healing';
import type { Story } from './story';
import {
  SMALL,
  close,
  cut,
  cutOff,
  demote,
  keepCopy,
  mirror,
  outside,
  pair,
  run,
  standsFor,
  until,
  write,
} from './stage';

afterEach(close);

/** As fence-peer says it. */
const UNREACHABLE = 5;

const AUTOMATIC = {
  'resource.device': 'none',
  'net.timeout-ms': 500,
  'net.after-sb-0pri': 'discard-least-changes',
  'net.after-sb-1pri': 'violently-as0p',
  'net.after-sb-2pri': 'violently-as0p',
  'net.rr-conflict': 'violently',
  'net.always-asbp': 'yes',
};

/** Both say so, and neither copy is touched. */
function expectRefused(story: Story, verdict: string): void {
  const [alpha, beta] = pair(story);
  const { branches } = story.checker;
  const before = [alpha, beta].map((one) => branches.copy(one).branch);
  until(story, () => standsFor(verdict, alpha, beta) && standsFor(verdict, beta, alpha));
  story.cluster.pass(2_000_000);
  expect(standsFor(verdict, alpha, beta) && standsFor(verdict, beta, alpha)).toBe(true);
  expect([alpha, beta].map((one) => branches.copy(one).branch)).toEqual(before);
}

/** Beta gets a new copy, which is declared the newest data before it has met alpha's. */
function unrelated(seed: number): Story {
  const story = mirror(seed, { ...SMALL, options: AUTOMATIC });
  const [alpha, beta] = pair(story);
  write(story, 50);
  cutOff(story, alpha, beta);
  run(story, beta, 'down', () => beta.down());
  giveUp(story, beta, () => beta.create(true));
  until(story, () => beta.pending.size === 0);
  run(story, beta, 'up', () => beta.start());
  run(story, beta, 'promote --force', () => beta.resource.promote({ force: true }));
  write(story, 50);
  return story;
}

test(
  'unrelated data is refused, whatever the policies would have settled',
  outside(() => {
    const story = unrelated(51);
    const [alpha, beta] = pair(story);
    demote(story, beta);
    cut(story, alpha, beta, false);
    expectRefused(story, 'unrelated');
    compare(story);
    expect(alpha.isPrimary).toBe(true);
  }),
);

test(
  'two Primaries of unrelated data are split brain, whatever the policies would have settled',
  outside(() => {
    const story = unrelated(52);
    const [alpha, beta] = pair(story);
    cut(story, alpha, beta, false);
    expectRefused(story, 'split brain');
    expect(story.primaries).toEqual([alpha, beta]);
    compare(story);
  }),
);

test(
  'of two copies that both went back to an older state neither takes the other over',
  outside(() => {
    const story = mirror(53, SMALL);
    const [alpha, beta] = pair(story);
    write(story, 50);
    const restoreAlpha = keepCopy(story, alpha);
    for (let start = 0; start < 3; start += 1) {
      heal(story);
      story.crash(alpha, 'power');
      story.boot(alpha);
    }
    heal(story);
    const restoreBeta = keepCopy(story, beta);
    heal(story);
    restoreAlpha();
    // Taken back, it goes on counting where the snapshot was.
    heal(story);
    restoreBeta();
    expectRefused(story, 'reverted');
    expect(alpha.peer(beta).reason).toMatch(/the copies of r0 on alpha and beta went back/);
    compare(story);
  }),
);

/** Alpha wrote without beta, which was promoted afterwards and has written nothing. */
function behindAsPrimary(seed: number): Story {
  const story = mirror(seed, SMALL);
  const [alpha, beta] = pair(story);
  cutOff(story, alpha, beta);
  write(story, 50);
  demote(story, alpha);
  run(story, beta, 'promote', () => beta.resource.promote({ force: false }));
  cut(story, alpha, beta, false);
  return story;
}

test(
  'a newer copy that is given up by resync --full becomes a copy of the Primary behind it',
  outside(() => {
    const story = behindAsPrimary(54);
    const [alpha, beta] = pair(story);
    expectRefused(story, 'split brain');
    giveUp(story, alpha, () =>
      alpha.command('resync --full', () => alpha.resource.resync({ full: true })),
    );
    until(story, () => alpha.peer(beta).replicationState === 'Established');
    expect(story.primaries).toEqual([beta]);
    compare(story);
  }),
);

/** Both have gone on alone and say so; nobody is Primary. */
function parted(seed: number, options = {}): Story {
  const story = mirror(seed, { ...SMALL, ...options });
  const [alpha, beta] = pair(story);
  cutOff(story, alpha, beta);
  write(story, 20);
  demote(story, alpha);
  run(story, beta, 'promote', () => beta.resource.promote({ force: false }));
  write(story, 20);
  demote(story, beta);
  return story;
}

test(
  'resync --full in split brain is followed, also by a process that was not told of it',
  outside(() => {
    const story = parted(55);
    const [alpha, beta] = pair(story);
    cut(story, alpha, beta, false);
    expectRefused(story, 'split brain');
    beta.node.setDisk(DISK, { latencyUs: [500, 1000] });
    giveUp(story, alpha, () =>
      alpha.command('resync --full', () => alpha.resource.resync({ full: true })),
    );
    until(story, () => alpha.peer(beta).replicationState === 'SyncTarget');
    expect(alpha.outOfSyncBytes(beta)).toBe(Number(alpha.metadata().sizeBytes));
    story.crash(alpha, 'process');
    story.boot(alpha);
    until(story, () => alpha.isUp && alpha.peer(beta).replicationState === 'Established');
    compare(story);
  }),
);

test(
  'two administrators who each give up the data of one node lose neither, by no policy',
  outside(() => {
    const story = parted(56, { options: AUTOMATIC });
    const [alpha, beta] = pair(story);
    for (const one of [alpha, beta]) giveUp(story, one, () => discard(one));
    until(story, () => alpha.pending.size + beta.pending.size === 0);
    cut(story, alpha, beta, false);
    expectRefused(story, 'split brain');
    expect(alpha.peer(beta).reason).toMatch(/both alpha and beta were told to discard their data/);
    compare(story);
  }),
);

test(
  'a Primary whose disk waits for what its clients have seen does not go on with it by force',
  outside(() => {
    const story = mirror(57, SMALL);
    const [alpha, beta] = pair(story);
    const force = (): Promise<void> => alpha.resource.promote({ force: true });
    run(story, alpha, 'promote --force', force);
    run(story, alpha, 'detach', () => alpha.resource.detach({ force: false }));
    write(story, 50);
    story.order(alpha.command('attach', () => alpha.resource.attach()));
    until(story, () => alpha.state?.diskState === 'Negotiating');
    cutOff(story, alpha, beta);
    expect(() => run(story, alpha, 'promote --force', force)).toThrow(
      /connect that peer, or demote/,
    );
    expect(alpha.state?.diskState).toBe('Negotiating');
    cut(story, alpha, beta, false);
    compare(story);
    expect(alpha.isPrimary).toBe(true);
  }),
);

test(
  'who has no copy of its own does not take an unreachable peer for dead',
  outside(() => {
    const options = {
      'resource.device': 'none',
      'net.timeout-ms': 500,
      'net.fencing': 'resource-and-stonith',
      'handlers.fence-peer': '/bin/handler',
      'handlers.timeout-ms': 3000,
    };
    const story = mirror(58, { ...SMALL, options });
    const [alpha, beta] = pair(story);
    const status = (): DeviceStatus => alpha.resource.status();
    story.cluster.runHandler = () => Promise.resolve({ kind: 'exited', status: UNREACHABLE });
    run(story, alpha, 'detach', () => alpha.resource.detach({ force: false }));
    write(story, 50);
    cutOff(story, alpha, beta);
    until(story, () => /it is unreachable/.test(status().suspendedReason));
    story.cluster.pass(1_000_000);
    expect(status()).toMatchObject({ diskState: 'Diskless', suspended: true });
    expect(status().suspendedReason).toMatch(/beta is not fenced.* not UpToDate; make sure that/);
    cut(story, alpha, beta, false);
    write(story, 50);
    compare(story);
  }),
);

test(
  'a promotion that begins before the loss of the Primary is noticed goes on when it is',
  outside(() => {
    const story = mirror(36, SMALL);
    const [alpha, beta] = pair(story);
    write(story, 100);
    story.cluster.pass(1_000_000);
    // Nothing says that it is gone.
    cut(story, alpha, beta, true);
    story.crash(alpha, 'power');
    expect(beta.peer(alpha).connectionState).toBe('Connected');
    run(story, beta, 'promote', () => beta.resource.promote({ force: false }));
    write(story, 100);
    cut(story, alpha, beta, false);
    story.boot(alpha);
    compare(story);
    expect(beta.isPrimary).toBe(true);
  }),
);
