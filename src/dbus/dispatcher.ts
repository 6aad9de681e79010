/**
 * Answers method calls: finds the object, interface and method, checks the signature against
 * the XML, asks who calls, acts, tells what changed, replies. In this order (as UDisks2 does).
 *
 * Every call gets exactly one reply (none when none is expected). An error that leaves this
 * file is a MirrorError's name and words or a standard D-Bus error, never a stack trace.
 */
import { readFileSync } from 'node:fs';
import { Message, Variant } from 'dbus-next';
import type { Logger } from 'pino';
import { MirrorError } from '../model/errors';
import type { Authorizer } from './authorizer';
import { MAX_PENDING_CALLS } from './limits';
import { propertyVariants } from './objectTree';
import type { ExportedInterface, ObjectTree } from './objectTree';
import { BusRefusal, describeError, quote } from './refusal';
import {
  INTROSPECTABLE,
  OBJECT_MANAGER,
  PEER_STANDARD,
  PROPERTIES,
  STANDARD_INTERFACES,
} from './standardInterfaces';

const METHOD_CALL = 1;
const NO_REPLY_EXPECTED = 1;
const ALLOW_INTERACTIVE_AUTHORIZATION = 4;
/** Options that overwrite or give up a copy. */
const DISCARDING_OPTIONS = ['force', 'full', 'discard-my-data'];
const DOCTYPE = `<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"
                      "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">
`;

export type SendReply = (reply: Message) => void;

export interface DispatcherOptions {
  readonly tree: ObjectTree;
  readonly authorizer: Authorizer;
  /** No call is answered before: what was up comes up again first. */
  readonly ready: Promise<void>;
  /** Called before each reply: signals of what the call changed go out first. */
  readonly beforeReply: () => void;
  readonly log: Logger;
}

/** What a call comes to: the signature of the answer and how to get it. */
interface Action {
  readonly outSignature: string;
  readonly run: () => Promise<readonly unknown[]> | readonly unknown[];
}

export class Dispatcher {
  private pending = 0;

  constructor(private readonly options: DispatcherOptions) {}

  /** Takes any message; those that are not method calls are ignored. Never throws. */
  handle(call: Message, send: SendReply): void {
    // dbus-next's type declarations number the types from 0, the wire (and dbus-next) from 1.
    if ((call.type as number) !== METHOD_CALL) return;
    if (this.pending >= MAX_PENDING_CALLS) {
      const error = new BusRefusal('LimitsExceeded', 'too many calls are under way; try again');
      this.reply(call, errorReply(call, error), send);
      return;
    }
    this.pending++;
    void this.answer(call, send).finally(() => this.pending--);
  }

  private async answer(call: Message, send: SendReply): Promise<void> {
    let reply: Message;
    try {
      await this.options.ready;
      const action = this.find(call);
      const body = await action.run();
      this.options.beforeReply();
      reply = Message.newMethodReturn(call, action.outSignature, [...body]);
    } catch (error) {
      this.logError(call, error);
      reply = errorReply(call, error);
    }
    this.reply(call, reply, send);
  }

  private reply(call: Message, reply: Message, send: SendReply): void {
    if ((call.flags & NO_REPLY_EXPECTED) !== 0) return;
    try {
      send(reply);
    } catch (error) {
      this.options.log.error({ err: error, member: call.member }, 'D-Bus reply not sent');
    }
  }

  private logError(call: Message, error: unknown): void {
    const { member, path, sender } = call;
    if (error instanceof BusRefusal) return;
    if (error instanceof MirrorError) {
      const { code, message } = error;
      this.options.log.info({ member, path, sender, code, why: message }, 'command refused');
    } else {
      this.options.log.error({ err: error, member, path, sender }, 'command failed');
    }
  }

  private find(call: Message): Action {
    const { tree } = this.options;
    const { path } = call;
    if (!tree.has(path) && tree.childNames(path).length === 0) {
      throw new BusRefusal('UnknownObject', `there is no object ${path}`);
    }
    return this.tryStandard(call) ?? this.ownMethod(call);
  }

  private ownMethod(call: Message): Action {
    const exported = this.findInterface(call);
    const { spec } = exported;
    const method = spec.methods.get(call.member);
    const handler = exported.methods[call.member];
    if (method === undefined || handler === undefined) {
      throw new BusRefusal('UnknownMethod', `${spec.name} has no method ${quote(call.member)}`);
    }
    checkSignature(call, method.inSignature);
    const run = async (): Promise<readonly unknown[]> => {
      const { member, path, sender } = call;
      await this.options.authorizer.authorize({
        sender,
        method: `${spec.name}.${member}`,
        interactive: (call.flags & ALLOW_INTERACTIVE_AUTHORIZATION) !== 0,
        discards: call.body.some(discardsData),
      });
      this.options.log.info({ member, path, sender }, 'command');
      return handler(call.body, { sender });
    };
    return { outSignature: method.outSignature, run };
  }

