// When a resync compares digests first: after a crash, where both nodes can, and not in full.

import { planOf } from '../../../src/resource/establishPlan';
import type { Hello } from '../../../src/resource/hello';
import type { Verdict } from '../../../src/rules/handshake';
import type { Identity } from '../../../src/rules/identity';
import { identity } from '../../support/identities';

function hello(change: Partial<Identity>, features = ['checksums']): Hello {
  return {
    versionMin: 1,
    versionMax: 1,
    features,
    resource: 'r0',
    node: 'alpha',
    peer: 'beta',
    bootNonce: '00112233445566ff',
    attempt: 1,
    protocol: 'C',
    nodes: 2,
    identity: identity(change),
  };
}

const resync = (by: 'bitmap' | 'full'): Verdict => ({
  kind: 'resync',
  direction: 'target',
  by,
  markAll: by === 'full',
  exchangeBitmaps: true,
});

test.each<[string, boolean, Verdict, Hello, Hello]>([
  ['the other crashed', true, resync('bitmap'), hello({}), hello({ crashed: true })],
  ['this one crashed', true, resync('bitmap'), hello({ crashed: true }), hello({})],
  ['nobody crashed', false, resync('bitmap'), hello({}), hello({})],
  ['one cannot', false, resync('bitmap'), hello({}, []), hello({ crashed: true })],
  ['the other cannot', false, resync('bitmap'), hello({ crashed: true }), hello({}, [])],
  ['in full', false, resync('full'), hello({ crashed: true }), hello({})],
  [
    'a full copy goes on',
    false,
    resync('bitmap'),
    hello({ fullSync: true }),
    hello({ crashed: true }),
  ],
  ['in sync', false, { kind: 'inSync' }, hello({ crashed: true }), hello({})],
])('%s: digests are compared: %s', (_name, compare, verdict, told, heard) => {
  expect(planOf(verdict, told, heard)).toMatchObject({ compare });
});

test('without a verdict to establish there is no plan', () => {
  expect(planOf({ kind: 'bothJustCreated' }, hello({}), hello({}))).toBeUndefined();
});
