/**
 * What the configuration of a seed leaves to the nodes themselves: protocol, errors of the disk,
 * split brain, fencing, rates. Each but the protocol is mostly at its default, so that what an
 * administrator decides stays the rule.
 */
import type { Options } from './configuration';
import type { Dice } from './dice';

/** Handlers are simulated (handlers.ts): the command says nothing. */
const HANDLER = '/bin/handler';
const HANDLER_TIMEOUT_MS = 5000;

export function drawPolicies(dice: Dice, nodes: number): Options {
  // Three nodes have no loss of a Primary, so most of it could not happen.
  if (nodes > 2) return {};
  return {
    'resource.protocol': dice.pick(['A', 'B', 'C', 'C', 'C']),
    ...drawErrorPolicy(dice),
    ...(dice.oneIn(4) ? { 'disk.disk-timeout-ms': dice.pick([400, 1500]) } : {}),
    ...(dice.oneIn(5) ? drawSplitBrain(dice) : {}),
    ...(dice.oneIn(5) ? drawFencing(dice) : {}),
  };
}

/** Without a ceiling a resync is over before the next fault. */
export function drawRates(dice: Dice): Options {
  return dice.oneIn(4) ? { 'disk.c-max-rate': dice.pick(['1M', '1M', '4M']) } : {};
}

/** Nodes decide by themselves whose data goes. */
export function isAutomatic(options: Options): boolean {
  return 'net.after-sb-0pri' in options;
}

function drawErrorPolicy(dice: Dice): Options {
  if (dice.oneIn(5)) return { 'disk.on-io-error': 'pass_on' };
  if (!dice.oneIn(5)) return {};
  return { 'disk.on-io-error': 'call-local-io-error', 'handlers.local-io-error': HANDLER };
}

function drawSplitBrain(dice: Dice): Options {
  return {
    'net.after-sb-0pri': dice.pick([
      'disconnect',
      'discard-node-alpha',
      'discard-node-beta',
      'discard-younger-primary',
      'discard-older-primary',
      'discard-zero-changes',
      'discard-least-changes',
    ]),
    'net.after-sb-1pri': dice.pick([
      'disconnect',
      'consensus',
      'violently-as0p',
      'discard-secondary',
      'call-pri-lost-after-sb',
    ]),
    'net.after-sb-2pri': dice.pick(['disconnect', 'violently-as0p', 'call-pri-lost-after-sb']),
    'net.rr-conflict': dice.pick(['disconnect', 'violently', 'call-pri-lost']),
    'net.always-asbp': dice.pick(['yes', 'no']),
    'handlers.pri-lost': HANDLER,
    'handlers.pri-lost-after-sb': HANDLER,
  };
}

function drawFencing(dice: Dice): Options {
  return {
    'net.fencing': dice.pick(['resource-only', 'resource-and-stonith']),
    'handlers.fence-peer': HANDLER,
    'handlers.unfence-peer': HANDLER,
    // Two promotions at once wait for each other's outdate.
    'handlers.timeout-ms': HANDLER_TIMEOUT_MS,
  };
}
