/**
 * The claims table: each claim of the paper, and each claim made of it elsewhere, against one
 * result. A row is data; `formatQuantity` turns its numbers into text.
 *
 * @module
 */
import paper from "../../fixtures/paper/paper.json" with { type: "json" };
import type { CaseRecord, Result, RetrievalRecord } from "../../suites/result/result_schema.ts";
import {
  contextSeries,
  findCrossover,
  hasSetting,
  interpolateLogLog,
  isMeasured,
  type LatencySetting,
  type SpeedupPoint,
  speedupPoints,
  speedupSeries,
} from "../data/analysis.ts";
import {
  formatContext,
  formatCount,
  formatInterval,
  formatPlural,
  formatRatio,
  formatSignificant,
} from "../text/format.ts";
import { plainText } from "../../suites/result/plain_text.ts";
import { isPeer, peerRows } from "../data/peer_data.ts";
import { largest, smallest } from "../data/extremes.ts";

/** A ratio claim counts as reproduced from this share of the paper's value on. */
export const REPRODUCED_FROM = 0.8;
/** A ratio claim counts as partly reproduced from this share of the paper's value on. */
export const PARTLY_FROM = 0.4;

/** The rule of the two constants, as the reports print it. */
export const VERDICT_RULE =
  `A speed-up counts as reproduced when the upper end of its 95 % interval is at least ` +
  `${REPRODUCED_FROM} times the paper's value (faster is fine), as partly reproduced from ` +
  `${PARTLY_FROM} times on, else as not reproduced. For a context of equal cost the advantage ` +
  `(512K divided by that context) is judged the same way.`;

/** What a claim's row concludes. */
export type Verdict =
  | "reproduced"
  | "partly"
  | "not reproduced"
  | "not run"
  | "not the paper's claim";

/** A value with its interval, in the unit that says how to print it. */
export interface Quantity {
  unit: "ratio" | "context" | "rows";
  value: number;
  low: number | null;
  high: number | null;
  /** Words around the value, where the bare number would mislead. */
  note?: string;
}

/** One line of a group of paper values, shown under the row. */
export interface ClaimDetail {
  label: string;
  paper: string;
}

/** What a value rests on. */
export interface ClaimExtent {
  /** Contexts, pairs or cases. */
  points: number;
  /** Whether they span the whole range that the claim speaks of. */
  whole: boolean;
}

/** One row of the claims table. */
export interface ClaimRow {
  id: string;
  claim: string;
  /** The paper's value as text and number, and the hardware it was measured on. */
  paper: { text: string; value: number | null; hardware: string };
  ours: Quantity | null;
  /** How much of the claim our value rests on; null without a value. */
  extent: ClaimExtent | null;
  /** The nearest measured point, where the claim itself was not run. */
  nearest: string | null;
  /** Our value divided by the paper's. */
  ratio: number | null;
  verdict: Verdict;
  /** One sentence. */
  why: string;
  /** Command line that runs the claim again (or at all); null where this tool cannot run it. */
  command: string | null;
  details: ClaimDetail[];
  /** Whether our value comes from a CPU implementation of the GPU interface. */
  software: boolean;
}

/** How this run's hardware relates to the paper's. */
export interface HardwareNotice {
  level: "software" | "different" | "same";
  text: string;
}

/** The context of the paper's headline numbers. */
export const HEADLINE_CONTEXT = 524_288;

/** The setting of the paper's latency figure. */
export const PAPER_SETTING: LatencySetting = {
  heads: paper.latency.setting.heads,
  headDim: paper.latency.setting.head_dim,
  levels: paper.latency.setting.levels,
  pooling: paper.latency.setting.pooling,
  kDivisor: Number(paper.latency.setting.k.split("/")[1]),
};

/** The paper's speed-up over SDPA at {@linkcode HEADLINE_CONTEXT}. */
export const PAPER_SPEEDUP = {
  "forward": paper.latency.speedup_vs_sdpa_at_524288.forward,
  "forward-backward": paper.latency.speedup_vs_sdpa_at_524288.forward_backward,
} as const;

