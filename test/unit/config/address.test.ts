// Addresses of nodes: what is read, and the words for what is not.

import { canonicalAddress, formatAddress, parseAddress } from '../../../src/config/address';

const NEITHER =
  ' is neither a host name nor an address; write HOST:PORT, such as 192.0.2.1:7788, ' +
  '[2001:db8::1]:7788 or alpha.example:7788';

test.each<[string, string, number]>([
  ['192.0.2.1:7788', '192.0.2.1', 7788],
  ['[2001:db8::1]:1', '2001:db8::1', 1],
  ['[::1]:65535', '::1', 65535],
  ['alpha:7788', 'alpha', 7788],
  ['alpha.example.org.:7788', 'alpha.example.org.', 7788],
  ['under_score-1:80', 'under_score-1', 80],
])('%s', (text, host, port) => {
  const parsed = parseAddress(text);
  expect(parsed).toEqual({ ok: true, address: { host, port } });
  expect(formatAddress({ host, port })).toBe(text);
});

test.each<[string, string]>([
  ['192.0.2.1', '"192.0.2.1" has no port; write 192.0.2.1:7788'],
  ['192.0.2.1:', '"192.0.2.1:" has no port; write 192.0.2.1:7788'],
  ['alpha', '"alpha" has no port; write alpha:7788'],
  ['[2001:db8::1]', '"[2001:db8::1]" has no port; write [2001:db8::1]:7788'],
  ['2001:db8::1', 'an IPv6 address needs brackets and a port; write [2001:db8::1]:7788'],
  [
    '2001:db8:0:0:0:0:0:1:7788',
    'an IPv6 address needs brackets; write [2001:db8:0:0:0:0:0:1]:7788',
  ],
  [':7788', 'the host is missing; write HOST:PORT, such as 192.0.2.1:7788'],
  ['192.0.2.1:0', '"0" is not a port; use a number from 1 to 65535'],
  ['192.0.2.1:65536', '"65536" is not a port; use a number from 1 to 65535'],
  ['192.0.2.1:http', '"http" is not a port; use a number from 1 to 65535'],
  [
    '192.0.2.256:1',
    '"192.0.2.256" is not an IPv4 address; write four numbers from 0 to 255 with dots',
  ],
  ['192.0.2:1', '"192.0.2" is not an IPv4 address; write four numbers from 0 to 255 with dots'],
  ['0.0.0.0:1', '"0.0.0.0" is no address that peers can connect to; write the one they reach'],
  ['[::]:1', '"::" is no address that peers can connect to; write the one they reach'],
  ['[0:0::0]:1', '"0:0::0" is no address that peers can connect to; write the one they reach'],
  ['[192.0.2.1]:1', '"192.0.2.1" is not an IPv6 address; only those go in brackets'],
  [
    '[fe80::1%eth0]:1',
    '"fe80::1%eth0" has a zone, which is not supported; use an address without one',
  ],
  ['al pha:1', '"al pha"' + NEITHER],
  ['-a:1', '"-a"' + NEITHER],
])('%s is refused', (text, problem) => {
  expect(parseAddress(text)).toEqual({ ok: false, problem });
});

test('two ways to write one address are one address', () => {
  const canonical = (text: string): string => {
    const parsed = parseAddress(text);
    return parsed.ok ? canonicalAddress(parsed.address) : parsed.problem;
  };
  expect(canonical('[2001:DB8:0::1]:1')).toBe(canonical('[2001:db8::0:1]:1'));
  expect(canonical('Alpha:1')).toBe(canonical('alpha:1'));
  expect(canonical('alpha:1')).not.toBe(canonical('alpha:2'));
});
