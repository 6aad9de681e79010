// Who consents to whom when several nodes are promoted at once.

import type { NodeName } from '../../../src/model/states';
import type { Core } from '../../../src/resource/core';
import type { SentFrame } from '../../../src/resource/frames';
import { PromotionDesk } from '../../../src/resource/promotionDesk';

const [alpha, beta] = ['alpha', 'beta'] as NodeName[];
if (alpha === undefined || beta === undefined) throw new Error('two names');

/** Of gamma, a Secondary that is not being promoted itself. */
function desk(coming?: NodeName): { readonly desk: PromotionDesk; readonly sent: string[] } {
  const sent: string[] = [];
  const core = {
    name: 'r0',
    node: 'gamma',
    gate: { snapshot: () => ({ role: 'Secondary', peers: new Map() }) },
    outranks: () => false,
  } as unknown as Core;
  const send = (peer: NodeName, frame: SentFrame): void => {
    sent.push(`${frame.type} ${'id' in frame ? frame.id : ''} to ${peer}`);
  };
  const primaryBut = (except: NodeName) => (coming === except ? undefined : coming);
  return { desk: new PromotionDesk(core, send, () => undefined, primaryBut), sent };
}

test('a claim that waits for the end of another is consented to then', () => {
  const { desk: own, sent } = desk();
  own.onFrame(beta, { type: 'prepare', id: 3 });
  own.onFrame(alpha, { type: 'prepare', id: 7 });
  expect(sent).toEqual(['consent 3 to beta']);
  own.onFrame(beta, { type: 'abort', id: 3 });
  expect(sent).toEqual(['consent 3 to beta', 'consent 7 to alpha']);
});

test('a claim that ended while it waited is forgotten', () => {
  const { desk: own, sent } = desk();
  own.onFrame(beta, { type: 'prepare', id: 3 });
  own.onFrame(alpha, { type: 'prepare', id: 7 });
  own.onFrame(alpha, { type: 'abort', id: 7 });
  own.onFrame(beta, { type: 'abort', id: 3 });
  expect(sent).toEqual(['consent 3 to beta']);
  expect(() => own.begin()).not.toThrow();
});

test('a new claim of the node that was consented to replaces its last one', () => {
  const { desk: own, sent } = desk();
  own.onFrame(alpha, { type: 'prepare', id: 7 });
  own.onFrame(alpha, { type: 'prepare', id: 8 });
  expect(sent).toEqual(['consent 7 to alpha', 'consent 8 to alpha']);
  expect(() => own.begin()).toThrow(/alpha is being promoted for r0 at the same time/);
});

test('nobody is promoted while a Primary is becoming connected', () => {
  const { desk: own, sent } = desk(beta);
  own.onFrame(alpha, { type: 'prepare', id: 7 });
  expect(sent).toEqual(['refuse 7 to alpha']);
  own.onFrame(beta, { type: 'prepare', id: 3 });
  expect(sent).toEqual(['refuse 7 to alpha', 'consent 3 to beta']);
});