  private findInterface(call: Message): ExportedInterface {
    const interfaces = this.options.tree.interfaces(call.path) ?? [];
    // The interface may be left out of a call; then any that has the member is meant.
    const wanted = call.interface as string | undefined;
    const found = interfaces.find(({ spec }) =>
      wanted === undefined ? spec.methods.has(call.member) : spec.name === wanted,
    );
    if (found !== undefined) return found;
    if (wanted === undefined) {
      throw new BusRefusal('UnknownMethod', `${call.path} has no method ${quote(call.member)}`);
    }
    throw new BusRefusal('UnknownInterface', `${call.path} has no interface ${quote(wanted)}`);
  }

  /** undefined when the call is to none of the standard interfaces. */
  private tryStandard(call: Message): Action | undefined {
    const wanted = call.interface as string | undefined;
    for (const spec of this.standardInterfaces(call.path)) {
      if (wanted !== undefined && wanted !== spec.name) continue;
      const method = spec.methods.get(call.member);
      if (method === undefined && wanted === undefined) continue;
      if (method === undefined) {
        throw new BusRefusal('UnknownMethod', `${spec.name} has no method ${quote(call.member)}`);
      }
      checkSignature(call, method.inSignature);
      const run = (): readonly unknown[] => this.runStandard(call);
      return { outSignature: method.outSignature, run };
    }
    return undefined;
  }

  private standardInterfaces(path: string) {
    const { tree } = this.options;
    const names = [PEER_STANDARD, INTROSPECTABLE];
    if (tree.has(path)) names.push(PROPERTIES);
    if (path === tree.managerPath) names.push(OBJECT_MANAGER);
    return names.flatMap((name) => STANDARD_INTERFACES.get(name) ?? []);
  }

  private runStandard(call: Message): readonly unknown[] {
    const [first, second] = call.body as readonly string[];
    switch (call.member) {
      case 'Ping':
        return [];
      case 'GetMachineId':
        return [machineId()];
      case 'Introspect':
        return [this.introspect(call.path)];
      case 'GetManagedObjects':
        return [this.options.tree.managedObjects()];
      case 'Get':
        return [this.getProperty(call.path, first ?? '', second ?? '')];
      case 'GetAll':
        return [this.getAll(call.path, first ?? '')];
      default:
        return this.refuseSet(call.path, first ?? '', second ?? '');
    }
  }

  private introspect(path: string): string {
    const { tree } = this.options;
    const specs = [
      ...this.standardInterfaces(path),
      ...(tree.interfaces(path) ?? []).map((each) => each.spec),
    ];
    const children = tree.childNames(path).map((name) => `  <node name="${name}"/>`);
    const lines = [...specs.map((spec) => spec.xml), ...children];
    return `${DOCTYPE}<node>\n${lines.map((line) => `${line}\n`).join('')}</node>\n`;
  }

  private getProperty(path: string, interfaceName: string, property: string): Variant {
    const found = this.propertyInterfaces(path, interfaceName).find((each) =>
      each.spec.properties.has(property),
    );
    const spec = found?.spec.properties.get(property);
    if (found === undefined || spec === undefined) {
      throw new BusRefusal('UnknownProperty', `${path} has no property ${quote(property)}`);
    }
    return new Variant(spec.signature, found.properties()[property]);
  }

  private getAll(path: string, interfaceName: string): Record<string, Variant> {
    const all = this.propertyInterfaces(path, interfaceName).map(propertyVariants);
    return Object.assign({}, ...all) as Record<string, Variant>;
  }

  private refuseSet(path: string, interfaceName: string, property: string): never {
    this.getProperty(path, interfaceName, property);
    throw new BusRefusal('PropertyReadOnly', `${quote(property)} cannot be set`);
  }

  /** Those of that name, all for the empty name; none for the standard ones. */
  private propertyInterfaces(path: string, interfaceName: string): readonly ExportedInterface[] {
    const interfaces = this.options.tree.interfaces(path) ?? [];
    if (interfaceName === '') return interfaces;
    const found = interfaces.filter((each) => each.spec.name === interfaceName);
    if (found.length > 0 || STANDARD_INTERFACES.has(interfaceName)) return found;
    throw new BusRefusal('UnknownInterface', `${path} has no interface ${quote(interfaceName)}`);
  }
}

/** Whether the argument is options of which one that discards is on, or is no boolean. */
function discardsData(argument: unknown): boolean {
  if (typeof argument !== 'object' || argument === null) return false;
  const options = argument as Readonly<Record<string, { readonly value?: unknown } | undefined>>;
  return DISCARDING_OPTIONS.some(
    (name) => Object.hasOwn(options, name) && options[name]?.value !== false,
  );
}

function checkSignature(call: Message, expected: string): void {
  if (call.signature === expected) return;
  const got = call.signature === '' ? 'no arguments' : `"${call.signature}"`;
  const right = expected === '' ? 'no arguments' : `"${expected}"`;
  throw new BusRefusal('InvalidArgs', `${call.member} was called with ${got}; it takes ${right}`);
}

function errorReply(call: Message, error: unknown): Message {
  const { name, text } = describeError(error);
  // dbus-next declares the first argument a text; it is the message that is answered.
  return Message.newError(call as unknown as string, name, text);
}

function machineId(): string {
  for (const file of ['/etc/machine-id', '/var/lib/dbus/machine-id']) {
    try {
      return readFileSync(file, 'utf8').trim();
    } catch {
      // The other one may be there.
    }
  }
  throw new MirrorError('Failed', 'this machine has no machine-id');
}
