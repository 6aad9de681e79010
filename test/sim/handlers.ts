/**
 * What the administrator's handlers do in a run. fence-peer reaches the peer by another way than
 * the resource's network: it declares its copy Outdated, or (resource-and-stonith) cuts its power.
 */
import type { HandlerCall, HandlerEnd } from '../../src/model/handlers';
import type { Machine } from './machine';
import type { Story } from './story';

const SLOWEST_MS = 300;
const FAILED = 1;
const INCONSISTENT = 3;
const OUTDATED = 4;
const UNREACHABLE = 5;
const PEER_IS_PRIMARY = 6;
const STONITHED = 7;

/** One call of a handler; after its deadline it does nothing more, as one that was killed. */
interface Run {
  killed: boolean;
}

export async function runHandler(
  story: Story,
  machine: Machine,
  call: HandlerCall,
): Promise<HandlerEnd> {
  story.say(`${machine.name} runs ${call.name}`);
  story.note(`handler ${call.name}`);
  const run: Run = { killed: false };
  const late = machine.rest(call.timeoutMs).then((): HandlerEnd => {
    run.killed = true;
    return { kind: 'failed', message: `did not end within ${call.timeoutMs} ms` };
  });
  return Promise.race([act(story, machine, call, run), late]);
}

async function act(
  story: Story,
  machine: Machine,
  call: HandlerCall,
  run: Run,
): Promise<HandlerEnd> {
  await machine.rest(story.dice.between(1, SLOWEST_MS));
  if (call.name !== 'fence-peer') return exited(0);
  const peer = story.cluster.named(call.variables['BLKMIRROR_PEER'] ?? '');
  const status = await fence(story, machine, peer, run);
  if (!run.killed) story.say(`${machine.name}: fence-peer ${peer.name} exits with ${status}`);
  return exited(status);
}

async function fence(story: Story, machine: Machine, peer: Machine, run: Run): Promise<number> {
  const stonith = machine.config.fencing === 'resource-and-stonith';
  if (!stonith && peer.isPrimary) return PEER_IS_PRIMARY;
  if (peer.alive && peer.isUp && !peer.isPrimary && (await outdate(peer))) return OUTDATED;
  if (isIncomplete(peer)) return INCONSISTENT;
  // Some cut the power of a peer whatever the policy is.
  if (!stonith && !story.dice.oneIn(4)) return peer.alive && peer.isUp ? FAILED : UNREACHABLE;
  if (peer.running && !run.killed) story.crash(peer, 'power');
  return STONITHED;
}

/** Its resync was cut off: nobody promotes it but by force. */
function isIncomplete(peer: Machine): boolean {
  return peer.alive && peer.isUp && peer.state?.diskState === 'Inconsistent';
}

async function outdate(peer: Machine): Promise<boolean> {
  try {
    await peer.command('outdate', () => peer.resource.outdate());
    return peer.isUp;
  } catch {
    return false;
  }
}

function exited(status: number): HandlerEnd {
  return { kind: 'exited', status };
}
