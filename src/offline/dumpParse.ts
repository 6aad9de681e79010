/**
 * Reads the text form of metadata (dumpText.ts). Nothing is trusted: every key is known, every
 * field is there once, every run lies on the device. Errors say `file:line: what is wrong`.
 */
import { MirrorError } from '../model/errors';
import type { MetadataImage, PeerImage, SlotImage, SuperblockImage } from '../plane/metadataTools';
import type { SuperblockNumbers } from '../plane/metadataTools';
import { parseField, PEER_FIELDS, SUPERBLOCK_FIELDS } from './dumpFields';
import type { Field } from './dumpFields';
import { DUMP_FORMAT, DUMP_SECTION } from './dumpText';
import { MAX_DEVICE_BYTES, MAX_HISTORY, MAX_SLOTS } from './limits';
import { BLOCK_BYTES, countOf, EXTENT_BYTES, setRun, SlotBuilder } from './outOfSync';
import type { Run } from './outOfSync';

export interface ParsedDump {
  readonly image: MetadataImage;
  readonly attached: boolean;
}

interface Line {
  readonly number: number;
  readonly key: string;
  readonly value: string;
}

interface Section {
  readonly name: string;
  /** Of its heading. */
  readonly number: number;
  lines: readonly Line[];
}

/** @throws InvalidArgs */
export function parseDump(file: string, text: string): ParsedDump {
  return new DumpParser(file).parse(text);
}

class DumpParser {
  constructor(private readonly file: string) {}

  parse(text: string): ParsedDump {
    const sections = this.sections(text);
    const attached = this.head(this.take(sections, DUMP_SECTION));
    const superblock = this.take(sections, 'superblock');
    const numbers = this.numbers<keyof SuperblockNumbers>(superblock, SUPERBLOCK_FIELDS);
    this.checkNumbers(superblock, numbers);
    const image: MetadataImage = {
      superblock: {
        ...numbers,
        resource: this.name(superblock, 'resource'),
        node: this.name(superblock, 'node'),
        historyUuids: this.history(superblock),
        peers: this.peers(sections, Number(numbers.maxPeers)),
      } satisfies SuperblockImage,
      hot: this.hot(this.take(sections, 'activity-log'), numbers.deviceBytes),
      slots: this.slots(sections, numbers),
    };
    for (const section of sections.values()) this.fail(section.number, 'no such section');
    return { image, attached };
  }

