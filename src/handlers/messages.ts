/**
 * What the daemon and its handler process say to each other, as native/helper/messages.h has it:
 * a head of 12 bytes, big-endian (kind, id, length of what follows), then the body.
 */
import { assert } from '../model/assert';
import type { HandlerCall } from '../model/handlers';
import { MAX_BODY_BYTES } from './limits';

const HEAD_BYTES = 12;
const RUN = 1;

/** What handlers get whatever the daemon's own environment is. */
const BASE_VARIABLES = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/',
  TERM: 'linux',
};

export type Answer =
  | { readonly kind: 'ready'; readonly warning: string }
  | { readonly kind: 'started'; readonly id: number; readonly group: number }
  | { readonly kind: 'output'; readonly id: number; readonly line: string }
  | { readonly kind: 'ended'; readonly id: number; readonly how: Ending; readonly value: number };

const ENDINGS = ['exited', 'killed', 'timedOut', 'notRun'] as const;
export type Ending = (typeof ENDINGS)[number];

/** undefined: it is too long to be sent. */
export function tryFormatRun(id: number, call: HandlerCall): Buffer | undefined {
  const variables = Object.entries({ ...BASE_VARIABLES, ...call.variables });
  const texts = [call.command, ...variables.map(([name, value]) => `${name}=${value}`)];
  const body = Buffer.from(texts.map((text) => `${text.replaceAll('\0', '')}\0`).join(''));
  if (body.length + 4 > MAX_BODY_BYTES) return undefined;
  const head = Buffer.alloc(HEAD_BYTES + 4);
  head.writeUInt32BE(RUN, 0);
  head.writeUInt32BE(id, 4);
  head.writeUInt32BE(body.length + 4, 8);
  head.writeUInt32BE(call.timeoutMs, HEAD_BYTES);
  return Buffer.concat([head, body]);
}

/** Puts a stream of bytes together to messages. */
export class AnswerReader {
  private rest = Buffer.alloc(0);

  /** The messages that are whole now. @throws when it is not what the helper says */
  push(bytes: Buffer): Answer[] {
    this.rest = Buffer.concat([this.rest, bytes]);
    const answers: Answer[] = [];
    while (this.rest.length >= HEAD_BYTES) {
      const length = this.rest.readUInt32BE(8);
      assert(length <= MAX_BODY_BYTES, 'the helper sends messages of limited length');
      if (this.rest.length < HEAD_BYTES + length) break;
      answers.push(parseAnswer(this.rest.subarray(0, HEAD_BYTES + length)));
      this.rest = this.rest.subarray(HEAD_BYTES + length);
    }
    return answers;
  }
}

function parseAnswer(message: Buffer): Answer {
  const kind = message.readUInt32BE(0);
  const id = message.readUInt32BE(4);
  const body = message.subarray(HEAD_BYTES);
  switch (kind) {
    case 16:
      return { kind: 'ready', warning: body.toString() };
    case 17:
      return { kind: 'started', id, group: body.readUInt32BE(0) };
    case 18:
      return { kind: 'output', id, line: body.toString() };
    case 19: {
      const how = ENDINGS[body.readUInt32BE(0)];
      assert(how !== undefined, 'the helper tells an ending that is known');
      return { kind: 'ended', id, how, value: body.readUInt32BE(4) };
    }
    default:
      throw new Error(`the handler process sent an unknown message ${kind}`);
  }
}