/** What the paper measured its latency on, in short. */
export const PAPER_HARDWARE = "NVIDIA B200, bf16, cuDNN";

/** (N/S)² of the paper's latency setting, the most that the attention FLOP alone could give. */
export const FLOP_RATIO = (() => {
  const { levels, pooling, kDivisor } = PAPER_SETTING;
  const share = 1 / pooling ** (levels - 1) + (levels - 1) * pooling / kDivisor;
  return 1 / share ** 2;
})();

const NO_TRAINING =
  "This suite times one attention layer, and a layer alone is no training step: the MLPs, the four " +
  "dense layers, the optimizer and the data pipeline are missing";

type Direction = keyof typeof PAPER_SPEEDUP;

/** The claims table of one result, the paper's own claims first. */
export function judgeClaims(result: Result): ClaimRow[] {
  return [
    speedupClaim(result, "forward"),
    speedupClaim(result, "forward-backward"),
    equalCostClaim(result, "forward"),
    equalCostClaim(result, "forward-backward"),
    growthClaim(result),
    flopClaim(result),
    coverageClaim(result),
    trainingThroughputClaim(),
    endToEndClaim(),
    lossClaim(),
    retrievalClaim(result),
    ...claimsSeenElsewhere(result),
  ];
}

/** How this run's hardware and software relate to the paper's; there is always something to say. */
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
  return plainText(device.name).trim() || "unnamed device";
}

/** The one line that a report opens with: of the forward pass, or of both where only they have a ratio. */
export function verdictLine(result: Result): string {
  const forward = nearestPoint(result, "forward");
  const nearest = forward ?? nearestPoint(result, "forward-backward");
  const claimed = formatRatio(PAPER_SPEEDUP.forward).replace(".0×", "×");
  if (nearest === null) {
    if (result.cases.some(isMeasured)) {
      const paired = speedupPoints(result).length > 0;
      const ours = result.cases.some((record) =>
        record.suite !== "correctness" && record.family === "lighthouse" && !isPeer(record)
      );
      const peer = ours ? null : peerLine(result);
      if (peer) return `The ${claimed} at 512K was not run. ${peer}`;
      const pair = paired
        ? "no pair of dense attention and the norm scorer was measured with its forward pass."
        : "no dense and Lighthouse pair was measured in interleaved rounds.";
      return `The ${claimed} at 512K was not run: ${pair}`;
    }
    return result.retrieval ? retrievalLine(result.retrieval) : "Nothing was measured.";
  }
  const direction = forward === null ? "forward-backward" : "forward";
  const row = speedupClaim(result, direction);
  if (row.ours !== null) {
    const measured = `${formatRatio(row.ours.value)} (${
      formatQuantityInterval(row.ours)
    }) at 512K tokens, ${directionName(direction)}, over this suite's own dense kernel on ${
      STACK_NAMES[result.stack]
    }`;
    const verb = row.verdict === "reproduced"
      ? "holds"
      : row.verdict === "partly"
      ? "holds only in part"
      : "does not hold";
    const where = deviceKind(result);
    return forward === null
      ? `The ${claimed} was not run forward. The ${row.paper.text} ${verb} ${where}: ${measured}.`
      : `The ${claimed} ${verb} ${where}: ${measured}.`;
  }
  const what = compareSpeeds("Lighthouse", "dense attention", nearest);
  const at = sayWhere(result, { context: nearest.context, direction, what });
  if (headlineCases(result, "forward").some(({ status }) => status === "inconclusive")) {
    return `The ${claimed} at 512K is inconclusive: the device's clock was down. ${at}`;
  }
  const neither = forward === null ? `, nor the ${row.paper.text} forward and backward` : "";
  return `The ${claimed} at 512K was not run${neither}. ${at}`;
}

/** The stacks as a sentence names them. */
const STACK_NAMES: Record<Result["stack"], string> = { dawn: "Dawn", deno: "Deno's own WebGPU" };

