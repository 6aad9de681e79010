/**
 * Colour by severity, on a terminal that wants it. Text only: no layout.
 */
import * as util from 'node:util';

export type Severity = 'good' | 'busy' | 'warning' | 'bad' | 'quiet' | 'strong' | 'plain';

/** Puts colour around a text, or leaves it as it is. */
export type Painter = (severity: Severity, text: string) => string;

export const plainPainter: Painter = (_severity, text) => text;

const FORMATS = {
  good: 'green',
  busy: 'cyan',
  warning: 'yellow',
  bad: 'red',
  quiet: 'dim',
  strong: 'bold',
} as const;

export const colourPainter: Painter = (severity, text) => {
  // styleText is missing in early releases of Node 18 and 20.
  const styleText = util.styleText as typeof util.styleText | undefined;
  if (severity === 'plain' || text === '' || styleText === undefined) return text;
  return styleText(FORMATS[severity], text, { validateStream: false });
};

/** NO_COLOR and TERM=dumb turn colour off, FORCE_COLOR turns it on where there is no terminal. */
export function choosePainter(isTerminal: boolean, env: NodeJS.ProcessEnv): Painter {
  if ((env.NO_COLOR ?? '') !== '') return plainPainter;
  const forced = env.FORCE_COLOR !== undefined && !['0', 'false', ''].includes(env.FORCE_COLOR);
  const able = isTerminal && env.TERM !== 'dumb';
  return forced || able ? colourPainter : plainPainter;
}
