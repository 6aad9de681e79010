// What the dispatcher answers, message by message, without a bus.

import { Message, Variant } from 'dbus-next';
import pino from 'pino';
import { Dispatcher } from '../../../src/dbus/dispatcher';
import { parseInterfaces } from '../../../src/dbus/interfaceXml';
import { MAX_PENDING_CALLS } from '../../../src/dbus/limits';
import { ObjectTree } from '../../../src/dbus/objectTree';
import type { BusSignal, ExportedInterface } from '../../../src/dbus/objectTree';
import { MirrorError } from '../../../src/model/errors';

const ROOT = '/org/test';
const [SPEC] = parseInterfaces(`<node>
  <!-- kept -->
  <interface name="org.test.Thing">
    <method name="Echo"><arg name="text" type="s" direction="in"/>
      <arg name="again" type="s" direction="out"/></method>
    <method name="Fail"/><method name="Break"/><method name="Hang"/>
    <property name="Color" type="s" access="read"/>
    <property name="Count" type="t" access="read"/>
    <signal name="Bell"><arg name="tone" type="u"/></signal>
  </interface>
</node>`);
if (SPEC === undefined) throw new Error('no interface');
const spec = SPEC;

interface World {
  readonly tree: ObjectTree;
  readonly signals: BusSignal[];
  readonly sent: Message[];
  readonly values: { Color: string; Count: bigint };
  call(member: string, options?: Partial<Message>): Promise<Message>;
}

function world(refused: readonly string[] = [], ready = Promise.resolve()): World {
  const signals: BusSignal[] = [];
  const sent: Message[] = [];
  const values = { Color: 'red', Count: 1n };
  const tree = new ObjectTree(ROOT, (signal) => signals.push(signal));
  const thing: ExportedInterface = {
    spec,
    methods: {
      Echo: async ([text]) => [text],
      Fail: async () => Promise.reject(new MirrorError('PeerIsPrimary', 'beta is Primary')),
      Break: async () => Promise.reject(new TypeError('inner\n    at secret.ts:1')),
      Hang: () => new Promise(() => undefined),
    },
    properties: () => ({ ...values }),
  };
  tree.add(`${ROOT}/things/a`, [thing]);
  const dispatcher = new Dispatcher({
    tree,
    authorizer: {
      authorize: async ({ sender }) => {
        if (refused.includes(sender)) throw new MirrorError('NotAuthorized', 'not you');
      },
    },
    ready,
    beforeReply: () => undefined,
    log: pino({ level: 'silent' }),
  });
  const call = async (member: string, options: Partial<Message> = {}): Promise<Message> => {
    const fields = { path: `${ROOT}/things/a`, serial: 7, sender: ':1.1', ...options };
    dispatcher.handle(new Message({ ...fields, member }), (reply) => sent.push(reply));
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
    const reply = sent.at(-1);
    if (reply === undefined) throw new Error('no reply');
    return reply;
  };
  return { tree, signals, sent, values, call };
}

const THING = { interface: 'org.test.Thing' } as const;
const PROPERTIES = { interface: 'org.freedesktop.DBus.Properties' } as const;

test('a method is called and answered with the signature of the XML', async () => {
  const reply = await world().call('Echo', { ...THING, signature: 's', body: ['hello'] });
  expect(reply).toMatchObject({ signature: 's', body: ['hello'], destination: ':1.1' });
});

test.each<[string, string, Partial<Message>]>([
  ['UnknownObject', 'Echo', { ...THING, path: '/org/other' }],
  ['UnknownInterface', 'Echo', { interface: 'org.test.Other' }],
  ['UnknownInterface', 'Echo', { ...THING, path: '/org' }],
  ['UnknownMethod', 'Sing', THING],
  ['UnknownMethod', 'Sing', {}],
  ['UnknownMethod', 'Sing', PROPERTIES],
  ['InvalidArgs', 'Echo', { ...THING, signature: 'u', body: [1] }],
  ['InvalidArgs', 'Echo', THING],
  ['InvalidArgs', 'Get', { ...PROPERTIES, signature: 's', body: ['org.test.Thing'] }],
  ['UnknownProperty', 'Get', { ...PROPERTIES, signature: 'ss', body: ['org.test.Thing', 'X'] }],
  ['UnknownInterface', 'GetAll', { ...PROPERTIES, signature: 's', body: ['org.test.Other'] }],
])('%s is answered to %s %j', async (error, member, options) => {
  const { call } = world();
  const reply = await call(member, options);
  expect(reply.errorName).toBe(`org.freedesktop.DBus.Error.${error}`);
});