/** Dense attention and the norm scorer at 512K with the paper's setting, measured or not. */
function headlineCases(result: Result, direction: Direction): CaseRecord[] {
  return result.cases.filter((record) =>
    record.direction === direction && record.shape.context === HEADLINE_CONTEXT &&
    hasSetting(record, PAPER_SETTING) &&
    (record.implementation === "dense" || record.implementation === "lighthouse-norm")
  );
}

/** Of a run without our Lighthouse: dense attention against a peer at the longest context that tells. */
function peerLine(result: Result): string | null {
  const told = peerRows(result).filter(({ ratio }) => ratio?.interval);
  const forward = told.filter(({ record }) => record.direction === "forward");
  const rows = forward.length > 0 ? forward : told;
  const longest = rows.toSorted((a, b) => b.record.shape.context - a.record.shape.context)[0];
  if (!longest) return null;
  const { peer, record: { shape: { context }, direction }, ratio } = longest;
  const [low, high] = ratio!.interval!;
  const what = compareSpeeds("dense attention", peer, { ratio: ratio!.ratio, low, high });
  return sayWhere(result, { context, direction, what });
}

/** What was found, with the context, the direction where it is not forward, and the device's kind. */
function sayWhere(
  result: Result,
  options: { context: number; direction: CaseRecord["direction"]; what: string },
): string {
  const { context, direction, what } = options;
  const passes = direction === "forward-backward"
    ? ` ${directionName(direction)},`
    : direction === "backward"
    ? " backward alone,"
    : "";
  return `At ${formatContext(context)},${passes} ${what} ${deviceKind(result)}.`;
}

/** Where something was found, as a sentence ends. */
function deviceKind({ environment }: Result): string {
  return environment.adapter.software ? "on this software adapter" : "here";
}

/** Which of two is faster, by the ratio of their times: above 1 the first. */
function compareSpeeds(
  ours: string,
  theirs: string,
  { ratio, low, high }: { ratio: number; low: number; high: number },
): string {
  if (low > 1) {
    const interval = formatInterval([low, high], formatRatio);
    return `${ours} is ${formatRatio(ratio)} (${interval}) as fast as ${theirs}`;
  }
  if (high < 1) {
    const interval = formatInterval([1 / high, 1 / low], formatRatio);
    return `${ours} takes ${formatRatio(1 / ratio)} (${interval}) as long as ${theirs}`;
  }
  return `no difference in speed between ${ours} and ${theirs} shows`;
}

/** A quantity as text, without its interval. */
export function formatQuantity({ unit, value, note }: Quantity): string {
  return note === undefined ? formatUnit(unit, value) : note;
}

/** The interval of a quantity as text, or null where it has none. */
export function formatQuantityInterval({ unit, low, high }: Quantity): string | null {
  if (low === null || high === null) return null;
  return formatInterval([low, high], (value) => formatUnit(unit, value));
}

/** Verdict of a ratio whose paper value and interval end are given, by {@linkcode VERDICT_RULE}. */
export function judgeRatio(high: number, paperValue: number): Verdict {
  if (high >= REPRODUCED_FROM * paperValue) return "reproduced";
  return high >= PARTLY_FROM * paperValue ? "partly" : "not reproduced";
}

/** The paper's training rows that differ from its baseline, relative to it. */
export function trainingRows(): {
  label: string;
  relative: number;
  loss: number;
  alone: boolean;
}[] {
  const column = (name: string) => paper.training.columns.indexOf(name);
  const [baseline, ...rows] = paper.training.rows;
  const rate = column("ktok_per_s");
  return rows.map((row) => ({
    label:
      `${row[column("scorer")]}, L = ${row[column("levels")]}, p = ${row[column("pooling")]}, ` +
      `k = ${formatCount(Number(row[column("k")]))}, N = ${
        formatContext(Number(row[column("context")]))
      }, ${Number(row[column("lighthouse_steps")]) / 1000}k of ${
        Number(row[column("total_steps")]) / 1000
      }k steps` +
      (Number(row[column("context_parallel")]) > 1
        ? `, CP ${row[column("context_parallel")]}`
        : ""),
    relative: Number(row[rate]) / Number(baseline[rate]),
    loss: Number(row[column("final_loss")]),
    alone: row[column("context_parallel")] === 1,
  }));
}

