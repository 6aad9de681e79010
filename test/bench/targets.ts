// What the cells are to reach beside the peers and the limit, as ratios of medians of one run.

import type { Finding } from './findings';
import { ratio, summaryOf } from './summary';
import type { CellResult } from './tournament';

interface Target {
  readonly cell: string;
  readonly places: readonly string[];
  readonly to: string;
  readonly ratio: number;
}

const TARGETS: readonly Target[] = [
  { cell: 'write-4k-qd32', places: ['tmpfs'], to: 'qemu quorum', ratio: 3.0 },
  { cell: 'write-4k-qd32', places: ['disk'], to: 'qemu quorum', ratio: 1.8 },
  { cell: 'write-4k-qd32', places: ['disk'], to: 'raw pair', ratio: 0.8 },
  { cell: 'write-4k-qd1', places: ['tmpfs', 'disk'], to: 'qemu quorum', ratio: 1.7 },
  { cell: 'read-4k-qd32', places: ['disk'], to: 'raw file', ratio: 0.85 },
  { cell: 'read-4k-qd32', places: ['tmpfs'], to: 'nbdkit null', ratio: 0.75 },
  { cell: 'write-128k-qd16', places: ['tmpfs'], to: 'qemu quorum', ratio: 3.0 },
  { cell: 'fsync-4k', places: ['disk'], to: 'qemu quorum', ratio: 2.5 },
];

/** Of a machine on which qemu's quorum takes 59 microseconds for the same. */
const CPU_TARGET = { ours: 25, quorum: 59 };

export function targetFindings(results: readonly CellResult[]): readonly Finding[] {
  const ratios = TARGETS.flatMap((target) => {
    const concerned = results.filter((result) => concerns(target, result));
    return concerned.flatMap((result) => ratioFinding(target, result));
  });
  return [...ratios, ...results.flatMap(cpuFinding)];
}

function concerns(target: Target, { cell, place }: CellResult): boolean {
  return cell.key === target.cell && target.places.includes(place);
}

function ratioFinding(target: Target, result: CellResult): readonly Finding[] {
  const measured = ratio(result, 'blkmirror', target.to);
  if (measured === undefined) return [];
  const title = `${result.cell.title}, ${result.place}`;
  const unit = `x ${target.to}`;
  return [{ title, measured, target: target.ratio, sense: 'at least', unit, detail: '' }];
}

function cpuFinding(result: CellResult): readonly Finding[] {
  if (result.cell.key !== 'write-4k-qd32' || result.place !== 'tmpfs') return [];
  const cpu = (name: string): number | undefined => {
    const figures = result.figures.find(({ contender }) => contender === name);
    return figures === undefined ? undefined : summaryOf(result.cell, figures).cpuUsPerOp;
  };
  const [ours, quorum] = [cpu('blkmirror'), cpu('qemu quorum')];
  if (ours === undefined || quorum === undefined) return [];
  const target = (CPU_TARGET.ours / CPU_TARGET.quorum) * quorum;
  const title = 'processor time of one replicated 4k write, both replicas';
  const wanted = `${CPU_TARGET.ours} where quorum takes ${CPU_TARGET.quorum}`;
  const detail = `${wanted}; here ${quorum.toFixed(0)}`;
  return [{ title, measured: ours, target, sense: 'at most', unit: 'us', detail }];
}
