/**
 * Events of one process's data plane on their way to its JavaScript, which may be stalled: then
 * they wait, in their order. Commands still go through, for there is nobody to give any.
 */
import type {
  Addon,
  RawDevice,
  RawDeviceEvent,
  RawLobby,
  RawLobbyEvent,
} from '../../src/plane/addon';
import type { EstablishPlan } from '../../src/plane/establishPlan';
import type { AttachSpec, Slot } from '../../src/plane/plane';

export class Mailbox {
  private stalled = false;
  private waiting: (() => void)[] = [];

  stall(): void {
    this.stalled = true;
  }

  goOn(): void {
    this.stalled = false;
    for (const deliver of this.waiting.splice(0)) deliver();
  }

  /** The process has ended. */
  close(): void {
    this.stalled = true;
    this.waiting = [];
  }

  /** The same addon, with its callbacks through this mailbox; tells what is established. */
  wrap(addon: Addon, onEstablish: (slot: Slot, plan: EstablishPlan) => void): Addon {
    const { Device, Lobby } = addon;
    const through = <T>(listener: (event: T) => void): ((event: T) => void) => {
      return (event) => this.post(() => listener(event));
    };
    // A function that answers an object is a constructor, too.
    const newDevice = function (spec: AttachSpec, on: (event: RawDeviceEvent) => void): RawDevice {
      return tellEstablish(new Device(spec, through(on)), onEstablish);
    };
    const newLobby = function (on: (event: RawLobbyEvent) => void): RawLobby {
      return new Lobby(through(on));
    };
    return {
      Device: newDevice as unknown as Addon['Device'],
      Lobby: newLobby as unknown as Addon['Lobby'],
      inspectDisk: (path) => addon.inspectDisk(path),
      createMetadata: (spec) => addon.createMetadata(spec),
      readMetadata: (disk, metaDisk) => addon.readMetadata(disk, metaDisk),
    };
  }

  private post(deliver: () => void): void {
    if (this.stalled) this.waiting.push(deliver);
    else deliver();
  }
}

function tellEstablish(
  raw: RawDevice,
  onEstablish: (slot: Slot, plan: EstablishPlan) => void,
): RawDevice {
  const establish = raw.establish.bind(raw);
  const told: RawDevice['establish'] = (ticket, slot, incarnation, plan) => {
    onEstablish(slot, plan);
    return establish(ticket, slot, incarnation, plan);
  };
  Object.defineProperty(raw, 'establish', { value: told });
  return raw;
}
