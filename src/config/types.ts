/**
 * The configuration of one resource after defaults, resources.d and checks.
 */
import type { FencingPolicy } from '../model/fencing';
import type { HandlerName } from '../model/handlers';
import type { ConfiguredPolicies } from '../model/policies';
import type { NodeName, Protocol, ResourceName } from '../model/states';

export interface NodeConfig {
  readonly name: NodeName;
  /** As written: `192.0.2.1:7788`, `[2001:db8::1]:7788`, `alpha.example:7788`. */
  readonly address: string;
  readonly host: string;
  /** 1 to 65535. */
  readonly port: number;
  readonly disk: string;
  /** `internal` or a path. */
  readonly metaDisk: string;
}

/** What becomes of a copy whose disk reports an error; the first is the default. */
export const IO_ERROR_POLICIES = ['detach', 'pass_on', 'call-local-io-error'] as const;
export type IoErrorPolicy = (typeof IO_ERROR_POLICIES)[number];

export interface ResourceConfig {
  readonly name: ResourceName;
  /** The file it was read from, for messages. */
  readonly file: string;
  /** `auto`, `none` or `/dev/nbdN`. */
  readonly device: string;
  readonly protocol: Protocol;
  readonly timeoutMs: number;
  readonly sndbufBytes: number;
  readonly rcvbufBytes: number;
  readonly splitBrain: ConfiguredPolicies;
  /** 0: no limit. */
  readonly alExtents: number;
  readonly onIoError: IoErrorPolicy;
  /** A disk operation that takes longer means a failed disk; 0: never. */
  readonly diskTimeoutMs: number;
  /** Ceiling of each resync that copies to this node; 0: none. */
  readonly cMaxKibPerSecond: number;
  /** What such a resync keeps while an application writes; 0: it leaves no room. */
  readonly cMinKibPerSecond: number;
  /** How long `up --wait` waits until every peer is connected (wfc-timeout). */
  readonly waitForPeersMs: number;
  /** With a policy other than dont-care there is a fence-peer handler. */
  readonly fencing: FencingPolicy;
  /** Commands for /bin/sh, by the event they are for. */
  readonly handlers: Readonly<Partial<Record<HandlerName, string>>>;
  readonly handlerTimeoutMs: number;
  /** All nodes, sorted by name; the position in this order decides ties ("lower slot"). */
  readonly nodes: readonly NodeConfig[];
}

/** One thing wrong, as `file:line: what is wrong, and what would be right`. */
export interface ConfigProblem {
  readonly file: string;
  readonly line: number;
  readonly message: string;
}
