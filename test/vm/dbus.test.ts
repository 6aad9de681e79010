// The D-Bus interface on the system bus of a real host, by busctl, as root and as an ordinary user.

import { eventually } from './support/deadline';
import { configure, property } from './support/mirror';
import { guestPair } from './support/pair';

const NAME = 'org.blkmirror.Mirror1';
const ROOT = '/org/blkmirror/Mirror1';
const R0 = `${ROOT}/devices/r0`;

const { pair, step } = guestPair('dbus');

/** What busctl monitor prints while a command runs, until `last` is in it. */
function watching(command: string, last: string): string {
  return `timeout 60 busctl monitor ${NAME} >/tmp/seen & monitor=$!
until grep -q . /tmp/seen; do busctl get-property ${NAME} ${R0} ${NAME}.Device Role >&2; done
${command} >&2
until grep -q '${last}' /tmp/seen || ! kill -0 $monitor; do sleep 1; done
kill $monitor; cat /tmp/seen`;
}

step('busctl tree and introspect show the resource and its methods', async () => {
  const { alpha } = pair();
  await configure(pair(), 'r0');
  await alpha.runOk('blkmirror create-md r0 && systemctl start blkmirror@r0 --no-block');
  await eventually('r0 to be up', async () => {
    const tree = await alpha.run(`busctl --list tree ${NAME}`);
    return tree.stdout.includes(`${R0}/peers/beta\n`) ? true : undefined;
  });
  const members = await alpha.runOk(`busctl introspect ${NAME} ${R0} ${NAME}.Device`);
  expect(members).toMatch(/^\.Promote +method +a\{sv\} +- +-$/m);
  expect(members).toMatch(/^\.DiskState +property +s +"Inconsistent" +emits-change$/m);
});

step('an ordinary user reads everything and gets NotAuthorized for a change', async () => {
  const { alpha } = pair();
  const asUser = `runuser -u user -- busctl --system`;
  const call = `call ${NAME} ${R0} ${NAME}.Device`;
  const role = await alpha.runOk(`${asUser} get-property ${NAME} ${R0} ${NAME}.Device Role`);
  expect(role).toBe('s "Secondary"');
  const forced = `${call} Promote 'a{sv}' 1 force b true`;
  const refused = await alpha.run(`${asUser} --allow-interactive-authorization=no ${forced}`);
  expect(refused.status).not.toBe(0);
  expect(refused.stderr).toContain('Promote is refused to user 1000');
  const seen = await alpha.runOk(
    watching(`runuser -u user -- busctl --system ${forced}`, 'ErrorName'),
  );
  expect(seen).toContain(`${NAME}.Error.NotAuthorized`);
  expect(await property(alpha, 'r0', 'Role')).toBe('Secondary');
});

step('a polkit rule lets a group of users promote', async () => {
  const { alpha } = pair();
  await alpha.runOk(`cat >/etc/polkit-1/rules.d/50-blkmirror.rules <<'END'
polkit.addRule(function (action, subject) {
  if (action.id.indexOf('org.blkmirror.') === 0 && subject.user === 'user') {
    return polkit.Result.YES;
  }
});
END`);
  await eventually('polkitd to read the rule', async () => {
    const words = `call ${NAME} ${R0} ${NAME}.Device Promote 'a{sv}' 1 force b true`;
    const promoted = await alpha.run(`runuser -u user -- busctl --system ${words}`);
    return promoted.status === 0 ? true : undefined;
  });
  expect(await property(alpha, 'r0', 'Role')).toBe('Primary');
});

step('busctl monitor shows a change of role, and root needs no rule', async () => {
  const call = `busctl call ${NAME} ${R0} ${NAME}.Device`;
  const calls = `${call} Demote 'a{sv}' 0 && ${call} Promote 'a{sv}' 0`;
  const seen = await pair().alpha.runOk(watching(calls, '"Primary"'));
  expect(seen).toMatch(/Member=PropertiesChanged/);
  expect(seen).toMatch(/STRING "Role";\s+VARIANT "s" \{\s+STRING "Secondary";/);
});
