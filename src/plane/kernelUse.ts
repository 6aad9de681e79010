/**
 * Who uses a kernel device, in words for an administrator: mounts, swap, devices that lie on it,
 * loop devices, and programs that hold it or a partition of it open.
 */
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { KernelRoots } from './kernelTree';

/** Named in one message. */
const MAX_NAMED = 4;

/** Stays until somebody ends it: each a sentence such as `/dev/nbd0 is mounted on /data`. */
export function claimsOf(roots: KernelRoots, index: number): readonly string[] {
  const names = partsOf(roots, index);
  return [
    ...mounts(roots, names),
    ...swaps(roots, names),
    ...holders(roots, index, names),
    ...loops(roots, names),
  ].slice(0, MAX_NAMED);
}

/** Programs, such as `dd (pid 42)`; some, of udev, only look at it for a moment. */
export function openersOf(roots: KernelRoots, index: number): readonly string[] {
  const paths = new Set(partsOf(roots, index).map((name) => `/dev/${name}`));
  const own = String(process.pid);
  const found = list(roots.proc)
    .filter((pid) => /^\d+$/.test(pid) && pid !== own && opensOne(roots, pid, paths))
    .slice(0, MAX_NAMED);
  return found.map((pid) => `${read(join(roots.proc, pid, 'comm')) || 'a program'} (pid ${pid})`);
}

/** The disk and its partitions, by their names. */
function partsOf(roots: KernelRoots, index: number): readonly string[] {
  const disk = `nbd${index}`;
  const below = list(join(roots.sys, 'block', disk));
  return [disk, ...below.filter((name) => name.startsWith(`${disk}p`))];
}

/** Of the whole system where that can be seen. */
function mounts(roots: KernelRoots, names: readonly string[]): readonly string[] {
  const everywhere = read(join(roots.proc, '1', 'mountinfo'));
  const text = everywhere === '' ? read(join(roots.proc, 'self', 'mountinfo')) : everywhere;
  return text.split('\n').flatMap((line) => {
    const [before = '', after = ''] = line.split(' - ');
    const device = (after.split(' ')[1] ?? '').replace(/^\/dev\//, '');
    const place = unescapePath(before.split(' ')[4] ?? '');
    return names.includes(device) ? [`/dev/${device} is mounted on ${place}`] : [];
  });
}

function swaps(roots: KernelRoots, names: readonly string[]): readonly string[] {
  const lines = read(join(roots.proc, 'swaps')).split('\n');
  const used = lines.map((line) => /^\/dev\/(\S+)/.exec(line)?.[1] ?? '');
  return used.filter((name) => names.includes(name)).map((name) => `/dev/${name} is used as swap`);
}

function holders(roots: KernelRoots, index: number, names: readonly string[]): readonly string[] {
  const disk = join(roots.sys, 'block', `nbd${index}`);
  return names.flatMap((name) => {
    const folder = name === `nbd${index}` ? disk : join(disk, name);
    return list(join(folder, 'holders')).map((holder) => `/dev/${holder} lies on /dev/${name}`);
  });
}

function loops(roots: KernelRoots, names: readonly string[]): readonly string[] {
  const devices = list(join(roots.sys, 'block')).filter((name) => name.startsWith('loop'));
  return devices.flatMap((loop) => {
    const file = read(join(roots.sys, 'block', loop, 'loop', 'backing_file'));
    return names.some((name) => file === `/dev/${name}`) ? [`/dev/${loop} lies on ${file}`] : [];
  });
}

function opensOne(roots: KernelRoots, pid: string, paths: ReadonlySet<string>): boolean {
  const folder = join(roots.proc, pid, 'fd');
  return list(folder).some((fd) => {
    try {
      return paths.has(readlinkSync(join(folder, fd)));
    } catch {
      return false;
    }
  });
}

/** Mount points have spaces and the like as octal numbers. */
function unescapePath(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

function list(folder: string): readonly string[] {
  if (!existsSync(folder)) return [];
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return '';
  }
}
