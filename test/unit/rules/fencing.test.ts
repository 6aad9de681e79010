// What the exit status of fence-peer means, over every status, policy and own disk state.

import { FENCING_POLICIES } from '../../../src/model/fencing';
import { judgeFencing, withoutPeers } from '../../../src/rules/fencing';

const STATUSES = Array.from({ length: 256 }, (_, status) => status);

test.each(FENCING_POLICIES)(
  '%s: 3, 4 and 7 fence, 6 is a Primary, others say nothing',
  (policy) => {
    for (const status of STATUSES.filter((one) => one !== 5)) {
      const { kind } = judgeFencing({ kind: 'exited', status }, policy, 'UpToDate');
      const fenced = [3, 4, 7].includes(status) ? 'fenced' : 'notFenced';
      expect(kind).toBe(status === 6 ? 'peerIsPrimary' : fenced);
    }
  },
);

test.each([
  ['UpToDate', 'fenced'],
  ['Consistent', 'notFenced'],
  ['Inconsistent', 'notFenced'],
  ['Outdated', 'notFenced'],
  ['Diskless', 'notFenced'],
] as const)('5, unreachable, with a local copy that is %s: %s', (disk, kind) => {
  const end = { kind: 'exited', status: 5 } as const;
  expect(judgeFencing(end, 'resource-and-stonith', disk).kind).toBe(kind);
});

test('a handler that failed fences nobody', () => {
  const failed = { kind: 'failed', message: 'did not end within 10 ms and was killed' } as const;
  expect(judgeFencing(failed, 'resource-only', 'UpToDate')).toEqual({
    kind: 'notFenced',
    text: 'the fence-peer handler did not end within 10 ms and was killed',
  });
});

test('a copy alone is only Consistent when somebody may have gone on without it', () => {
  expect(withoutPeers('UpToDate', 'dont-care', 2)).toBe('UpToDate');
  expect(withoutPeers('UpToDate', 'resource-only', 0)).toBe('UpToDate');
  expect(withoutPeers('UpToDate', 'resource-only', 1)).toBe('Consistent');
  expect(withoutPeers('UpToDate', 'resource-and-stonith', 1)).toBe('Consistent');
  expect(withoutPeers('Inconsistent', 'resource-only', 1)).toBe('Inconsistent');
});
