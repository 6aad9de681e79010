// The text form of metadata: what is written reads back, and what is wrong is told with its line.

import { MirrorError } from '../../../src/model/errors';
import { dumpLines } from '../../../src/offline/dumpText';
import { parseDump } from '../../../src/offline/dumpParse';
import { countOf, PAGE_BLOCKS, SlotBuilder, wholeSlot } from '../../../src/offline/outOfSync';
import type { MetadataDump } from '../../../src/plane/metadataTools';

const MIB = 1024n * 1024n;
const DEVICE = 300n * MIB;
const BLOCKS = countOf(DEVICE, 4096);

function slotOf(...runs: (readonly [number, number])[]): ReturnType<SlotBuilder['image']> {
  const builder = new SlotBuilder(BLOCKS);
  for (const run of runs) builder.add(run);
  return builder.image();
}

const DUMP: MetadataDump = {
  attached: true,
  damagedPages: 0,
  superblock: {
    metadataId: 1n,
    revision: 41n,
    generation: 7n,
    currentUuid: 0xfedc_ba98_7654_3210n,
    writeSequence: 5n,
    promotedMs: 1_700_000_000_000n,
    bootId: 0x1_0000_0003n,
    flags: 0b1000_0011n,
    blockBytes: 512n,
    maxPeers: 3n,
    internal: 1n,
    deviceBytes: DEVICE,
    metadataDiskBytes: 301n * MIB,
    superblocksOffset: 301n * MIB - 8192n,
    superblocksBytes: 8192n,
    activityLogOffset: DEVICE,
    activityLogBytes: 8192n,
    bitmapStatesOffset: DEVICE + 8192n,
    bitmapStatesBytes: 24_576n,
    bitmapOffset: DEVICE + 32_768n,
    bitmapBytes: 73_728n,
    resource: 'r0',
    node: 'a "quoted" nöde',
    historyUuids: [9n, 0n, 8n],
    peers: [
      {
        slot: 1,
        name: 'beta',
        bitmapUuid: 3n,
        generation: 2n,
        metGeneration: 6n,
        partedMs: 12n,
        flags: 0b110n,
      },
    ],
  },
  hot: Buffer.from([0x81, 0, 0, 0, 0, 0, 0, 0, 0, 0b100]),
  slots: [
    slotOf([0, 7], [PAGE_BLOCKS - 1, PAGE_BLOCKS], [BLOCKS - 1, BLOCKS - 1]),
    wholeSlot(BLOCKS),
    slotOf([PAGE_BLOCKS, 2 * PAGE_BLOCKS - 1]),
  ],
};

const LINES = [...dumpLines(DUMP)];

function problem(change: (lines: string[]) => string[]): string {
  try {
    parseDump('file', change([...LINES]).join('\n'));
    return 'fine';
  } catch (error) {
    return error instanceof MirrorError ? `${error.code}: ${error.message}` : String(error);
  }
}

/** The one line that begins so gets another text. */
function replaced(begin: string, text: string): string {
  return problem((lines) => lines.map((line) => (line.startsWith(begin) ? text : line)));
}

test('what is written reads back', () => {
  const { image, attached } = parseDump('file', `${LINES.join('\n')}\n`);
  const { damagedPages, ...whole } = DUMP;
  expect(damagedPages).toBe(0);
  expect({ ...image, attached }).toEqual(whole);
  expect(LINES).toContain(`out-of-sync = ${PAGE_BLOCKS - 1}-${PAGE_BLOCKS}`);
  expect(LINES).toContain(`out-of-sync = 0-${BLOCKS - 1}`);
  expect(LINES).toContain('flags = full-sync promoted-apart');
});

test.each<[string, string, string]>([
  ['format', 'format = 9', 'file:3: format 9 is not known; this is format 1'],
  ['revision', 'revision = x', 'file:9: give a decimal number'],
  ['current-uuid', 'current-uuid = 12', 'give 16 hex digits'],
  ['meta-disk = ', 'meta-disk = here', 'give internal or external'],
  ['device-bytes', 'device-bytes = 1000', 'device-bytes must be whole blocks'],
  ['max-peers', 'max-peers = 32', 'max-peers must be 1 to 31'],
  ['resource', 'resource = r0', 'write the name between quotes'],
  ['hot = 0', 'hot = 0-75', 'the device ends at 74'],
  ['hot = 0', 'hot = 5-4', 'the first comes after the last'],
  ['hot = 0', 'hot = -1', 'write FIRST-LAST'],
  ['hot = 0', 'cold = 1', 'cold does not belong here'],
  ['hot = 0', 'nonsense', 'write `key = value`'],
  ['[bitmap 2]', '[bitmap 1]', 'a second section \\[bitmap 1\\]'],
  ['[bitmap 2]', '[bitmap 3]', 'the section \\[bitmap 2\\] is missing'],
  ['[peer 1]', '[peer 9]', 'no such section'],
  ['parted-ms', '# gone', '\\[peer 1\\] has no parted-ms'],
])('%s becomes %s', (begin, text, expected) => {
  expect(replaced(begin, text)).toMatch(new RegExp(`^InvalidArgs: file(:[0-9]+)?: `));
  expect(replaced(begin, text)).toMatch(new RegExp(expected));
});

test('every line is needed, but for comments, runs, history and peers', () => {
  for (const [index, line] of LINES.entries()) {
    if (/^#|^hot|^out-of-sync|^history|^\[peer/.test(line)) continue;
    expect(problem((lines) => lines.filter((_, at) => at !== index))).toMatch(/^InvalidArgs: file/);
  }
  expect(problem((lines) => [...lines, 'hot = 1'])).toMatch(/hot does not belong here/);
  expect(problem(() => [])).toBe('InvalidArgs: file: the section [blkmirror-metadata] is missing');
});
