/**
 * Addresses of nodes: `192.0.2.1:7788`, `[2001:db8::1]:7788`, `alpha.example:7788`. Pure.
 */
import { isIPv4, isIPv6 } from 'node:net';
import { MAX_HOST_BYTES, MAX_PORT } from './limits';

export interface Address {
  /** Without brackets. */
  readonly host: string;
  /** 1 to 65535. */
  readonly port: number;
}

export const DEFAULT_PORT = 7788;

export type ParsedAddress =
  | { readonly ok: true; readonly address: Address }
  | { readonly ok: false; readonly problem: string };

export function parseAddress(text: string): ParsedAddress {
  const parts = splitAddress(text);
  if (typeof parts === 'string') return { ok: false, problem: parts };
  const problem = hostProblem(parts.host, parts.bracketed) ?? portProblem(parts.port, text);
  if (problem !== undefined) return { ok: false, problem };
  return { ok: true, address: { host: parts.host, port: Number(parts.port) } };
}

/** The inverse of {@link parseAddress}. */
export function formatAddress(address: Address): string {
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `${host}:${address.port}`;
}

/** The same text for every way to write the same numeric address; names in lower case. */
export function canonicalAddress(address: Address): string {
  let host = address.host.toLowerCase();
  if (isIPv6(host)) host = new URL(`http://[${host}]/`).hostname;
  return `${host} ${address.port}`;
}

interface Parts {
  readonly host: string;
  readonly port: string;
  readonly bracketed: boolean;
}

function splitAddress(text: string): Parts | string {
  const bracketed = /^\[([^\]]*)\](.*)$/.exec(text);
  if (bracketed !== null) {
    const host = bracketed[1] ?? '';
    const rest = bracketed[2] ?? '';
    if (rest.startsWith(':')) return { host, port: rest.slice(1), bracketed: true };
    return `${quote(text)} has no port; write [${host}]:${DEFAULT_PORT}`;
  }
  if (isIPv6(text)) return `an IPv6 address needs brackets and a port; write [${text}]:7788`;
  const unbracketed = /^(.*:.*):([0-9]+)$/.exec(text);
  if (unbracketed !== null && isIPv6(unbracketed[1] ?? '')) {
    const right = `[${unbracketed[1] ?? ''}]:${unbracketed[2] ?? ''}`;
    return `an IPv6 address needs brackets; write ${right}`;
  }
  const colon = text.lastIndexOf(':');
  if (colon < 0) return `${quote(text)} has no port; write ${text}:${DEFAULT_PORT}`;
  return { host: text.slice(0, colon), port: text.slice(colon + 1), bracketed: false };
}

function hostProblem(host: string, bracketed: boolean): string | undefined {
  if (host === '') return 'the host is missing; write HOST:PORT, such as 192.0.2.1:7788';
  if (bracketed) return ipv6Problem(host);
  if (/^[0-9.]+$/.test(host) && !isIPv4(host)) {
    return `${quote(host)} is not an IPv4 address; write four numbers from 0 to 255 with dots`;
  }
  if (host === '0.0.0.0') return anyAddress(host);
  if (!isHostName(host)) {
    return `${quote(host)} is neither a host name nor an address; write HOST:PORT, such as \
192.0.2.1:7788, [2001:db8::1]:7788 or alpha.example:7788`;
  }
  return undefined;
}

function ipv6Problem(host: string): string | undefined {
  if (host.includes('%')) {
    return `${quote(host)} has a zone, which is not supported; use an address without one`;
  }
  if (!isIPv6(host)) {
    return `${quote(host)} is not an IPv6 address; only those go in brackets`;
  }
  if (new URL(`http://[${host}]/`).hostname === '[::]') return anyAddress(host);
  return undefined;
}

function anyAddress(host: string): string {
  return `${quote(host)} is no address that peers can connect to; write the one they reach`;
}

function portProblem(port: string, text: string): string | undefined {
  if (port === '') {
    return `${quote(text)} has no port; write ${text.replace(/:$/, '')}:${DEFAULT_PORT}`;
  }
  const value = /^[0-9]{1,5}$/.test(port) ? Number(port) : 0;
  if (value >= 1 && value <= MAX_PORT) return undefined;
  return `${quote(port)} is not a port; use a number from 1 to ${MAX_PORT}`;
}

function isHostName(host: string): boolean {
  if (host.length > MAX_HOST_BYTES) return false;
  const labels = host.replace(/\.$/, '').split('.');
  return labels.every((label) => /^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/.test(label));
}

function quote(text: string): string {
  return JSON.stringify(text);
}
