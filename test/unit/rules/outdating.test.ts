// When a copy may be declared Outdated: every role and disk state, connected or not.

import { DISK_STATES } from '../../../src/model/states';
import { judgeOutdating } from '../../../src/rules/outdating';

const resource = 'r0';
const allowed: Readonly<Record<string, string>> = {
  UpToDate: 'allowed',
  Consistent: 'allowed',
  Outdated: 'alreadyOutdated',
  Inconsistent: 'NotUpToDate',
};

function summary(answer: ReturnType<typeof judgeOutdating>): string {
  return answer.kind === 'refused' ? answer.code : answer.kind;
}

const states = DISK_STATES.filter((state) => state !== 'DUnknown');

test.each(states)('a copy that is %s', (diskState) => {
  const secondary = { resource, role: 'Secondary', diskState } as const;
  const expected = allowed[diskState] ?? 'NotAttached';
  expect(summary(judgeOutdating({ ...secondary, connected: [] }))).toBe(expected);
  const connected = summary(judgeOutdating({ ...secondary, connected: ['beta'] }));
  expect(connected).toBe(expected === 'allowed' ? 'InvalidArgs' : expected);
  const primary = judgeOutdating({ ...secondary, role: 'Primary', connected: [] });
  expect(summary(primary)).toBe('InvalidArgs');
});

test('a refusal says what to do', () => {
  const input = { resource, role: 'Secondary', diskState: 'UpToDate' } as const;
  expect(judgeOutdating({ ...input, connected: ['beta'] })).toMatchObject({
    message: 'r0 is connected to beta and receives what is written there: run disconnect r0 first',
  });
});
