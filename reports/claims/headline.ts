/**
 * The opening of a report: the headline, and how the hardware relates to the paper's.
 *
 * @module
 */
import paper from "../../fixtures/paper/paper.json" with { type: "json" };
import type { CaseRecord, Result, Statistic } from "../../suites/result/result_schema.ts";
import { readableName } from "../../suites/result/device_record.ts";
import { plainText } from "../../suites/result/plain_text.ts";
import { isMeasured, LEAD_LAYER, OWN_DENSE, runsBackToBack, timesLayer } from "../data/cases.ts";
import { isPeer, peerRows } from "../data/peer_data.ts";
import { usesMatrixUnits } from "../data/ceilings.ts";
import { clampOf } from "../data/context_series.ts";
import { fastestDenseOf, type SpeedupPoint, speedupPoints } from "../data/speedups.ts";
import { inverseSpread, type Spread, spreadOf } from "../data/spread.ts";
import {
  formatContext,
  formatCount,
  formatMeasured,
  formatPlural,
  formatRatio,
  formatSeconds,
  formatSpread,
  formatTokenRate,
} from "../text/format.ts";
import { isCheck } from "../../suites/result/suite_records.ts";
import { experimentLine } from "./experiment_finding.ts";
import { shardSentence } from "./findings.ts";
import { type Direction, PAPER_SPEEDUP } from "./paper.ts";
import {
  directionName,
  headlineCases,
  headlinePoint,
  nearestPoint,
  STACK_NAMES,
} from "./points.ts";
import { largest } from "../data/extremes.ts";
import { retrievalLine } from "./retrieval_finding.ts";
import { speedupClaim } from "./speedup_claim.ts";
import { trainingSentence } from "./training_finding.ts";

/** How this run's hardware relates to the paper's. */
export interface HardwareNotice {
  level: "software" | "different" | "same";
  text: string;
}

/** How this run's hardware and software relate to the paper's; never empty. */
export function hardwareNotice(result: Result): HardwareNotice {
  const { adapter } = result.environment;
  const name = deviceName(result);
  const theirs = `The paper measured on ${paper.hardware.latency}.`;
  if (adapter.software) {
    return {
      level: "software",
      text:
        `Software adapter: ${name} computes on the CPU. Its ratios say how the two algorithms ` +
        `compare on this processor, not on a GPU. ${theirs}`,
    };
  }
  if (/\bB200\b/i.test(`${adapter.device} ${adapter.description}`)) {
    return {
      level: "same",
      text:
        `Same card as the paper, other software: WebGPU kernels here (stack ${result.stack}), ` +
        `cuDNN there. ${theirs}`,
    };
  }
  return {
    level: "different",
    text: `Other hardware and software than the paper: ${name}, WebGPU kernels on the ` +
      `${result.stack} stack. ${theirs}`,
  };
}

/** The device's name, as plain text. */
export function deviceName({ environment: { device } }: Result): string {
  return readableName(plainText(device.name).trim()) || "unnamed device";
}

