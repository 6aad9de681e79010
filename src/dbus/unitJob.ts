/**
 * What the service manager is doing with this service: it ends a process that it stops for good
 * and one that it replaces by the same signal, and only the second keeps stored sockets.
 */
import type { BusCall } from './polkit';
import { JOB_DEADLINE_MS } from './limits';

const MANAGER = 'org.freedesktop.systemd1';
const ROOT = '/org/freedesktop/systemd1';
const NO_JOB = '/';

/** `restart`, `stop` and so on; undefined: none, or there is no such manager on this bus. */
export async function tryUnitJob(call: BusCall, pid: number): Promise<string | undefined> {
  try {
    const unit = await ask(call, ROOT, `${MANAGER}.Manager`, 'GetUnitByPID', 'u', [pid]);
    if (typeof unit !== 'string') return undefined;
    const job = await property(call, unit, `${MANAGER}.Unit`, 'Job');
    const path: unknown = Array.isArray(job) ? job[1] : undefined;
    if (typeof path !== 'string' || path === NO_JOB) return undefined;
    const type = await property(call, path, `${MANAGER}.Job`, 'JobType');
    return typeof type === 'string' ? type : undefined;
  } catch {
    return undefined;
  }
}

async function property(
  call: BusCall,
  path: string,
  interfaceName: string,
  name: string,
): Promise<unknown> {
  const body = [interfaceName, name];
  const answer = await ask(call, path, 'org.freedesktop.DBus.Properties', 'Get', 'ss', body);
  return answer !== null && typeof answer === 'object' && 'value' in answer
    ? answer.value
    : undefined;
}

async function ask(
  call: BusCall,
  path: string,
  interfaceName: string,
  member: string,
  signature: string,
  body: readonly unknown[],
): Promise<unknown> {
  const [answer] = await call({
    destination: MANAGER,
    path,
    interface: interfaceName,
    member,
    signature,
    body,
    deadlineMs: JOB_DEADLINE_MS,
  });
  return answer;
}