test('a refusal carries its own name and words', async () => {
  const reply = await world().call('Fail', THING);
  expect(reply.errorName).toBe('org.blkmirror.Mirror1.Error.PeerIsPrimary');
  expect(reply.body).toEqual(['beta is Primary']);
});

test('an unexpected error is answered without its stack trace', async () => {
  const reply = await world().call('Break', THING);
  expect(reply.errorName).toBe('org.blkmirror.Mirror1.Error.Failed');
  expect(reply.body).toEqual(['inner']);
});

test('a caller that is not authorised is refused before anything is done', async () => {
  const { call } = world([':1.1']);
  const reply = await call('Echo', { ...THING, signature: 's', body: ['x'] });
  expect(reply.errorName).toBe('org.blkmirror.Mirror1.Error.NotAuthorized');
  const read = await call('GetAll', { ...PROPERTIES, signature: 's', body: ['org.test.Thing'] });
  expect(read.errorName).toBeUndefined();
});

test('nothing is answered where no reply is expected', async () => {
  const { call, sent } = world();
  await expect(call('Echo', { ...THING, signature: 's', body: ['x'], flags: 1 })).rejects.toThrow();
  expect(sent).toEqual([]);
});

test('properties are read one by one and all at once, and cannot be set', async () => {
  const { call } = world();
  const color = { ...PROPERTIES, signature: 'ss', body: ['org.test.Thing', 'Color'] };
  expect((await call('Get', color)).body).toEqual([new Variant('s', 'red')]);
  const all = await call('GetAll', { ...PROPERTIES, signature: 's', body: [''] });
  expect(all.body).toEqual([{ Color: new Variant('s', 'red'), Count: new Variant('t', 1n) }]);
  const body = ['org.test.Thing', 'Color', new Variant('s', 'blue')];
  const set = await call('Set', { ...PROPERTIES, signature: 'ssv', body });
  expect(set.errorName).toBe('org.freedesktop.DBus.Error.PropertyReadOnly');
  expect((await call('Get', color)).body).toEqual([new Variant('s', 'red')]);
});

test('introspection gives the XML verbatim, the standard interfaces and the children', async () => {
  const { call } = world();
  const leaf = String((await call('Introspect')).body[0]);
  expect(leaf).toContain(spec.xml);
  expect(leaf).toContain('<!-- kept -->');
  expect(leaf).toContain('<interface name="org.freedesktop.DBus.Properties">');
  const root = String((await call('Introspect', { path: '/' })).body[0]);
  expect(root).toContain('<node name="org"/>');
  expect(parseInterfaces(root).map((each) => each.name)).toEqual([
    'org.freedesktop.DBus.Peer',
    'org.freedesktop.DBus.Introspectable',
  ]);
});

test('the object manager lists, announces and withdraws the objects below it', async () => {
  const { call, signals, tree } = world();
  const path = `${ROOT}/things/a`;
  const variants = { Color: new Variant('s', 'red'), Count: new Variant('t', 1n) };
  expect(signals).toMatchObject([
    { path: ROOT, member: 'InterfacesAdded', body: [path, { 'org.test.Thing': variants }] },
  ]);
  const reply = await call('GetManagedObjects', { path: ROOT });
  expect(reply.body).toEqual([{ [path]: { 'org.test.Thing': variants } }]);
  tree.remove(path);
  expect(signals[1]).toMatchObject({
    member: 'InterfacesRemoved',
    signature: 'oas',
    body: [path, ['org.test.Thing']],
  });
});

test('PropertiesChanged carries only what changed, once', () => {
  const { tree, signals, values } = world();
  values.Count = 2n;
  tree.refresh(`${ROOT}/things/a`);
  tree.refresh(`${ROOT}/things/a`);
  expect(signals.slice(1)).toMatchObject([
    {
      path: `${ROOT}/things/a`,
      member: 'PropertiesChanged',
      signature: 'sa{sv}as',
      body: ['org.test.Thing', { Count: new Variant('t', 2n) }, []],
    },
  ]);
});

test('no call is answered before what was up is up again', async () => {
  let open: () => void = () => undefined;
  const { call, sent } = world([], new Promise((resolve) => (open = resolve)));
  await expect(call('Ping')).rejects.toThrow('no reply');
  open();
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  expect(sent).toHaveLength(1);
});

test('too many calls at once are refused', async () => {
  const { call, sent } = world();
  for (let count = 0; count < MAX_PENDING_CALLS; count++) {
    await call('Hang', { ...THING, flags: 1 }).catch(() => undefined);
  }
  expect(sent).toEqual([]);
  const reply = await call('Echo', { ...THING, signature: 's', body: ['x'] });
  expect(reply.errorName).toBe('org.freedesktop.DBus.Error.LimitsExceeded');
});