/** The first line of a report: on the forward pass, or on both passes if only they have a ratio. */
export function verdictLine(result: Result): string {
  const forward = nearestPoint(result, "forward");
  const nearest = forward ?? nearestPoint(result, "forward-backward");
  const claimed = formatRatio(PAPER_SPEEDUP.forward).replace(".0×", "×");
  if (nearest === null) {
    if (result.experiment) return experimentLine(result.experiment);
    if (result.cases.some(isMeasured)) {
      const paired = speedupPoints(result).length > 0;
      const ours = result.cases.some((record) =>
        record.suite !== "correctness" && record.family === "lighthouse" && !isPeer(record)
      );
      const peer = ours ? null : peerLine(result);
      if (peer) return `The ${claimed} at 512K was not run. ${peer}`;
      const other = paired ? pairLine(result) : otherLine(result, { ours });
      const scope = paired && ours ? " with the norm scorer" : "";
      if (other) return `The ${claimed} at 512K was not run${scope}. ${other}`;
      const pair = paired
        ? "no pair of dense attention and the norm scorer was measured with its forward pass."
        : "no dense and Lighthouse pair was measured in interleaved rounds.";
      return `The ${claimed} at 512K was not run: ${pair}`;
    }
    return result.retrieval
      ? retrievalLine(result.retrieval)
      : checksLine(result) ?? "Nothing was measured.";
  }
  const direction = forward === null ? "forward-backward" : "forward";
  const row = speedupClaim(result, direction);
  if (row.ours !== null) {
    const point = headlinePoint(result, direction)!;
    const measured = `${
      withCount(point.ratio, point).replace(/\(n = \d+, /, "(")
    } at 512K tokens, ${directionName(direction)}, over this suite's own dense kernel on ${
      stackPhrase(result, point.numerator)
    }`;
    // A verdict on very few samples says so before its number.
    const resting = point.kind === "range"
      ? `, on ${formatPlural(point.count, "sample")} a side`
      : "";
    const verb = row.verdict === "reproduced"
      ? "holds"
      : row.verdict === "partly"
      ? "holds only in part"
      : "does not hold";
    const where = deviceKind(result);
    return forward === null
      ? `The ${claimed} was not run forward. The ${row.paper.text} ${verb} ${where}${resting}: ${measured}.`
      : `The ${claimed} ${verb} ${where}${resting}: ${measured}.`;
  }
  const what = compareSpeeds("Lighthouse", "this suite's own dense attention", nearest);
  const held = clampOf([nearest.denominator])?.k;
  const at = sayWhere(result, {
    context: nearest.context,
    direction,
    what,
    held,
    dense: nearest.numerator,
  });
  if (headlineCases(result, "forward").some(({ status }) => status === "inconclusive")) {
    return `The ${claimed} at 512K is inconclusive: the device's clock was down. ${at}`;
  }
  const neither = forward === null ? `, nor the ${row.paper.text} forward and backward` : "";
  return `The ${claimed} at 512K was not run${neither}. ${at}`;
}

/** For a run of checks alone: how many passed; null if it has none, or timed cases beside them. */
function checksLine({ cases }: Result): string | null {
  const done = cases.filter(({ status }) => status === "ok" || status === "failed");
  if (done.length === 0 || !cases.every((record) => isCheck(record))) return null;
  const passed = done.filter(({ status }) => status === "ok").length;
  return `${formatCount(passed)} of ${formatCount(done.length)} checks passed.`;
}

/**
 * The headline's ratio over the fastest dense attention of the run, peers included, a sentence. Where
 * our own is the fastest there, that at the longest context at which another is; null if there is
 * none.
 */
export function fastestDenseLine(result: Result): string | null {
  const point = nearestPoint(result, "forward") ?? nearestPoint(result, "forward-backward");
  if (point === null) return null;
  const fastestAt = fastestDenseOf(result);
  const fastest = fastestAt(point);
  if (fastest === null) return elsewhereFastestLine(result, point);
  return `Over the fastest dense attention that this run timed there, ${peerName(fastest)}, it is ${
    formatMeasured(fastest.ratio, fastest, formatRatio)
  } as fast, by the medians.`;
}

/** The same where our own dense attention is the fastest at the headline's point, but not everywhere. */
function elsewhereFastestLine(result: Result, headline: SpeedupPoint): string | null {
  const fastestAt = fastestDenseOf(result);
  const [longest] = speedupPoints(result).flatMap((point) => {
    const alike = point.denominator.implementation === headline.denominator.implementation &&
      point.denominator.direction === headline.denominator.direction;
    const fastest = alike ? fastestAt(point) : null;
    return fastest === null ? [] : [{ point, fastest }];
  }).sort((a, b) => b.point.context - a.point.context);
  if (longest === undefined) return null;
  const { point, fastest } = longest;
  return `At ${formatContext(point.context)} the fastest dense attention of this run is ${
    peerName(fastest)
  }: Lighthouse is ${
    formatMeasured(fastest.ratio, fastest, formatRatio)
  } as fast as that by the medians, and ${
    formatMeasured(point.ratio, point, formatRatio)
  } as fast as our own.`;
}

