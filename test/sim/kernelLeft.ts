/**
 * The kernel device that a killed daemon left behind, for the next one on its machine. Nobody asks
 * it for anything: clients of the simulation use the socket, and go on with that.
 */
import type { KernelDevices } from '../../src/plane/kernelDevices';
import type { DevicePlane, Plane } from '../../src/plane/plane';
import { NO_SOCKET_STORE } from '../../src/plane/socketStore';
import type { KernelSide } from '../../src/resource/kernelDevice';

const INDEX = 0;
/** Of a connection that is never used. */
const FD = -1;

export class KernelLeft {
  /** Gone: what waited on it has failed. */
  disconnected = false;

  /** As a newly started daemon has it. */
  side(): KernelSide {
    const done = (): Promise<void> => Promise.resolve();
    const nothing = (): void => undefined;
    const tree = {
      devicePath: (index: number) => `/dev/nbd${index}`,
      linkPath: (resource: string) => `/dev/blkmirror/${resource}`,
      tune: done,
    };
    const devices = {
      tree,
      tryFind: () => (this.disconnected ? undefined : INDEX),
      reconnect: () => Promise.resolve(FD),
      claim: () => Promise.resolve(FD),
      whenLinked: done,
      release: nothing,
      forget: nothing,
      disconnect: () => {
        this.disconnected = true;
        return done();
      },
    };
    const sockets = NO_SOCKET_STORE;
    return { devices: devices as unknown as KernelDevices, sockets, onMissing: nothing };
  }

  /** The data plane takes its connection, and is never asked for anything by it. */
  servedBy(plane: Plane): Plane {
    const attach = plane.attach.bind(plane);
    const attachServed: Plane['attach'] = async (...how) => withKernel(await attach(...how));
    Object.defineProperty(plane, 'attach', { value: attachServed });
    return plane;
  }
}

function withKernel(device: DevicePlane): DevicePlane {
  let served = false;
  const serveKernel: DevicePlane['serveKernel'] = () => {
    served = true;
    return Promise.resolve();
  };
  const statistics = device.statistics.bind(device);
  const counted: DevicePlane['statistics'] = () => ({ ...statistics(), kernelAttached: served });
  Object.defineProperty(device, 'serveKernel', { value: serveKernel });
  Object.defineProperty(device, 'statistics', { value: counted });
  return device;
}
