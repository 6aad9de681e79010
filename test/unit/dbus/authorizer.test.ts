// Which questions are put to polkit, for whom, and what its answers come to.

import { BusAuthorizer } from '../../../src/dbus/authorizer';
import type { Request } from '../../../src/dbus/authorizer';
import { MAX_POLKIT_QUESTIONS } from '../../../src/dbus/limits';
import { Polkit } from '../../../src/dbus/polkit';
import type { PolkitAnswer } from '../../../src/dbus/polkit';
import { MirrorError } from '../../../src/model/errors';

const PROMOTE: Request = {
  sender: ':1.5',
  method: 'org.blkmirror.Mirror1.Device.Promote',
  interactive: false,
  discards: false,
};

async function outcome(answer: PolkitAnswer, uid: number, request: Partial<Request> = {}) {
  const asked: string[] = [];
  const polkit = {
    ask: async (sender: string, action: string, interactive: boolean) => {
      asked.push(`${sender} ${action}${interactive ? ' interactive' : ''}`);
      return answer;
    },
  };
  const authorizer = new BusAuthorizer(async () => uid, 7, polkit);
  try {
    await authorizer.authorize({ ...PROMOTE, ...request });
    return { asked, refusal: '' };
  } catch (error) {
    return { asked, refusal: (error as MirrorError).message };
  }
}

test.each([0, 7])('user %i is not asked about', async (uid) => {
  expect(await outcome('no', uid)).toEqual({ asked: [], refusal: '' });
});

test('others are asked about, with their leave to show a dialog', async () => {
  const asked = [':1.5 org.blkmirror.manage-role interactive'];
  expect(await outcome('yes', 8, { interactive: true })).toEqual({ asked, refusal: '' });
});

test('an option that discards data needs a second grant', async () => {
  const asked = [':1.5 org.blkmirror.manage-role', ':1.5 org.blkmirror.manage-copies'];
  expect(await outcome('yes', 8, { discards: true })).toEqual({ asked, refusal: '' });
});

test.each<[PolkitAnswer, string]>([
  ['no', 'Promote is refused to user 8: polkit does not grant org.blkmirror.manage-role'],
  ['challenge', 'Promote is refused to user 8: polkit asks for a password'],
  ['absent', 'Promote is refused to user 8: only root and user 7 may change anything'],
])('%s is refused in words', async (answer, words) => {
  expect((await outcome(answer, 8)).refusal).toContain(words);
});

test('a method without an action is for root alone', async () => {
  const method = 'org.blkmirror.Mirror1.Device.Explode';
  expect((await outcome('yes', 8, { method })).refusal).toBe(`${method} is for root only`);
});

test('polkit that fails or is asked too much at once is no grant', async () => {
  const failing = new Polkit(async () => Promise.reject(new MirrorError('TimedOut', 'too slow')));
  await expect(failing.ask(':1.5', 'org.blkmirror.configure', false)).rejects.toMatchObject({
    code: 'NotAuthorized',
    message: 'polkit does not say whether org.blkmirror.configure is allowed: too slow',
  });
  const silent = new Polkit(() => new Promise(() => undefined));
  for (let count = 0; count < MAX_POLKIT_QUESTIONS; count++) {
    void silent.ask(':1.5', 'org.blkmirror.configure', true);
  }
  await expect(silent.ask(':1.6', 'org.blkmirror.configure', true)).rejects.toMatchObject({
    code: 'NotAuthorized',
  });
});
