// The XML in dbus/ is the contract: complete, commented, and read as it is written.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { INTERFACE_FOLDER, parseInterfaces, readInterface } from '../../../src/dbus/interfaceXml';
import { ERROR_CODES } from '../../../src/model/errors';

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

  test('a comment that begins with its name comes before every member', () => {
    const members = document.matchAll(
      /(?:(<!--(?:(?!-->)[\s\S])*-->)\s*)?<(method|signal|property) name="(\w+)"/g,
    );
    for (const [, comment = '', , name = ''] of members) {
      expect(comment.replace(/\s+/g, ' ')).toMatch(new RegExp(`^<!-- ${name}: `));
    }
  });

  test('every error it names is in the error table', () => {
    const listed = document.matchAll(/Errors: ((?:(?!-->)[\s\S])*)/g);
    for (const [, text = ''] of listed) {
      const names = text.replace(/\([^)]*\)/g, '').match(/\b[A-Z][a-zA-Z]+\b/g) ?? [];
      for (const name of names) expect(Object.keys(ERROR_CODES)).toContain(name);
    }
  });

  test('every argument has a name', () => {
    const args = document.match(/<arg [^>]*>/g) ?? [];
    for (const arg of args) expect(arg).toMatch(/name="[a-z_]+"/);
  });
});
