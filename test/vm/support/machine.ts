// What a guest's machine consists of: the arguments of qemu. A state that was saved resumes only on
// a machine of the same shape, so this is the same for all guests.

import { join } from 'node:path';

export type Accelerator = 'tcg' | 'kvm';

/** Files that all guests share; none is written to. */
export interface Image {
  readonly kernel: string;
  readonly initrd: string;
  /** With this run's package: shown to the guests as a read-only disk. */
  readonly files: string;
  readonly accelerator: Accelerator;
}

export interface Machine {
  readonly image: Image;
  /** Holds the sockets and the console's log. */
  readonly folder: string;
  readonly name: string;
  readonly rootDisk: string;
  readonly backingDisk: string;
  /** Where datagrams of the network arrive and where they go. */
  readonly network: { readonly own: string; readonly other: string };
  /** A saved state to go on from, instead of booting. */
  readonly resumeFrom: string | undefined;
  readonly memoryMib: number;
}

/** The wire between the guests carries Ethernet frames as datagrams of Unix sockets. */
export function qemuArguments(machine: Machine): string[] {
  const { image, folder, network } = machine;
  const socket = (name: string): string => join(folder, `${machine.name}.${name}`);
  const port = (name: string): string[] => [
    ...['-chardev', `socket,id=${name},path=${socket(name)},server=on,wait=off`],
    ...['-device', `virtserialport,chardev=${name},name=blkmirror.${name}`],
  ];
  return [
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-machine', 'pc'],
    ...['-accel', image.accelerator === 'kvm' ? 'kvm' : 'tcg,thread=multi'],
    ...['-cpu', 'max', '-smp', '2', '-m', String(machine.memoryMib)],
    ...['-kernel', image.kernel, '-initrd', image.initrd],
    ...['-append', 'root=/dev/vda rw console=ttyS0 net.ifnames=0 quiet panic=30'],
    ...disk('root', machine.rootDisk, 'qcow2', 'off'),
    ...disk('backing', machine.backingDisk, 'raw', 'off'),
    ...disk('files', image.files, 'raw', 'on'),
    ...['-serial', `file:${join(folder, `${machine.name}.console.log`)}`],
    ...['-qmp', `unix:${socket('qmp')},server=on,wait=off`],
    ...['-device', 'virtio-serial-pci', ...port('agent'), ...port('tell')],
    '-netdev',
    `dgram,id=net,local.type=unix,local.path=${network.own},` +
      `remote.type=unix,remote.path=${network.other}`,
    ...['-device', 'virtio-net-pci,netdev=net,id=nic'],
    ...(machine.resumeFrom === undefined
      ? []
      : ['-incoming', `exec:cat '${machine.resumeFrom}'`, '-S']),
  ];
}

/** What a killed qemu has written stays, so a guest's flush needs none of this machine's. */
function disk(id: string, file: string, format: string, readonly: 'on' | 'off'): string[] {
  const options = `if=none,id=${id},file=${file},format=${format},read-only=${readonly}`;
  const behaviour = readonly === 'on' ? '' : ',discard=unmap,cache=unsafe';
  return ['-drive', `${options}${behaviour}`, '-device', `virtio-blk-pci,drive=${id},serial=${id}`];
}
