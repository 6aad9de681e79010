// The log tells what changed, of what, once, and no progress.

import { StateLog } from '../../../src/service/stateLog';
import pino from 'pino';
import { ServiceWorld } from '../../support/serviceWorld';

test('changes of states are logged with what they belong to', async () => {
  const world = new ServiceWorld();
  world.configure('r0');
  const lines: string[] = [];
  const log = pino({ base: null, timestamp: false }, { write: (line) => void lines.push(line) });
  new StateLog(world.service.changes, (name) => world.service.tryDevice(name), log);
  await world.service.up('r0');
  world.service.changes.flush();
  expect(lines).toHaveLength(2);
  lines.length = 0;
  world.device('r0').show({ role: 'Primary' });
  world.device('r0').showPeer('beta', { connectionState: 'Unconnected', reason: 'no route' });
  world.device('r0').showPeer('beta', { outOfSyncBytes: 17 });
  world.service.changes.flush();
  world.device('r0').showPeer('beta', { outOfSyncBytes: 18 });
  world.service.changes.flush();
  expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
    { level: 30, resource: 'r0', role: 'Primary', msg: 'state' },
    {
      level: 30,
      resource: 'r0',
      peer: 'beta',
      connectionState: 'Unconnected',
      reason: 'no route',
      msg: 'state',
    },
  ]);
  await world.close();
});
