// A D-Bus client that sees error names, and that can send what no library would.

import { once } from 'node:events';
import type { Socket } from 'node:net';
import { DBusError, Message, sessionBus } from 'dbus-next';
import type { MessageBus, MessageLike } from 'dbus-next';
import { BUS_NAME } from '../../src/dbus/paths';

interface Internals {
  readonly _connection: { readonly stream: Socket };
}

interface Marshaller {
  marshallMessage(message: Message): [Buffer, unknown[]];
}

export class BusClient {
  private constructor(private readonly bus: MessageBus) {}

  static async open(address: string): Promise<BusClient> {
    const bus = sessionBus({ busAddress: address, authMethods: ['EXTERNAL'] });
    await once(bus, 'connect');
    return new BusClient(bus);
  }

  /** `name: text` of the error, or nothing. */
  async call(fields: MessageLike): Promise<string> {
    try {
      await this.bus.call(new Message({ ...fields, destination: BUS_NAME }));
      return '';
    } catch (error) {
      if (error instanceof DBusError) return `${error.type}: ${error.text}`;
      throw error;
    }
  }

  /** The message with an argument of type `h`, and no descriptor with it. */
  sendWithForgedDescriptor(fields: MessageLike): void {
    const serial = this.bus.newSerial();
    const argument = { signature: 'u', body: [0] };
    const message = new Message({ ...fields, ...argument, serial, destination: BUS_NAME });
    const { marshallMessage } = jest.requireActual<Marshaller>('dbus-next/lib/marshall-compat');
    const [bytes] = marshallMessage(message);
    const signature = bytes.indexOf('\x01u\0');
    bytes[signature + 1] = 'h'.charCodeAt(0);
    this.stream.write(bytes);
  }

  async close(): Promise<void> {
    const closed = once(this.stream, 'close');
    this.bus.disconnect();
    this.stream.destroy();
    await closed;
  }

  private get stream(): Socket {
    return (this.bus as unknown as Internals)._connection.stream;
  }
}