function speedupClaim(result: Result, direction: Direction): ClaimRow {
  const value = PAPER_SPEEDUP[direction];
  const base = {
    id: `speedup-${direction}`,
    claim: `${formatRatio(value)} faster than SDPA at 512K tokens, ${directionName(direction)}`,
    paper: { text: formatRatio(value), value, hardware: PAPER_HARDWARE },
    command: benchCommand(result, { contexts: [HEADLINE_CONTEXT], direction }),
    details: [],
    software: result.environment.adapter.software,
  };
  const point = paperPoints(result, direction).find(({ context }) => context === HEADLINE_CONTEXT);
  if (point === undefined) {
    const nearest = nearestPoint(result, direction);
    return {
      ...base,
      ours: null,
      extent: null,
      nearest: nearest === null ? null : describePoint(nearest),
      ratio: null,
      verdict: "not run",
      why: whyNotReached(result, direction),
    };
  }
  const verdict = judgeRatio(point.high, value);
  const share = `${formatSignificant(point.ratio / value)} times the paper's value`;
  const unchecked = point.numerator.check === undefined || point.denominator.check === undefined;
  return {
    ...base,
    ours: { unit: "ratio", value: point.ratio, low: point.low, high: point.high },
    extent: { points: 1, whole: true },
    nearest: null,
    ratio: point.ratio / value,
    verdict,
    why: `${formatPlural(point.rounds, "interleaved round")} of this suite's own dense and ` +
      `Lighthouse kernels in ${point.denominator.shape.dtype} give ${share}` +
      (unchecked ? "; a case of the pair carries no correctness check of its own." : "."),
  };
}

function equalCostClaim(result: Result, direction: Direction): ClaimRow {
  const key = direction === "forward" ? "forward" : "forward_backward";
  const value = paper.latency.sdpa_context_with_the_same_runtime_as_lighthouse_at_524288[key];
  const base = {
    id: `equal-cost-${direction}`,
    claim: `Lighthouse at 512K costs what SDPA costs at ${formatCount(value / 1000)}K, ` +
      directionName(direction),
    paper: { text: `${formatCount(value)} tokens`, value, hardware: PAPER_HARDWARE },
    command: benchCommand(result, {
      contexts: [65_536, 131_072, 262_144, HEADLINE_CONTEXT],
      direction,
    }),
    details: [],
    software: result.environment.adapter.software,
    nearest: null,
  };
  const notRun = (why: string): ClaimRow => ({
    ...base,
    ours: null,
    extent: null,
    ratio: null,
    verdict: "not run",
    why,
  });
  // Only the point at 512K must have the paper's k: at short contexts k is rounded up to 128.
  const series = contextSeries(result).filter((series) => series.direction === direction);
  const lighthouse = series.find(({ implementation, points }) =>
    implementation === "lighthouse-norm" &&
    points.some((point) =>
      point.context === HEADLINE_CONTEXT && hasSetting(point.case, PAPER_SETTING)
    )
  );
  if (lighthouse === undefined) {
    return notRun(whyNotReached(result, direction));
  }
  const dense = series.find(({ implementation, dtype, heads, headDim }) =>
    implementation === "dense" && dtype === lighthouse.dtype && heads === lighthouse.heads &&
    headDim === lighthouse.headDim
  );
  const target = lighthouse.points.find(({ context }) => context === HEADLINE_CONTEXT)!;
  const at = (end: "median" | "low" | "high", seconds: number) =>
    dense === undefined
      ? null
      : interpolateLogLog(dense.points.map((point) => [point.context, point[end]]), seconds);
  const context = at("median", target.median);
  if (context === null) {
    return notRun(
      "the time of Lighthouse at 512K lies outside the dense times that were measured, and nothing " +
        "is extrapolated.",
    );
  }
  const advantage = (ours: number) => HEADLINE_CONTEXT / ours;
  // A smaller context is the stronger claim; the ends pair the fastest Lighthouse with the slowest
  // dense time and the other way round.
  const low = at("high", target.low) ?? context;
  const high = at("low", target.high) ?? context;
  return {
    ...base,
    ours: { unit: "context", value: context, low, high },
    extent: { points: 1, whole: true },
    ratio: context / value,
    verdict: judgeRatio(advantage(low), advantage(value)),
    why:
      "Interpolated between measured dense latencies on straight lines in log-log; fewer tokens " +
      "favour Lighthouse.",
  };
}

