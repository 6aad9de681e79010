// Object paths are escaped as sd_bus_path_encode(3) does it, and back.

import { devicePath, escapePathElement, jobPath, peerPath } from '../../../src/dbus/paths';
import { tryUnescapePathElement } from '../../../src/dbus/paths';
import type { NodeName, ResourceName } from '../../../src/model/states';

test.each([
  ['r0', 'r0'],
  ['0r', '_30r'],
  ['', '_'],
  ['a_b', 'a_5fb'],
  ['alpha.example', 'alpha_2eexample'],
  ['web-data', 'web_2ddata'],
  ['é', '_c3_a9'],
])('%j becomes %s and back', (text, element) => {
  expect(escapePathElement(text)).toBe(element);
  expect(tryUnescapePathElement(element)).toBe(text);
});

test.each(['a-b', '_', 'a_2', '_2E', '_61', 'a_zz', ''])(
  '%j is not what escaping gives, unless it is the empty text',
  (element) => {
    const text = tryUnescapePathElement(element);
    expect(text === undefined ? element : escapePathElement(text)).toBe(element);
  },
);

test('paths of devices, peers and jobs', () => {
  const resource = 'web-1' as ResourceName;
  expect(devicePath(resource)).toBe('/org/blkmirror/Mirror1/devices/web_2d1');
  expect(peerPath(resource, 'b.c' as NodeName)).toBe(
    '/org/blkmirror/Mirror1/devices/web_2d1/peers/b_2ec',
  );
  expect(jobPath(12)).toBe('/org/blkmirror/Mirror1/jobs/12');
});
