// The results as one SVG: for each cell a bar for each contender, its length the cell's figure.

import { summaryOf } from './summary';
import type { CellResult } from './tournament';

const WIDTH = 860;
const LEFT = 150;
const BAR_HEIGHT = 16;
const TITLE_HEIGHT = 34;
const BAR_SPACE = WIDTH - LEFT - 140;
const OURS = '#1f6f54';
const THEIRS = '#b8bfc6';
const INK = '#22272b';

export function chart(results: readonly CellResult[]): string {
  let y = 10;
  const parts: string[] = [];
  for (const result of results) {
    parts.push(text(10, y + 22, `${result.cell.title}, ${result.place}`, 'font-weight="bold"'));
    y += TITLE_HEIGHT;
    const bars = result.figures.map((figures) => ({
      name: figures.contender,
      figure: summaryOf(result.cell, figures).figure,
    }));
    const longest = Math.max(...bars.map(({ figure }) => figure));
    for (const { name, figure } of bars) {
      parts.push(bar(y, name, figure, longest, result.cell.unit));
      y += BAR_HEIGHT + 4;
    }
    y += 8;
  }
  const head = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}"`;
  const style = `font-family="sans-serif" font-size="12" fill="${INK}"`;
  const ground = `<rect width="${WIDTH}" height="${y}" fill="#ffffff"/>`;
  const opening = `${head} width="${WIDTH}" height="${y}" ${style}>`;
  return `${[opening, ground, ...parts, '</svg>'].join('\n')}\n`;
}

function bar(y: number, name: string, figure: number, longest: number, unit: string): string {
  const width = Math.max(1, (figure / longest) * BAR_SPACE);
  const colour = name === 'blkmirror' ? OURS : THEIRS;
  const place = `x="${LEFT}" y="${y}" width="${width.toFixed(1)}" height="${BAR_HEIGHT}"`;
  const value = `${Math.round(figure).toLocaleString('en-US')} ${unit}`;
  return [
    text(LEFT - 8, y + 12, name, 'text-anchor="end"'),
    `<rect ${place} fill="${colour}"/>`,
    text(LEFT + width + 6, y + 12, value),
  ].join('\n');
}

function text(x: number, y: number, words: string, more = ''): string {
  return `<text x="${x.toFixed(1)}" y="${y}" ${more}>${words}</text>`;
}