function growthClaim(result: Result): ClaimRow {
  const series = speedupSeries(result).find(({ implementation, direction, k }) =>
    implementation === "lighthouse-norm" && direction === "forward" && k === "N/64"
  );
  const points = series?.points ?? [];
  const base = {
    id: "growth",
    claim: "The speed-up grows with the context",
    paper: {
      text: `up to ${formatRatio(PAPER_SPEEDUP.forward)} at 512K`,
      value: null,
      hardware: PAPER_HARDWARE,
    },
    command: benchCommand(result, {
      contexts: paper.latency.setting.contexts,
      direction: "forward",
    }),
    details: points.map((point) => ({
      label: formatContext(point.context),
      paper: `${formatRatio(point.ratio)} (${
        formatInterval([point.low, point.high], formatRatio)
      })`,
    })),
    software: result.environment.adapter.software,
    nearest: null,
    ratio: null,
  };
  if (points.length < 2) {
    return {
      ...base,
      ours: null,
      extent: null,
      verdict: "not run",
      why: `${formatPlural(points.length, "context")} with a speed-up, growth takes two or more.`,
    };
  }
  const first = points[0];
  const last = points[points.length - 1];
  const falls = points.some((point, i) => i > 0 && point.high < points[i - 1].low);
  const grows = last.low > first.high;
  const full = last.context >= HEADLINE_CONTEXT &&
    first.context <= paper.latency.setting.contexts[0];
  const verdict: Verdict = !grows ? "not reproduced" : falls || !full ? "partly" : "reproduced";
  const crossover = findCrossover(points)!;
  const at = formatContext(Math.round(crossover.context));
  const note = crossover.kind === "at"
    ? `crossover at ${formatCount(Number(crossover.context.toPrecision(3)))} tokens`
    : crossover.kind === "below"
    ? `above 1 from ${at} on`
    : `no crossover up to ${at}`;
  const range = `from ${formatRatio(first.ratio)} at ${formatContext(first.context)} to ` +
    `${formatRatio(last.ratio)} at ${formatContext(last.context)}`;
  const ending = !grows
    ? "which is no growth beyond the intervals"
    : falls
    ? "with a step down on the way"
    : full
    ? "over the paper's whole range"
    : "but not over the paper's whole range of 8K to 512K";
  return {
    ...base,
    ours: { unit: "context", value: crossover.context, low: null, high: null, note },
    extent: { points: points.length, whole: full },
    verdict,
    why: `It goes ${range}, ${ending}.`,
  };
}

