// What becomes of copies whose disk failed, was detached or was put back: over the simulator, one
// step after the other, with everything that its checker knows.

import { present } from '../../src/model/assert';
import { giveUp } from './administrator';
import { DISK } from './cluster';
import { compare, heal } from './healing';
import type { Machine } from './machine';
import type { Story } from './story';
import { SMALL, close, demote, mirror, outside, pair, run, until, write } from './stage';

afterEach(close);

test(
  'a Secondary whose clean end its disk did not take down has crashed, too',
  outside(() => {
    const options = { 'resource.device': 'none', 'net.timeout-ms': 500, 'resource.protocol': 'B' };
    const story = mirror(13, { ...SMALL, options });
    const [alpha, beta] = pair(story);
    write(story, 300);
    beta.node.setDisk(DISK, { writeErrorRate: 1_000_000 });
    story.crash(alpha, 'power');
    run(story, beta, 'down', () => beta.down());
    story.boot(alpha);
    until(story, () => alpha.isUp);
    beta.node.healDisk(DISK);
    story.order(beta.start());
    until(story, () => beta.isUp && beta.peer(alpha).replicationState === 'SyncTarget');
    until(story, () => beta.peer(alpha).replicationState === 'Established');
    run(story, beta, 'promote', () => beta.resource.promote({ force: false }));
    compare(story);
  }),
);
