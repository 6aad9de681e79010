/**
 * Is this the peer that was expected? Checked on both ends, before anything is compared.
 */
import { policiesTowards, POLICY_OPTIONS } from '../model/policies';
import type { NodeName } from '../model/states';
import { policyConflict } from '../rules/splitBrain';
import type { Core } from './core';
import type { Hello } from './hello';
import { WIRE_VERSION } from './hello';
import type { Refusal } from './words';

/** undefined: welcome. The codes are lasting: both ends stay StandAlone. */
export function judgeHello(core: Core, peer: NodeName, hello: Hello): Refusal | undefined {
  const message = judgeNames(core, peer, hello) ?? judgeTerms(core, peer, hello);
  return message === undefined ? undefined : { code: 'InvalidArgs', message };
}

function judgeNames(core: Core, peer: NodeName, hello: Hello): string | undefined {
  if (hello.resource !== core.name) {
    return `${hello.node} speaks of resource ${hello.resource}, not ${core.name}: check the ports`;
  }
  if (hello.node !== peer) {
    return `${hello.node} answered where ${peer} was expected: check the addresses of ${core.name}`;
  }
  if (hello.peer === core.node) return undefined;
  return (
    `${hello.node} looks for ${hello.peer} but this is ${core.node}: ` +
    `check the addresses of ${core.name}`
  );
}

function judgeTerms(core: Core, peer: NodeName, hello: Hello): string | undefined {
  if (hello.versionMin > WIRE_VERSION.max || hello.versionMax < WIRE_VERSION.min) {
    return (
      `${hello.node} speaks wire versions ${hello.versionMin} to ${hello.versionMax}, ` +
      `${core.node} ${WIRE_VERSION.min} to ${WIRE_VERSION.max}: upgrade the older one`
    );
  }
  if (hello.protocol !== core.config.protocol) return judgeProtocol(core, hello);
  return judgePolicies(core, peer, hello);
}

/** Both must come to the same decision, or none. */
function judgePolicies(core: Core, peer: NodeName, hello: Hello): string | undefined {
  const own = policiesTowards(core.config.splitBrain, core.node, peer);
  const { policies } = hello.identity;
  const key = policyConflict(own, policies);
  if (key === undefined) return undefined;
  const option = POLICY_OPTIONS[key];
  const mirrored = key === 'zero' ? ', as seen from there' : '';
  return (
    `${core.node} has ${option} = ${shown(own[key])} for ${core.name}, ` +
    `${hello.node} ${shown(policies[key])}${mirrored}: make the configurations equal, then run ` +
    `connect ${core.name} on both`
  );
}

function shown(value: string | boolean): string {
  if (typeof value === 'string') return value;
  return value ? 'yes' : 'no';
}

function judgeProtocol(core: Core, hello: Hello): string {
  return (
    `${hello.node} uses protocol ${hello.protocol} for ${core.name}, ${core.node} ` +
    `${core.config.protocol}: make the configurations equal`
  );
}

/** Was `later` sent after what the existing connection with `earlier` began with? */
export function isNewer(later: Hello, earlier: Hello): boolean {
  return later.bootNonce !== earlier.bootNonce || later.attempt > earlier.attempt;
}
