/**
 * Peers of the same run next to ours: which of our cases computes the same,
 * and the ratio of the two.
 *
 * @module
 */
import { headsKey } from "./head_counts.ts";
import type { CaseRecord, RatioRecord, Result } from "../../suites/result/result_schema.ts";
import { DIRECTION_ORDER, isMeasured } from "./cases.ts";
import { inverseSpread, ratioSpread, type Spread } from "./spread.ts";

/** Prefix of the names of peers. */
const PREFIX = "peer:";

/** A peer's time over ours. */
export interface PeerRatio {
  /** Above 1: ours is faster. */
  readonly ratio: number;
  /** Ends of {@linkcode PeerRatio.spread}; null if the two were not timed in the same rounds. */
  readonly interval: readonly [number, number] | null;
  readonly spread: Spread | null;
  readonly rounds: number;
}

/** One case of a peer. */
export interface PeerRow {
  /** Name without the prefix. */
  readonly peer: string;
  readonly record: CaseRecord;
  /** Our case of the same work, if it has a time. */
  readonly ours?: CaseRecord;
  /** Null if either has no time. */
  readonly ratio: PeerRatio | null;
}

/** Whether a case is a peer's. */
export function isPeer({ implementation }: Pick<CaseRecord, "implementation">): boolean {
  return implementation.startsWith(PREFIX);
}

/** A peer's name, what is said of it, and the versions that it uses: `torch-fa2, d = 64 (torch 2.11.0, CUDA 13.0)`. */
export function peerLabel(result: Result, peer: string, about = ""): string {
  const record = result.peers?.find(({ implementation }) => implementation === PREFIX + peer);
  const said = Object.entries(record?.versions ?? {}).map(([what, version]) =>
    `${what} ${version}`
  );
  return said.length === 0 ? peer + about : `${peer}${about} (${said.join(", ")})`;
}

/** The timed cases of all peers, by peer, direction and context. */
export function peerRows(result: Result): PeerRow[] {
  const own = new Map<string, CaseRecord>();
  for (const record of result.cases) {
    const work = workOf(record);
    if (!isPeer(record) && !own.has(work)) own.set(work, record);
  }
  const ratios = new Map<string, RatioRecord>();
  for (const ratio of result.ratios) {
    const pair = pairOf(ratio.numerator, ratio.denominator);
    if (!ratios.has(pair)) ratios.set(pair, ratio);
  }
  // Training steps have a section of their own, which shows peers too.
  const rows = result.cases.filter((record) =>
    isPeer(record) && record.suite !== "correctness" && record.training === undefined
  )
    .map((record): PeerRow => {
      const ours = own.get(workOf(record));
      return {
        peer: record.implementation.slice(PREFIX.length),
        record,
        ...(ours && { ours }),
        ratio: ours ? ratioOf(ratios.get(pairOf(record.id, ours.id)), record, ours) : null,
      };
    });
  const order = (a: string | number, b: string | number) => a < b ? -1 : a > b ? 1 : 0;
  return rows.sort((a, b) =>
    order(a.peer, b.peer) ||
    DIRECTION_ORDER.indexOf(a.record.direction) - DIRECTION_ORDER.indexOf(b.record.direction) ||
    a.record.shape.context - b.record.shape.context || order(a.record.id, b.record.id)
  );
}

/** What a case computes: dense attention, or the layer with its scorer; the same for a peer's. */
function workOf(
  { suite, family, scorer, direction, shape, options }: CaseRecord,
): string {
  const { context, headDim, dtype } = shape;
  const heads = headsKey(shape);
  const set = Object.entries(options ?? {}).sort(([a], [b]) => a < b ? -1 : 1);
  return JSON.stringify([suite, family, scorer, direction, heads, context, headDim, dtype, set]);
}

/** Two cases in either order. */
function pairOf(...ids: [string, string]): string {
  return JSON.stringify(ids.sort());
}

/** From interleaved rounds, in either order of the pair; else from the medians. */
function ratioOf(
  found: RatioRecord | undefined,
  peer: CaseRecord,
  ours: CaseRecord,
): PeerRatio | null {
  if (!isMeasured(peer) || !isMeasured(ours)) return null;
  if (!found) {
    return {
      ratio: peer.statistic.median / ours.statistic.median,
      interval: null,
      spread: null,
      rounds: 0,
    };
  }
  const { ratio, rounds } = found;
  const over = found.numerator === peer.id;
  const sides = over
    ? { numerator: peer, denominator: ours }
    : { numerator: ours, denominator: peer };
  const own = ratioSpread(found, sides);
  const spread = over ? own : inverseSpread(own);
  const interval: [number, number] = [spread.low, spread.high];
  return { ratio: over ? ratio : 1 / ratio, interval, spread, rounds };
}
