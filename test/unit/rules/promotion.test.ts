// Promotion rules: every disk state and peer role, with and without force.

import { DISK_STATES, ROLES } from '../../../src/model/states';
import { judgePromotion } from '../../../src/rules/promotion';
import type { PromotionInput, PromotionPeer } from '../../../src/rules/promotion';

const beta: PromotionPeer = {
  name: 'beta',
  connected: true,
  role: 'Secondary',
  diskState: 'UpToDate',
  replicationState: 'Established',
};

function input(changes: Partial<PromotionInput>): PromotionInput {
  const plain = { resource: 'r0', force: false, role: 'Secondary', diskState: 'UpToDate' } as const;
  return { ...plain, peers: [beta], ...changes };
}

const expectations: Record<string, [plain: string, forced: string]> = {
  UpToDate: ['allowed', 'allowed'],
  Consistent: ['allowed', 'allowed'],
  Inconsistent: ['NotUpToDate', 'new generation'],
  Outdated: ['NotUpToDate', 'new generation'],
};

function summary(changes: Partial<PromotionInput>): string {
  const answer = judgePromotion(input(changes));
  if (answer.kind === 'refused') return answer.code;
  if (answer.kind === 'allowed') return answer.newGeneration ? 'new generation' : 'allowed';
  return answer.kind;
}

const states = DISK_STATES.filter((state) => state !== 'DUnknown');

test.each(states)('a copy that is %s', (diskState) => {
  const [plain, forced] = expectations[diskState] ?? ['NotAttached', 'NotAttached'];
  expect(summary({ diskState })).toBe(plain);
  expect(summary({ diskState, force: true })).toBe(forced);
});

const pairs = ROLES.flatMap((role) => states.map((diskState) => [role, diskState] as const));

test.each(pairs)('beside a peer that is %s, %s here', (role, diskState) => {
  const peers = [{ ...beta, role }];
  const refused = role === 'Primary';
  expect(summary({ diskState, peers, force: true }) === 'PeerIsPrimary').toBe(refused);
  expect(summary({ diskState, peers: [{ ...beta, role, connected: false }] })).not.toBe(
    'PeerIsPrimary',
  );
});

test('promoting a Primary succeeds', () => {
  expect(summary({ role: 'Primary', diskState: 'Failed' })).toBe('alreadyPrimary');
});

test('a Primary whose disk waits to be filled cannot go on with it by force', () => {
  const waiting = { role: 'Primary', diskState: 'Negotiating' } as const;
  expect(summary(waiting)).toBe('alreadyPrimary');
  expect(summary({ ...waiting, force: true })).toBe('NotUpToDate');
  const answer = judgePromotion(input({ ...waiting, force: true }));
  const message = answer.kind === 'refused' ? answer.message : '';
  expect(message).toMatch(/connect that peer, or demote and promote --force/);
});

test('a forced SyncTarget with its source stays what it is', () => {
  const source = { ...beta, replicationState: 'SyncTarget' } as const;
  expect(summary({ diskState: 'Inconsistent', peers: [source], force: true })).toBe('allowed');
  expect(summary({ diskState: 'Inconsistent', peers: [source] })).toBe('NotUpToDate');
});

test('a refusal says what, why and what to do', () => {
  expect(judgePromotion(input({ diskState: 'Inconsistent', peers: [] }))).toMatchObject({
    message:
      'the local copy of r0 is Inconsistent: connect an UpToDate peer, ' +
      'or use --force to take what is here as the newest data',
  });
  expect(judgePromotion(input({ peers: [{ ...beta, role: 'Primary' }] }))).toMatchObject({
    message: 'beta is Primary for r0: demote it there first',
  });
});
