// The XML in dbus/ is the contract: signatures are read from it and its text is kept verbatim.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { INTERFACE_FOLDER, parseInterfaces, readInterface } from '../../../src/dbus/interfaceXml';

const files = readdirSync(INTERFACE_FOLDER).filter((file) => file.endsWith('.xml'));

test('the interfaces of the design are there', () => {
  expect(files.sort()).toEqual(
    ['Device', 'Job', 'Manager', 'Peer'].map((name) => `org.blkmirror.Mirror1.${name}.xml`),
  );
});

test('signatures, access and emission are read', () => {
  const device = readInterface('org.blkmirror.Mirror1.Device');
  expect(device.methods.get('Resync')).toEqual({ inSignature: 'a{sv}', outSignature: 'o' });
  expect(device.properties.get('SizeBytes')).toEqual({ signature: 't', emits: 'true' });
  expect(device.properties.get('Name')).toEqual({ signature: 's', emits: 'const' });
  const job = readInterface('org.blkmirror.Mirror1.Job');
  expect(job.signals.get('Completed')).toBe('bs');
});

describe.each(files)('%s', (file) => {
  const document = readFileSync(join(INTERFACE_FOLDER, file), 'utf8');

  test('its text is kept verbatim, comments included', () => {
    const [spec] = parseInterfaces(document);
    expect(spec?.xml).toContain('<!--');
    expect(document).toContain(spec?.xml);
  });
});