function peerName({ implementation }: { implementation: string }): string {
  return implementation.replace(/^peer:/, "");
}

/** For a run without our Lighthouse: dense attention against a peer at the longest conclusive context. */
function peerLine(result: Result): string | null {
  const told = peerRows(result).filter(({ ratio }) => ratio?.interval);
  const forward = told.filter(({ record }) => record.direction === "forward");
  const rows = forward.length > 0 ? forward : told;
  const longest = rows.toSorted((a, b) => b.record.shape.context - a.record.shape.context)[0];
  if (!longest) return null;
  const { peer, record: { shape: { context }, direction }, ratio } = longest;
  const what = compareSpeeds("this suite's dense attention", peer, {
    ratio: ratio!.ratio,
    ...ratio!.spread!,
  });
  return sayWhere(result, { context, direction, what, dense: longest.ours });
}

/** A finding with the context, the direction if it is not forward, and the device's kind. */
function sayWhere(
  result: Result,
  options: {
    context: number;
    direction: CaseRecord["direction"];
    what: string;
    /** k, if it is larger than its rule gives. */
    held?: number;
    /** Our dense case, which shows whether matrix units ran. */
    dense?: CaseRecord;
  },
): string {
  const { context, direction, what, held, dense } = options;
  const passes = direction === "forward-backward"
    ? ` ${directionName(direction)},`
    : direction === "backward"
    ? " backward alone,"
    : "";
  const k = held === undefined ? "" : ` and a k held at ${formatCount(held)}`;
  const stack = result.environment.adapter.software ? "" : `, on ${stackPhrase(result, dense)}`;
  return `At ${formatContext(context)}${k},${passes} ${what} ${deviceKind(result)}${stack}.`;
}

/** The place of a finding, for the end of a sentence. */
function deviceKind({ environment }: Result): string {
  return environment.adapter.software ? "on this software adapter" : "here";
}

/** For a run whose pairs with dense attention are of other layers: the longest, forward if it was run. */
function pairLine(result: Result): string | null {
  const points = speedupPoints(result).filter(({ denominator }) =>
    denominator.implementation !== LEAD_LAYER
  );
  const forward = points.filter(({ denominator }) => denominator.direction === "forward");
  const [longest] = (forward.length > 0 ? forward : points)
    .toSorted((a, b) => b.context - a.context || b.ratio - a.ratio);
  if (longest === undefined) return null;
  const { context, denominator, numerator } = longest;
  const name = plainText(denominator.implementation);
  const what = compareSpeeds(name, "this suite's own dense attention", longest);
  return sayWhere(result, { context, direction: denominator.direction, what, dense: numerator });
}

