/**
 * Collects what has changed and tells it once each turn of the event loop, so that ten changes
 * of a device make one signal. Whoever answers a call flushes before the answer goes out.
 */
import type { Logger } from 'pino';
import type { ResourceName } from '../model/states';

export interface Changes {
  /** Came, went, or look different. */
  readonly resources: ReadonlySet<ResourceName>;
  readonly jobs: ReadonlySet<number>;
}

export type ChangeListener = (changes: Changes) => void;

export class ChangeHub {
  private readonly listeners = new Set<ChangeListener>();
  private resources = new Set<ResourceName>();
  private jobs = new Set<number>();
  private scheduled = false;

  constructor(private readonly log: Logger) {}

  /** Returns how to stop listening. */
  subscribe(listener: ChangeListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  resourceChanged(name: ResourceName): void {
    this.resources.add(name);
    this.schedule();
  }

  jobChanged(id: number): void {
    this.jobs.add(id);
    this.schedule();
  }

  /** Tells now what was collected. */
  flush(): void {
    if (this.resources.size === 0 && this.jobs.size === 0) return;
    const changes: Changes = { resources: this.resources, jobs: this.jobs };
    this.resources = new Set();
    this.jobs = new Set();
    for (const listener of this.listeners) this.tell(listener, changes);
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      this.flush();
    });
  }

  /** A listener that fails must not end the service: the devices matter more. */
  private tell(listener: ChangeListener, changes: Changes): void {
    try {
      listener(changes);
    } catch (error) {
      this.log.error({ err: error }, 'telling of a change failed');
    }
  }
}
