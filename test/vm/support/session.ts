// Two guests to work with by hand: `npm run test:vm -- --session` keeps them running until it is
// interrupted, and meanwhile `npm run --silent test:vm -- --on alpha 'COMMANDS'` runs something in
// one of them. Further requests: off, on and reboot of a guest, and put FILE (to /tmp).

import { once } from 'node:events';
import { readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import { basename } from 'node:path';
import { createInterface } from 'node:readline';
import { connected } from './deadline';
import type { Context } from './context';
import type { Guest } from './guest';
import { GuestPair } from './pair';

const COMMAND_DEADLINE_MS = 600_000;

export interface Request {
  readonly guest: string;
  readonly action: 'run' | 'off' | 'on' | 'reboot' | 'put';
  readonly argument: string;
}

interface Answer {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Serves requests on `socket` until SIGINT or SIGTERM. */
export async function holdSession(context: Context, socket: string): Promise<void> {
  const pair = await GuestPair.create(context, 'session', 'installed');
  const server = createServer((client) => void serve(pair, client));
  try {
    await pair.start();
    rmSync(socket, { force: true });
    server.listen(socket);
    process.stdout.write(`alpha and beta run; their consoles: ${pair.logsFolder} afterwards\n`);
    await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
  } finally {
    server.close();
    await pair.end();
    rmSync(socket, { force: true });
  }
}

/** Sends one request to the session; prints what came of it and answers its exit status. */
export async function askSession(socket: string, request: Request): Promise<number> {
  const client = await connected(socket, 2000);
  client.write(`${JSON.stringify(request)}\n`);
  const [line] = (await once(createInterface(client), 'line')) as [string];
  client.destroy();
  const answer = JSON.parse(line) as Answer;
  process.stdout.write(answer.stdout);
  process.stderr.write(answer.stderr);
  return answer.status;
}

async function serve(pair: GuestPair, client: Socket): Promise<void> {
  client.on('error', () => undefined);
  const [line] = (await once(createInterface(client), 'line')) as [string];
  const answer = await obey(pair, JSON.parse(line) as Request).catch((error: unknown) => ({
    status: 255,
    stdout: '',
    stderr: `${String(error)}\n`,
  }));
  client.end(`${JSON.stringify(answer)}\n`);
}

async function obey(pair: GuestPair, request: Request): Promise<Answer> {
  const guest = pair.both.find(({ name }) => name === request.guest);
  if (guest === undefined) throw new Error(`no guest ${request.guest}: alpha or beta`);
  if (request.action === 'run') {
    return guest.run(request.argument, { deadlineMs: COMMAND_DEADLINE_MS });
  }
  if (request.action === 'off') await guest.powerOff();
  else if (request.action === 'on') await guest.powerOn();
  else if (request.action === 'reboot') await guest.reboot();
  else await put(guest, request.argument);
  return { status: 0, stdout: '', stderr: '' };
}

function put(guest: Guest, file: string): Promise<string> {
  const text = readFileSync(file).toString('base64');
  return guest.runOk(`base64 -d >'/tmp/${basename(file)}' <<'END'\n${text}\nEND`);
}
