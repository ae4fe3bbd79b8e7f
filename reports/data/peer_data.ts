/**
 * Other people's implementations of the same run beside ours: which of our cases computes the same,
 * and the ratio of the two.
 *
 * @module
 */
import type { CaseRecord, RatioRecord, Result } from "../../suites/result/result_schema.ts";
import { DIRECTION_ORDER, isMeasured } from "./analysis.ts";

/** What names of peers start with. */
const PREFIX = "peer:";

/** A peer's time over ours. */
export interface PeerRatio {
  /** Above 1: ours is faster. */
  readonly ratio: number;
  /** 95 % interval; null where the two were not timed in the same rounds. */
  readonly interval: readonly [number, number] | null;
  readonly rounds: number;
}

/** One case of a peer. */
export interface PeerRow {
  /** Without the prefix. */
  readonly peer: string;
  readonly record: CaseRecord;
  /** Our case of the same work, where it has a time. */
  readonly ours?: CaseRecord;
  /** Null where either has no time. */
  readonly ratio: PeerRatio | null;
}

/** Whether a case is a peer's. */
export function isPeer({ implementation }: Pick<CaseRecord, "implementation">): boolean {
  return implementation.startsWith(PREFIX);
}

/** A peer's name and the versions that it rests on: `torch-fa2 (torch 2.11.0, CUDA 13.0)`. */
export function peerLabel(result: Result, peer: string): string {
  const record = result.peers?.find(({ implementation }) => implementation === PREFIX + peer);
  const said = Object.entries(record?.versions ?? {}).map(([what, version]) =>
    `${what} ${version}`
  );
  return said.length === 0 ? peer : `${peer} (${said.join(", ")})`;
}

/** The timed cases of all peers, by peer, direction and context. */
export function peerRows(result: Result): PeerRow[] {
  const rows = result.cases.filter((record) => isPeer(record) && record.suite !== "correctness")
    .map((record): PeerRow => {
      const ours = result.cases.find((other) => isOurs(other, record));
      return {
        peer: record.implementation.slice(PREFIX.length),
        record,
        ...(ours && { ours }),
        ratio: ours ? ratioOf(result, record, ours) : null,
      };
    });
  const order = (a: string | number, b: string | number) => a < b ? -1 : a > b ? 1 : 0;
  return rows.sort((a, b) =>
    order(a.peer, b.peer) ||
    DIRECTION_ORDER.indexOf(a.record.direction) - DIRECTION_ORDER.indexOf(b.record.direction) ||
    a.record.shape.context - b.record.shape.context || order(a.record.id, b.record.id)
  );
}

/** Our implementation of what a peer computes: dense attention, or the layer with its scorer. */
function isOurs(other: CaseRecord, peer: CaseRecord): boolean {
  if (isPeer(other) || other.suite !== peer.suite) return false;
  if (other.family !== peer.family || other.scorer !== peer.scorer) return false;
  if (other.direction !== peer.direction) return false;
  const same = (["heads", "context", "headDim", "dtype"] as const)
    .every((key) => other.shape[key] === peer.shape[key]);
  const names = new Set([...Object.keys(other.options ?? {}), ...Object.keys(peer.options ?? {})]);
  return same && [...names].every((name) => other.options?.[name] === peer.options?.[name]);
}

/** From interleaved rounds, whichever of the two was the numerator; else from the medians. */
function ratioOf(result: Result, peer: CaseRecord, ours: CaseRecord): PeerRatio | null {
  if (!isMeasured(peer) || !isMeasured(ours)) return null;
  const between = ({ numerator, denominator }: RatioRecord) =>
    numerator === peer.id && denominator === ours.id ||
    numerator === ours.id && denominator === peer.id;
  const found = result.ratios.find(between);
  if (!found) {
    return { ratio: peer.statistic.median / ours.statistic.median, interval: null, rounds: 0 };
  }
  const { ratio, low, high, rounds } = found;
  return found.numerator === peer.id
    ? { ratio, interval: [low, high], rounds }
    : { ratio: 1 / ratio, interval: [1 / high, 1 / low], rounds };
}
