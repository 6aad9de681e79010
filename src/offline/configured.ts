/**
 * What the command line asks of the configuration without the service.
 */
import { readdirSync, readlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { getResource, listResources } from '../config/load';
import { resourceNameProblem } from '../config/names';
import { formatProblems } from '../config/problems';

/** Names of all resources that have a file, and files that are no resources, in words. */
export function configuredResources(configDir: string): {
  readonly names: readonly string[];
  readonly problems: string;
} {
  const { names, problems } = listResources(configDir);
  return { names, problems: formatProblems(problems) };
}

/**
 * How long `up --wait` waits for the peers of a resource.
 * @throws NotFound, InvalidArgs
 */
export function waitForPeersMs(configDir: string, resource: string): number {
  return getResource(configDir, resource).waitForPeersMs;
}

/** The kernel device itself, and the link to it that udev makes of a resource's name. */
const NBD_PATH = /^\/dev\/(nbd[0-9]+)$/;
const LINK_PATH = /^\/dev\/blkmirror\/([^/]+)$/;

/**
 * The name behind what stands for a resource on the command line. `/dev/blkmirror/r0` is r0;
 * `/dev/nbdN` is the resource that is Primary there, else the one whose file names it, else nbdN.
 */
export function resourceFromArgument(
  text: string,
  configDir: string,
  links = '/dev/blkmirror',
): string {
  const nbd = NBD_PATH.exec(text)?.[1];
  if (nbd === undefined) return LINK_PATH.exec(text)?.[1] ?? text;
  return tryLinked(nbd, links) ?? tryConfigured(text, configDir) ?? nbd;
}

/** undefined when it can name a resource, else why not. */
export function resourceArgumentProblem(resource: string): string | undefined {
  return resourceNameProblem(resource);
}

function tryLinked(nbd: string, links: string): string | undefined {
  try {
    return readdirSync(links).find((name) => basename(readlinkSync(join(links, name))) === nbd);
  } catch {
    return undefined;
  }
}

/** Files that are wrong count for nothing here. */
function tryConfigured(device: string, configDir: string): string | undefined {
  return listResources(configDir).names.find((name) => {
    try {
      return getResource(configDir, name).device === device;
    } catch {
      return false;
    }
  });
}
