/**
 * The texts of `--help`: what each command does, and examples. Only text.
 */

export interface CommandHelp {
  readonly summary: string;
  readonly description: string;
  readonly examples: readonly string[];
}

export const PROGRAM_HELP: CommandHelp = {
  summary: 'network RAID-1: mirrors a block device to other hosts',
  description: `
Mirrors a block device to other hosts over TCP. blkmirrord does the work; this is its command
line. Resources are configured in /etc/blkmirror/resources.d/RESOURCE.conf.`,
  examples: [
    'blkmirror create-md r0        write metadata, once on each node',
    'blkmirror up r0               attach the disk and connect to the peers',
    'blkmirror promote r0 --force  a new mirror: keep the data of this node',
    'blkmirror status              how things are',
  ],
};

export const COMMAND_HELP = {
  'create-md': {
    summary: "write fresh metadata for this node's copy of a resource",
    description: `
Writes fresh metadata for this node's copy. Needs no daemon. Refused while the resource is
attached, and where metadata or a known signature (a file system, LVM, RAID) is found, unless
--force is given. The copy is Inconsistent afterwards. With --adopt the data on the disk stays and
the copy is UpToDate: refused unless the data ends before the metadata begins; run create-md
without --adopt on the other nodes. With --skip-initial-sync, given on every node, empty copies
are UpToDate and equal from the first: blocks never written then hold whatever each disk held,
unless --zero overwrites all of it.`,
    examples: [
      'blkmirror create-md r0',
      'blkmirror create-md r0 --adopt',
      'blkmirror create-md r0 --skip-initial-sync --zero',
      'blkmirror create-md r0 --max-peers 3',
      'blkmirror --config-dir ./etc --node alpha create-md r0 --force',
    ],
  },
  'dump-md': {
    summary: "print the metadata of this node's copy as text",
    description: `
Prints everything that the metadata of this node's copy says: identity and generations, what it
knows of each peer, hot extents, and what is out of sync as runs of 4 KiB blocks. Needs no
daemon. Refused while the resource is attached, unless --force is given: such a dump may be
half-way through a change.`,
    examples: ['blkmirror dump-md r0 > r0.md', 'blkmirror dump-md r0 --force | less'],
  },
  'restore-md': {
    summary: 'write metadata from what dump-md printed',
    description: `
Checks the whole file, then writes this node's metadata from it, where the disk has another size
at the places that fit. Needs no daemon; refused while the resource is attached, and where
metadata is found unless --force is given. What was written since the dump is not in it: unless
the metadata on the disk is still the same, everything is marked out of sync. --unchanged says
that the data is what it was when the file was dumped.`,
    examples: ['blkmirror restore-md r0 r0.md', 'blkmirror restore-md r0 r0.md --unchanged'],
  },
  'repair-md': {
    summary: 'repair damaged metadata, or say what is left of it',
    description: `
Makes both superblocks whole from the good one, damaged pages of the activity log hot, and
damaged pages of the bitmap out of sync, and says what it did. Where no superblock is good, it
looks for one where a disk that grew used to end, and at the other places where one may be; with
--scan on the whole disk. Needs no daemon; refused while the resource is attached.`,
    examples: ['blkmirror repair-md r0', 'blkmirror repair-md r0 --scan'],
  },
  resize: {
    summary: 'let the mirror grow onto disks that have grown',
    description: `
After the backing disks of all nodes have grown: run down on every node, resize on the one with
the smallest disk, resize --size with the size that it says on the others, then up. The data
stays, the metadata moves to the disk's new end, and what is new is copied from one node to the
others. A crash leaves the old size or the new; resize is then given again, where needed. Needs no
daemon; refused while the resource is attached here, after a crash until up and down have settled
it, and for a size that is not larger. Copies of different sizes do not connect. External metadata
needs room for the new areas beside the old.`,
    examples: ['blkmirror resize r0', 'blkmirror resize r0 --size 200G'],
  },
  up: {
    summary: 'attach the backing disk and connect to the peers',
    description: `
Reads the configuration of the resource afresh, attaches its backing disk and begins to connect
to its peers. Needs no peer; succeeds when it is up already. On a terminal it shows a resync
that begins, until Ctrl-C, which leaves it running. With --wait it ends when every peer is
connected, or when wfc-timeout ([startup], 30 s) has passed; both are success.`,
    examples: ['blkmirror up r0', 'blkmirror up r0 --wait', 'blkmirror up all'],
  },
  down: {
    summary: 'disconnect and detach',
    description: `
Disconnects the resource from its peers and detaches its backing disk cleanly. Refused while
clients use the device. "all" means all that are up.`,
    examples: ['blkmirror down r0', 'blkmirror down all'],
  },
  promote: {
    summary: 'make this node Primary, which serves the device',
    description: `
Makes this node Primary and serves the device. Refused while a connected peer is Primary. An
Inconsistent or Outdated copy needs --force, which declares this copy UpToDate.`,
    examples: [
      'blkmirror promote r0',
      'blkmirror promote r0 --force',
      'blkmirror promote /dev/nbd0',
    ],
  },
  demote: {
    summary: 'make this node Secondary',
    description: `
Flushes every node, ends serving and makes this node Secondary. Refused while clients use the
device.`,
    examples: ['blkmirror demote r0'],
  },
  resync: {
    summary: 'copy what is out of sync',
    description: `
On a Secondary: copies what is out of sync from the peer that is UpToDate, or everything with
--full. On a Primary: to the peer named with --to.`,
    examples: [
      'blkmirror resync r0 --wait',
      'blkmirror resync r0 --full --from alpha',
      'blkmirror resync r0 --to beta',
    ],
  },
  attach: {
    summary: 'attach the backing disk again, after detach or a failure',
    description: `
Attaches the backing disk of the configuration. On a Primary the peers go on serving until the
copy is resynced from one of them; clients notice nothing.`,
    examples: ['blkmirror attach r0'],
  },
  detach: {
    summary: 'go on without the backing disk',
    description: `
Lets the backing disk go, for its repair or replacement. A Primary goes on through an UpToDate
peer; with none it is refused, unless --force, and clients get errors then.`,
    examples: ['blkmirror detach r0', 'blkmirror detach r0 --force'],
  },
  connect: {
    summary: 'connect to the peers, after disconnect or split brain',
    description: `
Connects to every peer, or to one. In split brain, --discard-my-data gives up what was written
here since the copies parted; on the other node, connect without it. With --dry-run as well it
tells what would be lost, with the numbers of both nodes, and changes nothing.`,
    examples: [
      'blkmirror connect r0',
      'blkmirror connect r0 beta --discard-my-data --dry-run',
      'blkmirror connect r0 beta --discard-my-data',
    ],
  },
  outdate: {
    summary: 'declare the local copy older than another',
    description: `
Declares the copy of a Secondary that is not connected Outdated: promoting it takes --force until
it has been resynced. Refused on a Primary, and while a peer is connected.`,
    examples: ['blkmirror outdate r0'],
  },
  invalidate: {
    summary: 'give up the local copy and copy it anew',
    description: `
Declares the local copy Inconsistent and copies everything from a connected peer that is UpToDate.
Refused on a Primary, and where no such peer is connected.`,
    examples: ['blkmirror invalidate r0'],
  },
  'invalidate-remote': {
    summary: "overwrite a peer's copy with the local one",
    description: `
Declares the copy of a connected Secondary Inconsistent and copies everything there from here.
Refused unless the local copy is UpToDate.`,
    examples: ['blkmirror invalidate-remote r0', 'blkmirror invalidate-remote r0 beta'],
  },
  disconnect: {
    summary: 'end the connection to the peers and stay StandAlone',
    description: 'Ends the connection to every peer, or to one. It stays StandAlone until connect.',
    examples: ['blkmirror disconnect r0', 'blkmirror disconnect r0 beta'],
  },
  'resume-io': {
    summary: 'go on without a peer that could not be fenced',
    description: `
Lets suspended I/O go on (fencing = resource-and-stonith) although a lost peer is not known to be
fenced. First make sure that it is not Primary: else both copies go their own way.`,
    examples: ['blkmirror resume-io r0'],
  },
  status: {
    summary: 'show roles, states and progress',
    description: `
Shows every resource that is up, or one, with its peers. With --json an array with one object
for each resource; unknown values are null.`,
    examples: ['blkmirror status', 'blkmirror status r0', 'blkmirror status --json'],
  },
  events: {
    summary: 'show changes as they happen',
    description: `
Shows how everything is, then one line for each change, until Ctrl-C. Ends with 1 when the
service ends. With --json each line is an object with "time", "event" (state, up, down,
peer-added, peer-removed, changed), "resource", "peer" and the values that are new.`,
    examples: ['blkmirror events', 'blkmirror events --json'],
  },
  setup: {
    summary: 'the ad-hoc form: a mirror without a configuration file',
    description: `
Makes the resource nbdN of a disk and two hosts on port 7788, writes its configuration file and
brings it up. Run it on both hosts, each with its own name first. A host is HOST, HOST:PORT, or
NAME=HOST[:PORT] where the node has another name than its address. The disk needs metadata:
setup names the create-md command to run.`,
    examples: [
      'blkmirror setup /dev/nbd0 /dev/sdb1 alpha beta    on alpha',
      'blkmirror setup /dev/nbd0 /dev/sdb1 beta alpha    on beta',
    ],
  },
} as const satisfies Readonly<Record<string, CommandHelp>>;

export type CommandName = keyof typeof COMMAND_HELP;

export function examplesText(help: CommandHelp): string {
  return `\nExamples:\n${help.examples.map((example) => `  ${example}`).join('\n')}`;
}

/** As one line: whoever prints it wraps it at the terminal's width. */
export function unwrapped(text: string): string {
  return text.trim().replace(/\s*\n\s*/g, ' ');
}