function flopClaim(result: Result): ClaimRow {
  const base = {
    id: "flop-ratio",
    claim: "At k = N/64, L = 3, p = 4 the attention FLOP fall by (N/S)²",
    paper: {
      text: formatRatio(FLOP_RATIO),
      value: FLOP_RATIO,
      hardware: "computed, any hardware",
    },
    command: benchCommand(result, { contexts: [8192], direction: "forward" }),
    details: [],
    software: false,
    nearest: null,
  };
  const shapeOf = ({ shape: { context, heads, headDim } }: CaseRecord) =>
    `${context} ${heads} ${headDim}`;
  const whole = new Map<string, CaseRecord>();
  for (const record of result.cases) {
    if (record.implementation !== "dense" || record.direction !== "forward") continue;
    if (!whole.has(shapeOf(record))) whole.set(shapeOf(record), record);
  }
  const pairs = result.cases.flatMap((record) => {
    const { options } = record;
    if (record.direction !== "forward" || record.scorer !== "norm" || !options) return [];
    const { levels, pooling, k } = options;
    const { kDivisor } = PAPER_SETTING;
    if (levels !== PAPER_SETTING.levels || pooling !== PAPER_SETTING.pooling) return [];
    if (k * kDivisor !== record.shape.context) return [];
    const inner = record.stages.find(({ name }) => name === "attention");
    const dense = whole.get(shapeOf(record));
    return inner === undefined || inner.flops === 0 || dense === undefined
      ? []
      : [dense.flops / inner.flops];
  });
  if (pairs.length === 0) {
    return {
      ...base,
      ours: null,
      extent: null,
      ratio: null,
      verdict: "not run",
      why: "No dense and Lighthouse pair of this setting was planned.",
    };
  }
  const worst = pairs.reduce((a, b) => Math.abs(b - FLOP_RATIO) > Math.abs(a - FLOP_RATIO) ? b : a);
  const exact = Math.abs(worst / FLOP_RATIO - 1) < 1e-9;
  return {
    ...base,
    ours: { unit: "ratio", value: worst, low: null, high: null },
    extent: { points: pairs.length, whole: true },
    ratio: worst / FLOP_RATIO,
    verdict: exact ? "reproduced" : "not reproduced",
    why: exact
      ? `Exact in ${
        formatPlural(pairs.length, "pair")
      }: counted work, not a time, and the most that ` +
        `attention alone could gain.`
      : `The FLOP of the ${
        formatPlural(pairs.length, "pair")
      } give another ratio, so S or the count ` +
        `of work differs from the paper's.`,
  };
}

function coverageClaim(result: Result): ClaimRow {
  const counted = result.cases.filter((record) =>
    record.zeroRows !== undefined && record.family === "lighthouse" && record.status === "ok"
  );
  const base = {
    id: "coverage",
    claim: "No holes: every position has a contributor",
    paper: { text: "0 empty rows", value: 0, hardware: "a statement about the method" },
    command: benchCommand(result, { contexts: [8192], direction: "forward" }),
    details: [],
    software: false,
    nearest: null,
    ratio: null,
  };
  if (counted.length === 0) {
    return {
      ...base,
      ours: null,
      extent: null,
      verdict: "not run",
      why: "No case of this run counted the rows that nothing covers.",
    };
  }
  const empty = counted.filter(({ zeroRows }) => zeroRows! > 0);
  const most = largest(counted.map(({ zeroRows }) => zeroRows!));
  const beyond = counted.some((record) => record.zeroRows! > coverageBound(record));
  return {
    ...base,
    ours: { unit: "rows", value: most, low: null, high: null },
    extent: { points: counted.length, whole: true },
    verdict: empty.length === 0 ? "reproduced" : "not reproduced",
    why: empty.length === 0
      ? `No empty row in ${
        formatPlural(counted.length, "case")
      }, though the published code allows ` +
        `p^(L−1) − 1 of them per head.`
      : beyond
      ? `More rows are empty than the first p^(L−1) − 1 of each head, which the method does not allow: ` +
        `a defect of this run.`
      : `${formatCount(empty.length)} of ${
        formatPlural(counted.length, "case")
      } have empty rows among ` +
        `the first p^(L−1) − 1 of a head, as the published code does where the text says none.`,
  };
}

function coverageBound({ options, shape }: CaseRecord): number {
  return shape.heads * (options!.pooling ** (options!.levels - 1) - 1);
}

function trainingThroughputClaim(): ClaimRow {
  // Rows under context parallelism ran on other hardware than the baseline.
  const rows = trainingRows().filter((row) => row.alone);
  const relatives = rows.map(({ relative }) => relative);
  return notRunnable({
    id: "training-throughput",
    claim: "Training tokens per second relative to SDPA, Tables 1 and 2 (98,304 tokens)",
    paper: `${formatInterval([smallest(relatives), largest(relatives)], formatRatio)}`,
    why: `${NO_TRAINING}.`,
    details: rows.map(({ label, relative }) => ({ label, paper: formatRatio(relative) })),
  });
}

