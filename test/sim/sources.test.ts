// Which of two copies of one generation the other is brought up to date from, where the wrong one
// would overwrite what was acknowledged: over the simulator, one step after the other.

import { compare } from './healing';
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
