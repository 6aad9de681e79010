// The house checks dbus/*.xml, the contract that is served verbatim: the members DESIGN.md
// promises are there, each member has a comment right before it, arguments have names, and the
// errors the comments name are those of the error table (src/model/errors.ts), all of them.

import { ERROR_CODES } from '../../../src/model/errors';
import { sourceFiles } from './tree';

const PREFIX = 'org.blkmirror.Mirror1.';

const CONTRACT: Readonly<Record<string, readonly string[]>> = {
  Manager: ['Up', 'Down', 'Reload', 'Version', 'NodeName'],
  Device: [
    ...['Promote', 'Demote', 'Resync', 'Connect', 'Disconnect', 'Invalidate'],
    ...['Attach', 'Detach'],
    ...['Name', 'Role', 'DiskState', 'DevicePath', 'NbdSocket', 'SizeBytes', 'Protocol'],
    ...['CurrentUuid', 'Suspended', 'SuspendedReason', 'MayPromote', 'ResumeIo'],
  ],
  Peer: [
    ...['Name', 'Address', 'ConnectionState', 'ReplicationState', 'Role', 'DiskState'],
    ...['OutOfSyncBytes', 'ResyncDonePercent', 'ResyncBytesPerSecond'],
  ],
  Job: ['Operation', 'Progress', 'BytesPerSecond', 'ExpectedEndTime', 'Cancel', 'Completed'],
};

const ERROR_NAMES = [
  ...['InvalidArgs', 'NotFound', 'NotAuthorized', 'NotPrimary', 'PeerIsPrimary', 'NotUpToDate'],
  ...['NotAttached', 'NotConnected', 'DeviceInUse', 'SplitBrain', 'Reverted', 'Unrelated'],
  ...['ResyncRunning', 'InTransition', 'NoQuorum', 'TimedOut', 'Failed'],
];

interface Member {
  readonly file: string;
  readonly owner: string;
  readonly kind: string;
  readonly name: string;
  readonly argumentNames: readonly string[];
  /** The comment that ends right before the member's tag; empty when there is none. */
  readonly comment: string;
}

const files = sourceFiles(/^dbus\/.*\.xml$/).filter((file) => /<node\b/.test(file.text));
const members = files.flatMap(({ path, text }) => membersOf(path, text));

function membersOf(file: string, text: string): Member[] {
  const found: Member[] = [];
  const pattern =
    /(?:<!--((?:(?!-->)[\s\S])*)-->\s*)?<(interface|method|property|signal)\b([^>]*)>/g;
  let owner = '';
  for (const match of text.matchAll(pattern)) {
    const [whole, comment = '', kind = '', attributes = ''] = match;
    const [inside = ''] = text.slice(match.index + whole.length).split(`</${kind}>`);
    const isCallable = !attributes.endsWith('/') && ['method', 'signal'].includes(kind);
    const argumentNames = isCallable ? namesOfArguments(inside) : [];
    const name = /\bname="([^"]*)"/.exec(attributes)?.[1] ?? '';
    if (kind === 'interface') owner = name;
    found.push({ file, owner, kind, name, argumentNames, comment: comment.trim() });
  }
  return found;
}

function namesOfArguments(inside: string): string[] {
  return [...inside.matchAll(/<arg\b[^>]*\bname="([^"]*)"/g)].map(([, name = '']) => name);
}

/** The errors a comment names, in lines like `Errors: NotFound (no such peer), Failed.` */
function errorsNamed(comment: string): string[] {
  const bare = comment.replace(/\([^)]*\)/g, '');
  return [...bare.matchAll(/\bErrors?:([^.]*)/g)].flatMap(([, list = '']) =>
    list.split(/[\s,]+/).filter((word) => /^[A-Z]/.test(word)),
  );
}

function label(member: Member): string {
  return `${member.file}: ${member.kind} ${member.name}`;
}

test('the error table holds exactly the names of the contract', () => {
  expect(Object.keys(ERROR_CODES).sort()).toEqual([...ERROR_NAMES].sort());
});

const describeXml = files.length > 0 ? describe : describe.skip;
describeXml('interface XML', () => {
  const own = members.filter((member) => member.owner.startsWith(PREFIX));

  test.each(Object.entries(CONTRACT))('%s has every member of the contract', (owner, names) => {
    const there = own.filter((member) => member.owner === PREFIX + owner).map((one) => one.name);
    expect(names.filter((name) => !there.includes(name))).toEqual([]);
  });

  test('every interface, method, property and signal has a comment before it', () => {
    expect(own.filter((member) => member.comment === '').map(label)).toEqual([]);
  });

  test('every method names its errors, and those are in the table', () => {
    const methods = own.filter((member) => member.kind === 'method');
    expect(methods.filter((one) => errorsNamed(one.comment).length === 0).map(label)).toEqual([]);
    const unknown = own.flatMap((member) =>
      errorsNamed(member.comment)
        .filter((name) => !(name in ERROR_CODES))
        .map((name) => `${label(member)}: ${name}`),
    );
    expect(unknown).toEqual([]);
  });

  test('every error of the table is explained in the Manager interface', () => {
    const manager = own.find((one) => one.kind === 'interface' && one.name === `${PREFIX}Manager`);
    const words = (manager?.comment ?? '').split(/\s+/);
    expect(Object.keys(ERROR_CODES).filter((name) => !words.includes(`${name}:`))).toEqual([]);
  });

  test('every argument is explained in its member as @name:', () => {
    const silent = own.flatMap((member) =>
      member.argumentNames
        .filter((name) => !member.comment.includes(`@${name}:`))
        .map((name) => `${label(member)}: ${name}`),
    );
    expect(silent).toEqual([]);
  });

  test('every argument has a name', () => {
    const nameless = files.flatMap(({ path, text }) =>
      [...text.matchAll(/<arg\b(?![^>]*\bname="[^"]+")[^>]*>/g)].map(([tag]) => `${path}: ${tag}`),
    );
    expect(nameless).toEqual([]);
  });
});
