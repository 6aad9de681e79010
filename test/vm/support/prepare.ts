// Makes what the test files share: the disk with this run's package, the accelerator that works,
// and a booted guest's state, so that no test begins with booting. The last two are kept beside
// the image.

import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { repository, run, runOk } from '../../support/systemProcess';
import type { Base } from './context';
import { Guest } from './guest';
import type { Accelerator, Image } from './machine';

/** A guest that KVM cannot run stops somewhere on its way; emulation takes 20 s and more. */
const KVM_BOOT_MS = 10_000;
const FILES_SIZE = '64M';
/** As README.md says it. */
export const INSTALL = 'cd /mnt && apt-get install -qq ./blkmirror_*.deb && cd /';
const INSTALL_DEADLINE_MS = 300_000;

/** A disk of one size whatever is on it: a saved state knows the size. */
export async function filesDisk(folder: string, content: string): Promise<string> {
  const disk = join(folder, 'files.img');
  await runOk('truncate', ['--size', FILES_SIZE, disk]);
  await runOk('mke2fs', ['-q', '-t', 'ext2', '-d', content, disk]);
  return disk;
}

/** The accelerator and the booted state for the image in `folder`. */
export async function bootedState(
  folder: string,
  files: string,
): Promise<{ image: Image; booted: Base }> {
  const kept = join(folder, `booted-${await shapeOfMachine()}`);
  if (!existsSync(kept)) await makeBooted(folder, files, kept);
  const accelerator = readFileSync(join(kept, 'accelerator'), 'utf8') as Accelerator;
  const booted = join(kept, 'disk.qcow2');
  return {
    image: imageIn(folder, files, accelerator),
    booted: { disk: booted, format: 'qcow2', memory: join(kept, 'memory') },
  };
}

/** The booted state with the package installed; kept in `folder` while both stay the same. */
export async function installedState(
  image: Image,
  booted: Base,
  files: string,
  folder: string,
): Promise<Base> {
  const key = createHash('sha256').update(booted.disk);
  for (const name of readdirSync(files)) key.update(readFileSync(join(files, name)));
  const kept = join(folder, `installed-${key.digest('hex').slice(0, 16)}`);
  if (!existsSync(kept)) await makeInstalled(image, booted, folder, kept);
  return { disk: join(kept, 'guest.qcow2'), format: 'qcow2', memory: join(kept, 'memory') };
}

async function makeInstalled(
  image: Image,
  booted: Base,
  folder: string,
  kept: string,
): Promise<void> {
  for (const name of readdirSync(folder).filter((each) => each.startsWith('installed-'))) {
    rmSync(join(folder, name), { recursive: true, force: true });
  }
  const making = mkdtempSync(join(folder, 'installing-'));
  const names = { name: 'guest', other: 'nobody' };
  const guest = await Guest.create({ image, ...names, folder: making, base: booted });
  try {
    await guest.start();
    // A first command keeps what was compiled of it for those of the tests.
    const first = 'blkmirror status';
    const script = `${INSTALL} && ${first} && systemctl stop blkmirrord && umount /mnt && sync`;
    await guest.runOk(script, { deadlineMs: INSTALL_DEADLINE_MS });
    await guest.saveAndEnd(join(making, 'memory'));
    renameSync(making, kept);
  } finally {
    await guest.powerOff();
    rmSync(making, { recursive: true, force: true });
  }
}

async function makeBooted(folder: string, files: string, kept: string): Promise<void> {
  const making = mkdtempSync(join(folder, 'booting-'));
  try {
    const accelerator = (await kvmBoots(folder, files, making)) ? 'kvm' : 'tcg';
    writeFileSync(join(making, 'accelerator'), accelerator);
    const guest = await freshGuest(imageIn(folder, files, accelerator), folder, making);
    try {
      await guest.powerOn();
      // Also brings into memory what every test reads first.
      const settled = 'umount /mnt; systemctl is-system-running --wait; node -e 0; sync';
      await guest.run(settled, { deadlineMs: 240_000 });
      await guest.saveAndEnd(join(making, 'memory'));
    } finally {
      await guest.powerOff();
    }
    renameSync(join(making, 'guest.qcow2'), join(making, 'disk.qcow2'));
    if (!existsSync(kept)) renameSync(making, kept);
  } finally {
    rmSync(making, { recursive: true, force: true });
  }
}

async function kvmBoots(folder: string, files: string, making: string): Promise<boolean> {
  if (!existsSync('/dev/kvm')) return false;
  const scratch = join(making, 'kvm');
  mkdirSync(scratch);
  const guest = await freshGuest(imageIn(folder, files, 'kvm'), folder, scratch);
  try {
    await guest.powerOn(KVM_BOOT_MS);
    return true;
  } catch {
    return false;
  } finally {
    await guest.powerOff();
    rmSync(scratch, { recursive: true, force: true });
  }
}

function freshGuest(image: Image, folder: string, scratch: string): Promise<Guest> {
  return Guest.create({
    image,
    name: 'guest',
    other: 'nobody',
    folder: scratch,
    base: { disk: join(folder, 'root.img'), format: 'raw' },
  });
}

function imageIn(folder: string, files: string, accelerator: Accelerator): Image {
  const part = (name: string): string => join(folder, name);
  return { kernel: part('vmlinuz'), initrd: part('initrd'), files, accelerator };
}

/** A state resumes only on the machine it was saved on. */
async function shapeOfMachine(): Promise<string> {
  const { stdout } = await run('qemu-system-x86_64', ['--version']);
  const hash = createHash('sha256').update(stdout);
  hash.update(readFileSync(join(repository, 'test/vm/support/machine.ts')));
  return hash.digest('hex').slice(0, 16);
}