function endToEndClaim(): ClaimRow {
  const [low, high] = paper.training.end_to_end_speedup;
  return notRunnable({
    id: "end-to-end",
    claim: "Whole pre-training, sparse stage and dense resume, against SDPA",
    paper: formatInterval([low, high], formatRatio),
    why: "It takes whole training runs of 16,000 steps on eight B200.",
    details: [],
  });
}

function lossClaim(): ClaimRow {
  const rows = trainingRows();
  const losses = rows.map(({ loss }) => loss);
  const baseline = Number(paper.training.rows[0][paper.training.columns.indexOf("final_loss")]);
  return notRunnable({
    id: "final-loss",
    claim: `Final loss at or below SDPA's ${baseline}`,
    paper: `${smallest(losses)}–${largest(losses)}`,
    why: "A loss takes the training itself.",
    details: rows.map(({ label, loss }) => ({ label, paper: loss.toFixed(4) })),
  });
}

/** One line for a run that timed nothing and looked for needles. */
function retrievalLine({ cells, instrument }: RetrievalRecord): string {
  const trials = cells.reduce((sum, cell) => sum + cell.trials, 0);
  const failed = instrument.filter(({ passed }) => !passed).length;
  const checks = formatPlural(instrument.length, "instrument check");
  return `Nothing was timed: ${formatCount(trials)} needle trials in ` +
    `${formatPlural(cells.length, "cell")}, ` +
    (failed === 0 ? `all ${checks} within their bands.` : `${failed} of ${checks} failed.`);
}

function retrievalClaim({ retrieval }: Result): ClaimRow {
  const { mean, protocol } = paper.retrieval;
  const tested = retrieval?.checkpoint
    ? ` The checkpoint “${
      plainText(retrieval.checkpoint.name)
    }” of this run is none of them; its map is in the retrieval section.`
    : " A model given with --checkpoint is tested by the same protocol.";
  const values = mean.map((row) => row.mean);
  return notRunnable({
    id: "retrieval",
    claim: "Needle retrieval after the dense resume, mean accuracy (Fig. 4)",
    paper: formatInterval([smallest(values), largest(values)], (value) => value.toFixed(2)),
    why: "The accuracies belong to the paper's trained models, which were not " +
      `published; chance is ${protocol.chance}.${tested}`,
    details: mean.map(({ scorer, k, mean }) => ({
      label: k === null ? scorer : `${scorer}, k = ${formatCount(k)}`,
      paper: `${mean.toFixed(2)}, not run`,
    })),
  });
}

function claimsSeenElsewhere(result: Result): ClaimRow[] {
  const lighthouse = contextSeries(result).find(({ implementation, direction }) =>
    implementation === "lighthouse-norm" && direction === "forward"
  );
  return paper.claims_seen_elsewhere.map(({ claim, in_paper, fact }, i): ClaimRow => {
    const slope = /linear complexity/.test(claim) && lighthouse?.fit
      ? ` Measured here: latency grows as N^${lighthouse.fit.exponent.toFixed(2)} over ${
        formatPlural(lighthouse.fit.count, "context")
      }.`
      : "";
    const scope = typeof in_paper === "string" ? ` The paper says so ${in_paper}.` : "";
    return {
      id: `elsewhere-${i + 1}`,
      claim: `${claim[0].toUpperCase()}${claim.slice(1)}`,
      paper: {
        text: typeof in_paper === "string" ? in_paper : "not in the paper",
        value: null,
        hardware: "seen in articles",
      },
      ours: null,
      extent: null,
      nearest: null,
      ratio: null,
      verdict: "not the paper's claim",
      why: `${fact[0].toUpperCase()}${fact.slice(1)}.${scope}${slope}`,
      command: null,
      details: [],
      software: false,
    };
  });
}

