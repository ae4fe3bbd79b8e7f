/**
 * What one run measured and found, in a line each: a list of runs omits what they
 * did not run.
 *
 * @module
 */
import type { Result } from "../../suites/result/result_schema.ts";
import { judgeClaims, quantityText, type Verdict } from "../claims/claims.ts";
import { DIRECTION_NAMES, isMeasured, type SpeedupPoint, speedupPoints } from "../data/analysis.ts";
import { answersText } from "../data/answer_data.ts";
import { isPeer, peerRows } from "../data/peer_data.ts";
import type { Spread } from "../data/spread.ts";
import { formatContext, formatCount, formatPlural, formatSeconds } from "../text/format.ts";
import { caseTitle, implementationName } from "../text/case_title.ts";

/** A run in short. */
export interface RunSummary {
  /** `28.6× (28.0–28.7×, n = 12) over dense at 512K, forward`. */
  readonly found: string;
  /** Verdict on the paper's claim that the finding concerns; null if it concerns none. */
  readonly verdict: Verdict | null;
  /** `latency · 8K–128K · Dense, Lighthouse norm, 2 peers`. */
  readonly measured: string;
}

/** Claims that identify a run; the first with a value is used. */
const HEADLINES = ["speedup-forward", "speedup-forward-backward"];

/** The summary of a run. */
export function summarizeRun(result: Result): RunSummary {
  return { ...findingOf(result), measured: measuredOf(result) };
}

function findingOf(result: Result): Pick<RunSummary, "found" | "verdict"> {
  const claims = judgeClaims(result);
  const points = speedupPoints(result).filter(({ denominator }) =>
    denominator.implementation === "lighthouse-norm"
  );
  for (const id of HEADLINES) {
    const row = claims.find((one) => one.id === id);
    if (row?.ours == null) continue;
    const { ours, verdict } = row;
    const way = id === "speedup-forward" ? "forward" : DIRECTION_NAMES["forward-backward"];
    return { found: ratioText(quantityText(ours), { context: 524_288, way }), verdict };
  }
  const longest = longestOf(points, "forward") ?? longestOf(points, "forward-backward");
  if (longest !== undefined) {
    const { ratio, context, denominator } = longest;
    const way = DIRECTION_NAMES[denominator.direction];
    const text = measuredRatio(ratio, longest);
    return { found: ratioText(text, { context, way }), verdict: null };
  }
  return { found: otherFinding(result), verdict: null };
}

/** For a run without a ratio of ours: a peer's, the needles, or the longest case. */
function otherFinding(result: Result): string {
  const peer = peerRows(result).filter(({ ratio }) => ratio?.spread)
    .sort((a, b) => b.record.shape.context - a.record.shape.context)[0];
  if (peer !== undefined) {
    const { ratio, spread } = peer.ratio!;
    const ours = implementationName(peer.ours!.implementation).toLowerCase();
    const context = formatContext(peer.record.shape.context);
    // As the report of the run says it.
    if (spread!.low <= 1 && spread!.high >= 1) {
      return `No difference in speed shows between ${peer.peer} and our ${ours} at ${context}` +
        ` (n = ${spread!.count})`;
    }
    return `${peer.peer} takes ${
      measuredRatio(ratio, spread!)
    } the time of our ${ours} at ${context}`;
  }
  const needles = summarizeNeedles(result);
  if (needles !== null) return needles;
  const timed = result.cases.filter(isMeasured)
    .sort((a, b) => b.shape.context - a.shape.context)[0];
  if (timed !== undefined) return `${caseTitle(timed)}: ${formatSeconds(timed.statistic.median)}`;
  const checked = result.cases.filter(({ check }) => check?.passed === true).length;
  return checked > 0 ? `${formatPlural(checked, "check")} passed, nothing timed` : "Nothing timed";
}

/** `463,793 needle trials in 2,310 cells`, or what a model answered; null for a run without needles. */
export function summarizeNeedles({ retrieval }: Result): string | null {
  const { checkpoint } = retrieval ?? {};
  if (!retrieval || retrieval.cells.length === 0) {
    return checkpoint && checkpoint.cells.length > 0
      ? answersText(checkpoint.name, checkpoint.cells)
      : null;
  }
  const trials = retrieval.cells.reduce((sum, cell) => sum + cell.trials, 0);
  return `${formatCount(trials)} needle trials in ${formatPlural(retrieval.cells.length, "cell")}`;
}

function longestOf(points: readonly SpeedupPoint[], direction: string): SpeedupPoint | undefined {
  return points.filter(({ denominator }) => denominator.direction === direction)
    .sort((a, b) => b.context - a.context)[0];
}

function ratioText(text: string, { context, way }: { context: number; way: string }): string {
  return `${text} over dense at ${formatContext(context)}, ${way}`;
}

/** A ratio with what surrounds it and what it rests on. */
function measuredRatio(value: number, { low, high, count, kind }: Spread): string {
  return quantityText({ unit: "ratio", value, low, high, count, kind });
}

function measuredOf(result: Result): string {
  const measured = result.cases.filter((record) => isMeasured(record));
  if (measured.length === 0) return result.retrieval ? "retrieval" : "checks";
  const suites = [
    ...new Set(measured.map(({ suite }) => suite)),
    ...(result.retrieval && !measured.some(({ suite }) => suite === "retrieval")
      ? ["retrieval"]
      : []),
  ];
  const contexts = measured.map(({ shape }) => shape.context).sort((a, b) => a - b);
  const [first, last] = [contexts[0], contexts[contexts.length - 1]].map(formatContext);
  const own = new Set(
    measured.filter((record) => !isPeer(record)).map(({ implementation }) => implementation),
  );
  const peers = new Set(measured.filter(isPeer).map(({ implementation }) => implementation));
  const names = [...own].map(implementationName);
  const shown = names.length > 4 ? [...names.slice(0, 3), `${names.length - 3} more`] : names;
  return [
    suites.join(", "),
    first === last ? first : `${first} to ${last}`,
    [...shown, ...(peers.size > 0 ? [formatPlural(peers.size, "peer")] : [])].join(", "),
  ].join(" · ");
}
