/**
 * Which names resources and nodes may have, and what is wrong with one that is not allowed.
 *
 * Resource names become file names, socket names and D-Bus path elements; node names become
 * D-Bus path elements and go into the metadata (63 bytes). Used by the configuration and the
 * command line.
 */
import type { NodeName, ResourceName } from '../model/states';
import { MAX_NAME_BYTES } from './limits';

/** undefined when `text` is a resource name, else why not and what would be right. */
export function resourceNameProblem(text: string): string | undefined {
  if (text === 'all') {
    return 'a resource cannot be called "all", which stands for all resources; choose another name';
  }
  return nameProblem('resource', text);
}

export function tryResourceName(text: string): ResourceName | undefined {
  return resourceNameProblem(text) === undefined ? (text as ResourceName) : undefined;
}

/** undefined when `text` is a node name, else why not and what would be right. */
export function nodeNameProblem(text: string): string | undefined {
  return nameProblem('node', text);
}

export function tryNodeName(text: string): NodeName | undefined {
  return nodeNameProblem(text) === undefined ? (text as NodeName) : undefined;
}

function nameProblem(kind: 'resource' | 'node', text: string): string | undefined {
  const shown = JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text);
  if (text === '') return `the ${kind} name is empty; use letters, digits and "_ . -"`;
  if (!/^[A-Za-z0-9_.-]*$/.test(text)) {
    return `${shown} is not a ${kind} name; use only letters, digits and "_ . -"`;
  }
  if (/^[.-]/.test(text)) {
    return `${shown} is not a ${kind} name; begin it with a letter, a digit or "_"`;
  }
  if (text.length > MAX_NAME_BYTES) {
    return `the ${kind} name ${shown} is too long; use at most ${MAX_NAME_BYTES} characters`;
  }
  return undefined;
}