  private sections(text: string): Map<string, Section> {
    const sections = new Map<string, Section>();
    let current: Line[] | undefined;
    for (const [index, content] of text.split('\n').entries()) {
      const number = index + 1;
      if (content === '' || content.startsWith('#')) continue;
      const heading = /^\[([^\]]+)\]$/.exec(content)?.[1];
      if (heading !== undefined) {
        if (sections.has(heading)) this.fail(number, `a second section [${heading}]`);
        current = [];
        sections.set(heading, { name: heading, number, lines: current });
        continue;
      }
      const [, key, value] = /^([a-z-]+) = (.*)$/.exec(content) ?? [];
      if (key === undefined || value === undefined) {
        this.fail(number, 'write `key = value`, `[section]` or `# comment`');
      }
      if (current === undefined) this.fail(number, `a metadata dump begins with [${DUMP_SECTION}]`);
      current.push({ number, key, value });
    }
    return sections;
  }

  /** Whether it was dumped while attached. */
  private head(section: Section): boolean {
    const format = this.only(section, 'format');
    if (format.value !== String(DUMP_FORMAT)) {
      this.fail(
        format.number,
        `format ${format.value} is not known; this is format ${DUMP_FORMAT}`,
      );
    }
    const attached = this.only(section, 'attached');
    if (attached.value !== 'yes' && attached.value !== 'no')
      this.fail(attached.number, 'yes or no');
    this.finish(section);
    return attached.value === 'yes';
  }

  private checkNumbers(section: Section, numbers: SuperblockNumbers): void {
    const { maxPeers, deviceBytes, blockBytes } = numbers;
    if (maxPeers < 1n || maxPeers >= BigInt(MAX_SLOTS)) {
      this.fail(section.number, `max-peers must be 1 to ${MAX_SLOTS - 1}`);
    }
    if (blockBytes !== 512n && blockBytes !== 4096n) {
      this.fail(section.number, 'block-bytes must be 512 or 4096');
    }
    if (deviceBytes < 1n || deviceBytes > MAX_DEVICE_BYTES || deviceBytes % blockBytes !== 0n) {
      this.fail(section.number, 'device-bytes must be whole blocks, and 1 PiB at most');
    }
  }

  private history(section: Section): bigint[] {
    const lines = takeAll(section, 'history-uuid');
    this.finish(section);
    if (lines.length > MAX_HISTORY)
      this.fail(section.number, `at most ${MAX_HISTORY} history-uuid`);
    return lines.map((line) => this.value({ key: '', member: '', kind: 'hex' }, line));
  }

  private peers(sections: Map<string, Section>, maxPeers: number): PeerImage[] {
    const peers: PeerImage[] = [];
    for (let slot = 0; slot < maxPeers; slot++) {
      const section = sections.get(`peer ${slot}`);
      if (section === undefined) continue;
      sections.delete(section.name);
      const name = this.name(section, 'name');
      const numbers = this.numbers(section, PEER_FIELDS);
      this.finish(section);
      if (name !== '' && peers.some((peer) => peer.name === name)) {
        this.fail(section.number, `a second peer called ${name}`);
      }
      peers.push({ slot, name, ...numbers });
    }
    return peers;
  }

  private hot(section: Section, deviceBytes: bigint): Buffer {
    const extents = countOf(deviceBytes, EXTENT_BYTES);
    const bits = Buffer.alloc(Math.ceil(extents / 8));
    for (const line of takeAll(section, 'hot')) setRun(bits, this.run(line, extents));
    this.finish(section);
    return bits;
  }

  private slots(sections: Map<string, Section>, numbers: SuperblockNumbers): SlotImage[] {
    const blocks = countOf(numbers.deviceBytes, BLOCK_BYTES);
    const slots: SlotImage[] = [];
    for (let slot = 0; slot < Number(numbers.maxPeers); slot++) {
      const section = this.take(sections, `bitmap ${slot}`);
      const builder = new SlotBuilder(blocks);
      for (const line of takeAll(section, 'out-of-sync')) builder.add(this.run(line, blocks));
      this.finish(section);
      slots.push(builder.image());
    }
    return slots;
  }

  private run(line: Line, count: number): Run {
    const [, from, to] = /^([0-9]{1,15})(?:-([0-9]{1,15}))?$/.exec(line.value) ?? [];
    if (from === undefined) this.fail(line.number, 'write FIRST-LAST, or one number');
    const run: Run = [Number(from), Number(to ?? from)];
    if (run[0] > run[1]) this.fail(line.number, 'the first comes after the last');
    if (run[1] >= count) this.fail(line.number, `the device ends at ${count - 1}`);
    return run;
  }

  private numbers<Member extends string>(
    section: Section,
    fields: readonly Field<Member>[],
  ): Record<Member, bigint> {
    const entries = fields.map((field) => [
      field.member,
      this.value(field, this.only(section, field.key)),
    ]);
    return Object.fromEntries(entries) as Record<Member, bigint>;
  }

  private value(field: Field<string>, line: Line): bigint {
    const parsed = parseField(field.kind, line.value);
    return 'value' in parsed ? parsed.value : this.fail(line.number, parsed.problem);
  }

  private name(section: Section, key: string): string {
    const line = this.only(section, key);
    const name = tryJson(line.value);
    if (typeof name !== 'string') this.fail(line.number, 'write the name between quotes');
    return name;
  }

  private take(sections: Map<string, Section>, name: string): Section {
    const section = sections.get(name);
    if (section === undefined) this.fail(undefined, `the section [${name}] is missing`);
    sections.delete(name);
    return section;
  }

  private only(section: Section, key: string): Line {
    const [line, second] = takeAll(section, key);
    if (line === undefined) this.fail(section.number, `[${section.name}] has no ${key}`);
    if (second !== undefined) this.fail(second.number, `a second ${key}`);
    return line;
  }

  /** After every known key was taken. */
  private finish(section: Section): void {
    const [line] = section.lines;
    if (line !== undefined) this.fail(line.number, `${line.key} does not belong here`);
  }

  private fail(line: number | undefined, problem: string): never {
    const place = line === undefined ? this.file : `${this.file}:${line}`;
    throw new MirrorError('InvalidArgs', `${place}: ${problem}`);
  }
}

/** Removes them from the section. */
function takeAll(section: Section, key: string): Line[] {
  const taken = section.lines.filter((line) => line.key === key);
  if (taken.length > 0) section.lines = section.lines.filter((line) => line.key !== key);
  return taken;
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
