/**
 * How good the paired gate is, from recorded turns of the same code: how often it sees a change where
 * there is none, and how many injected slowdowns it finds.
 *
 * A study draws blocks without replacement and swaps the sides of each by chance, which changes
 * nothing where both are the same code. Then it goes on as the gate does: a verdict at each look, more
 * blocks where there is none. A slowdown multiplies the candidate's times. Studies share blocks, so
 * they are not independent.
 *
 * @module
 */
import { SLOWDOWNS } from "../../../reports/gate/_quality.ts";
import { createRandom, normalQuantile } from "../../../reports/gate/bootstrap.ts";
import type { CaseVerdict } from "../../../reports/gate/gate_report.ts";
import { type Block, judgeTurns, LOOKS, type Quad } from "./judge_paired.ts";
import type { RecordedTurns } from "./record_turns.ts";

/** Standard deviations, in logarithms of seconds, of turns that no machine took. */
export interface TurnNoise {
  /** Of each turn. */
  readonly turn: number;
  /** What a pair of processes shares: placement in memory, caches. */
  readonly process: number;
}

/** Machines that the gate meets. */
export const TURN_NOISE: Record<string, TurnNoise> = {
  "quiet GPU": { turn: 0.01, process: 0.003 },
  "desktop GPU": { turn: 0.04, process: 0.01 },
};

/** Turns of the same code with the noise of a model. */
export function synthesizeTurns(
  noise: TurnNoise,
  options: { cases: number; blocks: number; quads: number },
): RecordedTurns {
  const random = createRandom(2);
  const normal = () => normalQuantile(1e-12 + random() * (1 - 2e-12));
  const quads = (shift: number) =>
    Array.from(
      { length: options.quads },
      () => [0, 0, shift, shift].map((own) => 0.01 * Math.exp(own + noise.turn * normal())),
    );
  return {
    recordedAt: "",
    device: "synthetic",
    cases: Array.from({ length: options.cases }, (_, i) => `case ${i}`),
    blocks: Array.from(
      { length: options.blocks },
      () =>
        Array.from({ length: options.cases }, () => ({
          quads: quads(noise.process * normal()),
          control: quads(noise.process * normal()),
        })),
    ),
  };
}

/** What a number of studies found with at most so many blocks. */
export interface PairedQualityRow {
  readonly blocks: number;
  readonly comparisons: number;
  /** `slower` or `faster` between runs of the same code. */
  readonly falseAlarms: number;
  readonly falseAlarmRate: number;
  readonly inconclusive: number;
  /** Share of the injected slowdowns that were called slower. */
  readonly detection: Record<string, number>;
}

/** A row with the name of its noise. */
export interface NamedPairedRow extends PairedQualityRow {
  readonly noise: string;
}

/** Rows of all models and of recorded turns, in the order of the table in GATE.md. */
export function allPairedRows(
  recorded: RecordedTurns,
  options: { studies: number; most?: number },
): NamedPairedRow[] {
  const named = (noise: string, turns: RecordedTurns) =>
    measurePairedQuality(turns, options).map((row) => ({ noise, ...row }));
  const shape = { cases: recorded.cases.length, blocks: 24, quads: 12 };
  return [
    ...Object.entries(TURN_NOISE).flatMap(([name, noise]) =>
      named(`synthetic: ${name}`, synthesizeTurns(noise, shape))
    ),
    ...named("recorded: busy software adapter", recorded),
  ];
}

/** The blocks of one case, in the order and with the sides of a study. */
function drawBlocks(
  recorded: RecordedTurns,
  options: { caseIndex: number; random: () => number },
): Block[string][] {
  const { caseIndex, random } = options;
  const order = recorded.blocks.map((block) => ({ block: block[caseIndex], key: random() }))
    .sort((a, b) => a.key - b.key);
  return order.map(({ block }) => {
    const swap = random() < 0.5;
    const quad = ([a1, a2, b1, b2]: readonly number[]): Quad => ({
      baseline: swap ? [b1, b2] : [a1, a2],
      candidate: swap ? [a1, a2] : [b1, b2],
    });
    return { quads: block.quads.map(quad), control: block.control.map(quad) };
  });
}

/** Verdicts at each look, the first one that is none kept for all later ones. */
function verdictsOf(blocks: readonly Block[string][], looks: readonly number[]): CaseVerdict[] {
  let decided: CaseVerdict = "inconclusive";
  return looks.map((count) => {
    if (decided === "inconclusive") {
      decided = judgeTurns(blocks.slice(0, count), { id: "study" }).verdict;
    }
    return decided;
  });
}

function slow(blocks: readonly Block[string][], factor: number): Block[string][] {
  return blocks.map(({ quads, control }) => ({
    quads: quads.map(({ baseline, candidate }) => ({
      baseline,
      candidate: candidate.map((seconds) => seconds * factor),
    })),
    control,
  }));
}

/** A row for each look that the recorded blocks suffice for. */
export function measurePairedQuality(
  recorded: RecordedTurns,
  options: { studies: number; most?: number },
): PairedQualityRow[] {
  const most = Math.min(options.most ?? Infinity, recorded.blocks.length);
  const looks = LOOKS.filter((count) => count <= most);
  const random = createRandom(1);
  const rows = looks.map((blocks) => ({
    blocks,
    comparisons: 0,
    falseAlarms: 0,
    inconclusive: 0,
    found: SLOWDOWNS.map(() => 0),
  }));
  for (let study = 0; study < options.studies; study++) {
    for (const caseIndex of recorded.cases.keys()) {
      const blocks = drawBlocks(recorded, { caseIndex, random });
      verdictsOf(blocks, looks).forEach((verdict, i) => {
        rows[i].comparisons++;
        if (verdict === "inconclusive") rows[i].inconclusive++;
        else if (verdict !== "same") rows[i].falseAlarms++;
      });
      for (const [at, factor] of SLOWDOWNS.entries()) {
        verdictsOf(slow(blocks, factor), looks).forEach((verdict, i) => {
          if (verdict === "slower") rows[i].found[at]++;
        });
      }
    }
  }
  const rate = (count: number, of: number) => Number((count / of).toFixed(4));
  return rows.map(({ blocks, comparisons, falseAlarms, inconclusive, found }) => ({
    blocks,
    comparisons,
    falseAlarms,
    falseAlarmRate: rate(falseAlarms, comparisons),
    inconclusive,
    detection: Object.fromEntries(
      SLOWDOWNS.map((
        factor,
        at,
      ) => [`${Math.round((factor - 1) * 100)} %`, rate(found[at], comparisons)]),
    ),
  }));
}