/** For a run without a ratio: what it timed, at the longest context; null if no case is informative. */
function otherLine(result: Result, { ours: planned }: { ours: boolean }): string | null {
  const timed = result.cases.some((record) => timesLayer(record) && isMeasured(record));
  const sharded = timed ? null : shardSentence(result);
  if (sharded !== null) return sharded;
  const trained = timed ? null : trainingSentence(result);
  if (trained !== null) return trained;
  const longest = (among: (record: CaseRecord) => boolean, implementation: string) =>
    result.cases.filter(isMeasured).filter((record) =>
      among(record) && record.implementation === implementation
    ).reduce<CaseRecord & { statistic: Statistic } | null>(
      (a, b) => a === null || b.shape.context > a.shape.context ? b : a,
      null,
    );
  const where = (record: CaseRecord) =>
    `At ${formatContext(record.shape.context)}, ${directionName(record.direction as Direction)},`;
  const ours = longest(runsBackToBack, LEAD_LAYER);
  const dense = longest(runsBackToBack, OWN_DENSE);
  if (ours?.throughput && dense?.throughput && where(ours) === where(dense)) {
    const count = Math.min(ours.throughput.count, dense.throughput.count);
    return `${where(ours)} one layer of Lighthouse does ${
      formatTokenRate(ours.throughput.median)
    } where this suite's own dense attention does ${
      formatTokenRate(dense.throughput.median)
    } (n = ${count}) ${deviceKind(result)}, on ${stackPhrase(result, dense)}.`;
  }
  const alone = longest(timesLayer, LEAD_LAYER);
  const other = longest(timesLayer, OWN_DENSE);
  // A run that has Lighthouse, but could not time it, must not look like one without.
  if (alone === null && other !== null && !planned) {
    return `${where(other)} one layer of this suite's own dense attention takes ${
      formatMeasured(other.statistic.median, spreadOf(other.statistic), formatSeconds)
    } ${deviceKind(result)}, on ${stackPhrase(result, other)}; Lighthouse was not timed.`;
  }
  // If dense attention was timed too, the missing rounds are what to report.
  if (other !== null) return null;
  if (alone === null) return planned ? null : layersLine(result);
  return `${where(alone)} one layer of Lighthouse takes ${
    formatMeasured(alone.statistic.median, spreadOf(alone.statistic), formatSeconds)
  } ${deviceKind(result)}, on ${STACK_NAMES[result.stack]}; dense attention was not timed.`;
}

/** Layers that a headline names. */
const MOST_NAMED = 3;

/** For a run of other layers alone: the fastest at the longest context, forward if it was run. */
function layersLine(result: Result): string | null {
  const layers = result.cases.filter(isMeasured).filter((record) =>
    timesLayer(record) && !isPeer(record)
  );
  const forward = layers.filter(({ direction }) => direction === "forward");
  const told = forward.length > 0 ? forward : layers;
  const context = largest(told.map(({ shape }) => shape.context));
  const named = told.filter(({ shape }) => shape.context === context)
    .toSorted((a, b) => a.statistic.median - b.statistic.median);
  if (named.length === 0) return null;
  const first = named.filter(({ implementation }, i) =>
    named.findIndex((one) => one.implementation === implementation) === i
  );
  const times = first.slice(0, MOST_NAMED).map(({ implementation, statistic }, i) =>
    `of ${plainText(implementation)} ${i === 0 ? "takes " : ""}${formatSeconds(statistic.median)}`
  );
  const rest = first.length - times.length;
  const all = rest > 0 ? [...times, `${formatCount(rest)} more take longer`] : times;
  return `At ${formatContext(context)}, ${
    directionName(named[0].direction as Direction)
  }, one layer ${all.join(", ")} ${deviceKind(result)}, on ${
    stackPhrase(result)
  }; neither dense attention nor Lighthouse was timed.`;
}

/** The stack, and whether our dense kernel used matrix units there. */
function stackPhrase({ stack, environment }: Result, dense?: CaseRecord): string {
  const name = STACK_NAMES[stack];
  if (dense === undefined || environment.adapter.software) return name;
  // Deno's own stack offers none; older results do not record which kernel ran.
  const units = usesMatrixUnits(dense) ?? (stack === "deno" ? false : null);
  return units === null ? name : `${name}, ${units ? "on" : "without"} matrix units`;
}

/** A ratio with its spread and its number of samples. */
function withCount(ratio: number, spread: Spread): string {
  const ends = formatSpread(spread, formatRatio);
  const count = spread.kind === "interval" ? `, n = ${spread.count}` : "";
  return `${formatRatio(ratio)} (${ends}${count})`;
}

/** Which of two is faster, by the ratio of their times: above 1 the first. */
function compareSpeeds(
  ours: string,
  theirs: string,
  point: Spread & { ratio: number },
): string {
  if (point.low > 1) return `${ours} is ${withCount(point.ratio, point)} as fast as ${theirs}`;
  if (point.high < 1) {
    return `${ours} takes ${withCount(1 / point.ratio, inverseSpread(point))} as long as ${theirs}`;
  }
  return `no difference in speed between ${ours} and ${theirs} shows (n = ${point.count})`;
}
