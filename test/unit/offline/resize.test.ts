// resize: sizes as they are written, and what is said while the resource is up.
import { MirrorError } from '../../../src/model/errors';
import { parseSize } from '../../../src/offline/resize';

test.each([
  ['512', 512n],
  ['4k', 4096n],
  ['21M', 22_020_096n],
  ['100G', 107_374_182_400n],
  ['2T', 2_199_023_255_552n],
])('--size %s is %d bytes', (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});

test.each(['', '0', '-1', '1.5G', '10 G', 'G', '10GB', '0x10', '1024T', '999999999999999999T'])(
  '--size %s is refused',
  (text) => {
    expect(() => parseSize(text)).toThrow(MirrorError);
    expect(() => parseSize(text)).toThrow(/--size .*(such as 100G|less than 1 PiB)/);
  },
);