function notRunnable(
  row: { id: string; claim: string; paper: string; why: string; details: ClaimDetail[] },
): ClaimRow {
  return {
    id: row.id,
    claim: row.claim,
    paper: { text: row.paper, value: null, hardware: "8 × NVIDIA B200" },
    ours: null,
    extent: null,
    nearest: null,
    ratio: null,
    verdict: "not run",
    why: row.why,
    command: null,
    details: row.details,
    software: false,
  };
}

/** Ratios at exactly the paper's setting, Lighthouse with the norm scorer, the smaller type first. */
function paperPoints(result: Result, direction: Direction): SpeedupPoint[] {
  return speedupPoints(result).filter(({ numerator, denominator }) =>
    denominator.implementation === "lighthouse-norm" && denominator.direction === direction &&
    hasSetting(denominator, PAPER_SETTING) && hasSetting(numerator, PAPER_SETTING)
  ).sort((a, b) => a.denominator.shape.dtype < b.denominator.shape.dtype ? -1 : 1);
}

function nearestPoint(result: Result, direction: Direction): SpeedupPoint | null {
  const longest = (points: SpeedupPoint[]) =>
    points.reduce<SpeedupPoint | null>(
      (best, point) => best === null || point.context > best.context ? point : best,
      null,
    );
  const all = speedupPoints(result).filter(({ denominator }) =>
    denominator.implementation === "lighthouse-norm" && denominator.direction === direction
  );
  return longest(paperPoints(result, direction)) ?? longest(all);
}

function describePoint({ context, ratio, low, high, denominator }: SpeedupPoint): string {
  const { heads, headDim } = denominator.shape;
  const { levels, pooling, k } = denominator.options!;
  const shape = hasSetting(denominator, PAPER_SETTING)
    ? ""
    : ` with H = ${heads}, d = ${headDim}, L = ${levels}, p = ${pooling}, k = ${formatCount(k)}`;
  return `${formatRatio(ratio)} (${formatInterval([low, high], formatRatio)}) at ${
    formatContext(context)
  }${shape}`;
}

function whyNotReached(result: Result, direction: Direction): string {
  const inDirection = result.cases.filter((record) => record.direction === direction);
  if (inDirection.length === 0) return `No ${directionName(direction)} case was part of this run.`;
  const there = headlineCases(result, direction);
  const missing = there.find((record) => !isMeasured(record));
  if (missing !== undefined) {
    const state = { skipped: "was skipped", inconclusive: "is inconclusive", failed: "failed" };
    const status = missing.status === "ok" ? "failed" : missing.status;
    return `${missing.implementation} at 512K ${state[status]}: ${
      plainText(missing.reason ?? "no reason recorded").replace(/\.$/, "")
    }.`;
  }
  if (there.length >= 2) {
    return "Dense and Lighthouse were both timed at 512K, but not in interleaved rounds, so no ratio " +
      "is given.";
  }
  const longest = largest(inDirection.map((record) => record.shape.context));
  return longest >= HEADLINE_CONTEXT
    ? "512K was not run at the paper's setting (H = 8, d = 128, L = 3, p = 4, k = N/64)."
    : `The run was planned to ${formatContext(longest)} only.`;
}

function benchCommand(
  result: Result,
  options: { contexts: readonly number[]; direction: Direction },
): string {
  const { heads, headDim, levels, pooling, kDivisor } = PAPER_SETTING;
  return [
    "deno task bench latency --profile paper",
    `--context ${options.contexts.join(",")}`,
    `--heads ${heads} --head-dim ${headDim} --levels ${levels} --pooling ${pooling} --k N/${kDivisor}`,
    `--scorer norm --direction ${options.direction} --stack ${result.stack} --seed ${result.seed}`,
  ].join(" ");
}

function directionName(direction: Direction): string {
  return direction === "forward" ? "forward" : "forward and backward";
}

function formatUnit(unit: Quantity["unit"], value: number): string {
  switch (unit) {
    case "ratio":
      return formatRatio(value);
    case "context":
      return `${formatCount(Number(value.toPrecision(3)))} tokens`;
    case "rows":
      return `${formatCount(value)} empty ${value === 1 ? "row" : "rows"}`;
  }
}
