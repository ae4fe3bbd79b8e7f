/**
 * What a report opens with: the headline, and how the hardware relates to the paper's.
 *
 * @module
 */
import paper from "../../fixtures/paper/paper.json" with { type: "json" };
import type { CaseRecord, Result, RetrievalRecord } from "../../suites/result/result_schema.ts";
import { plainText } from "../../suites/result/plain_text.ts";
import { isMeasured } from "../data/cases.ts";
import { isPeer, peerRows } from "../data/peer_data.ts";
import { speedupPoints } from "../data/speedups.ts";
import {
  formatContext,
  formatCount,
  formatInterval,
  formatPlural,
  formatRatio,
} from "../text/format.ts";
import { formatQuantityInterval } from "./claim.ts";
import { PAPER_SPEEDUP } from "./paper.ts";
import { directionName, headlineCases, nearestPoint, STACK_NAMES } from "./points.ts";
import { speedupClaim } from "./speedup_claim.ts";

/** How this run's hardware relates to the paper's. */
export interface HardwareNotice {
  level: "software" | "different" | "same";
  text: string;
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

/** One line for a run that timed nothing and looked for needles. */
function retrievalLine({ cells, instrument }: RetrievalRecord): string {
  const trials = cells.reduce((sum, cell) => sum + cell.trials, 0);
  const failed = instrument.filter(({ passed }) => !passed).length;
  const checks = formatPlural(instrument.length, "instrument check");
  return `Nothing was timed: ${formatCount(trials)} needle trials in ` +
    `${formatPlural(cells.length, "cell")}, ` +
    (failed === 0 ? `all ${checks} within their bands.` : `${failed} of ${checks} failed.`);
}
