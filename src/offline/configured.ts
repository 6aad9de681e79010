/**
 * What the command line asks of the configuration without the service.
 */
import { getResource, listResources } from '../config/load';
import { formatProblems } from '../config/problems';
import { resourceNameProblem } from '../config/names';

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

/**
 * The name behind what stands for a resource on the command line: `/dev/nbdN` is nbdN,
 * `/dev/blkmirror/r0` is r0.
 */
export function resourceFromArgument(text: string): string {
  return /^\/dev\/(?:(?=nbd[0-9]+$)|blkmirror\/)([^/]+)$/.exec(text)?.[1] ?? text;
}

/** undefined when the argument can name a resource, else why not. */
export function resourceArgumentProblem(text: string): string | undefined {
  return resourceNameProblem(resourceFromArgument(text));
}
