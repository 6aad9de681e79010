// Measurements that are no contest in a cell: each brings up a mirror of its own, and says what it
// found beside what was aimed at.

import type { Finding } from './findings';
import { failover } from './trials/failover';
import { hugeDevice } from './trials/hugeDevice';
import { manyResources } from './trials/manyResources';
import { resyncAlone, resyncBesideWrites } from './trials/resync';
import { wideWrites } from './trials/wideWrites';

export interface Trial {
  readonly key: string;
  readonly title: string;
  run(): Promise<readonly Finding[]>;
}

export const TRIALS: readonly Trial[] = [
  { key: 'wide', title: 'random writes over 1 TiB', run: wideWrites },
  { key: 'resync', title: 'a full resync, and copying the same by socat', run: resyncAlone },
  { key: 'busy', title: 'writes during a full resync', run: resyncBesideWrites },
  { key: 'failover', title: 'failover after kill -9 of the Primary', run: failover },
  { key: 'huge', title: 'attaching a device of 16 TiB', run: hugeDevice },
  { key: 'many', title: '100 idle resources in one daemon', run: manyResources },
];
