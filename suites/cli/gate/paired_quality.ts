/**
 * How good the paired gate is: how often it sees a change where there is none, and how many
 * injected slowdowns it finds, on synthetic turns and on recorded ones of the same code.
 *
 * A study is one run of the gate: it draws blocks of every case, goes on as the gate does, a
 * verdict at each look and more blocks where there is none, and has a false alarm if any case has
 * one. Of recorded turns it draws blocks without replacement and swaps the sides of each by chance,
 * which changes nothing where both are the same code; such studies share blocks and are not
 * independent.
 *
 * @module
 */
import { seedOf, SLOWDOWNS, TARGETS } from "../../../reports/gate/_quality.ts";
import { createNormal, createRandom } from "../../../reports/gate/bootstrap.ts";
import { type Interval, verdictOf } from "../../../reports/gate/compare_times.ts";
import { DEFAULTS } from "../../../reports/gate/gate_config.ts";
import type { CaseVerdict } from "../../../reports/gate/gate_report.ts";
import { type Block, LOOKS, type Quad, type WeighedTurns, weighTurns } from "./judge_paired.ts";
import type { RecordedTurns } from "./record_turns.ts";

/** Noise of turns, as standard deviations of logarithms of seconds unless said otherwise. */
export interface TurnNoise {
  /** Of each turn. */
  readonly turn: number;
  /** What a pair of processes shares: placement in memory, caches. */
  readonly process: number;
  /** Largest departure of the clock within a pair of processes, of both sides alike. */
  readonly drift: number;
}

/** What a synthetic study is of. */
export interface PairedSetting extends TurnNoise {
  /** Cases are two kinds at so many contexts. */
  readonly contexts: number;
}

/** Settings that the stated bound of false alarms holds for. */
export const PAIRED_GRID: readonly PairedSetting[] = [2, 3, 4, 7].flatMap((contexts) =>
  [0.01, 0.04].flatMap((turn) =>
    [0.003, 0.02].flatMap((process) =>
      [0, 0.05].map((drift) => ({ contexts, turn, process, drift }))
    )
  )
);

/** Most pairs of processes of a study. */
export const MOST_BLOCKS = 24;

/** Quads of a case in a pair of processes. */
const QUADS = 12;

/** What a number of studies found with at most so many blocks. */
export interface PairedQualityRow {
  readonly blocks: number;
  readonly studies: number;
  readonly cases: number;
  /** Studies of the same code in which any case was `slower` or `faster`. */
  readonly falseAlarms: number;
  /** Cases that were. */
  readonly falseCases: number;
  /** Studies of the same code that had no alarm and an open case. */
  readonly inconclusive: number;
  /**
   * Of `one`, the share of studies in which the first case was `slower`; of `all`, in which any
   * was. By the size of the slowdown.
   */
  readonly detection: Record<typeof TARGETS[number], Record<string, number>>;
}

/** What `fixtures/gate/paired_quality.json` holds. */
export interface PairedQuality {
  readonly recordedAt: string;
  readonly device: string;
  readonly cases: readonly string[];
  /** Synthetic turns, a row for each number of blocks. */
  readonly grid: readonly (PairedSetting & PairedQualityRow)[];
  /** Recorded turns. */
  readonly recorded: readonly PairedQualityRow[];
}

/** Blocks of each case of a study, in order. */
type Study = readonly (readonly Block[string][])[];

/** Turns of the same code with the noise of a setting. */
function synthesizeStudy(setting: PairedSetting, seed: number): Study {
  const random = createRandom(seed);
  const normal = createNormal(random);
  const { contexts, turn, process, drift } = setting;
  const quads = (shift: number) => {
    const [cycles, phase] = [0.25 + 0.75 * random(), random()];
    const clock = (time: number) => drift * Math.sin(2 * Math.PI * (cycles * time + phase));
    return Array.from({ length: QUADS }, (_, i): Quad => {
      const seconds = (own: number, place: number) =>
        0.01 * Math.exp(own + clock((i + place / 4) / QUADS) + turn * normal());
      const [outer, inner] = [[0, 3], [1, 2]];
      const [first, second] = i % 2 === 0 ? [outer, inner] : [inner, outer];
      return {
        baseline: first.map((place) => seconds(0, place)),
        candidate: second.map((place) => seconds(shift, place)),
      };
    });
  };
  return Array.from({ length: 2 * contexts }, () =>
    Array.from({ length: MOST_BLOCKS }, () => ({
      quads: quads(process * normal()),
      control: quads(process * normal()),
    })));
}

/** Recorded blocks in the order and with the sides of a study. */
function drawStudy(recorded: RecordedTurns, random: () => number): Study {
  return recorded.cases.map((_, caseIndex) =>
    recorded.blocks.map((block) => ({ block: block[caseIndex], key: random() }))
      .sort((a, b) => a.key - b.key)
      .map(({ block }) => {
        const swap = random() < 0.5;
        const quad = ([a1, a2, b1, b2]: readonly number[]): Quad => ({
          baseline: swap ? [b1, b2] : [a1, a2],
          candidate: swap ? [a1, a2] : [b1, b2],
        });
        return { quads: block.quads.map(quad), control: block.control.map(quad) };
      })
  );
}

/** The verdict where every turn of the candidate took e^shift times as long. */
function verdictAt({ alarm, pass, reason }: WeighedTurns, shift: number): CaseVerdict {
  if (reason !== undefined) return "inconclusive";
  const moved = ({ estimate, low, high }: Interval) => ({
    estimate: estimate + shift,
    low: low + shift,
    high: high + shift,
  });
  return verdictOf({ alarm: moved(alarm), pass: moved(pass) }, DEFAULTS);
}

/** Verdicts at each look, the first one that is none kept for all later ones. */
function verdictsOf(looks: readonly WeighedTurns[], shift: number): CaseVerdict[] {
  let decided: CaseVerdict = "inconclusive";
  return looks.map((weighed) => {
    if (decided === "inconclusive") decided = verdictAt(weighed, shift);
    return decided;
  });
}

/** A row for each look that the blocks suffice for. */
function measureStudies(
  studies: number,
  options: { most: number; create: (index: number) => Study },
): PairedQualityRow[] {
  const looks = LOOKS.filter((count) => count <= options.most);
  const rows = looks.map(() => ({
    cases: 0,
    falseAlarms: 0,
    falseCases: 0,
    inconclusive: 0,
    found: TARGETS.map(() => SLOWDOWNS.map(() => 0)),
  }));
  for (let index = 0; index < studies; index++) {
    const study = options.create(index);
    const weighed = study.map((blocks) =>
      looks.map((count) => weighTurns(blocks.slice(0, count), { id: "study", cases: study.length }))
    );
    const still = weighed.map((one) => verdictsOf(one, 0));
    const slowed = SLOWDOWNS.map((slowdown) =>
      weighed.map((one) => verdictsOf(one, Math.log1p(slowdown)))
    );
    rows.forEach((row, look) => {
      const verdicts = still.map((one) => one[look]);
      const moved = verdicts.filter((verdict) => verdict === "slower" || verdict === "faster");
      row.cases += verdicts.length;
      row.falseCases += moved.length;
      if (moved.length > 0) row.falseAlarms++;
      else if (verdicts.includes("inconclusive")) row.inconclusive++;
      slowed.forEach((cases, at) => {
        if (cases[0][look] === "slower") row.found[0][at]++;
        if (cases.some((one) => one[look] === "slower")) row.found[1][at]++;
      });
    });
  }
  return rows.map(({ found, ...counts }, look) => ({
    blocks: looks[look],
    studies,
    ...counts,
    detection: Object.fromEntries(TARGETS.map((target, i) => [
      target,
      Object.fromEntries(
        SLOWDOWNS.map((slowdown, at) => [
          `${Math.round(100 * slowdown)} %`,
          Number((found[i][at] / studies).toFixed(4)),
        ]),
      ),
    ])) as PairedQualityRow["detection"],
  }));
}

/** Measures one setting; the same seeds give the same rows. */
export function measurePairedSetting(
  setting: PairedSetting,
  options: { studies: number; first?: number },
): PairedQualityRow[] {
  const { first = 0 } = options;
  return measureStudies(options.studies, {
    most: MOST_BLOCKS,
    create: (index) => synthesizeStudy(setting, seedOf(setting) + first + index),
  });
}

/** Measures recorded turns. */
export function measureRecordedTurns(
  recorded: RecordedTurns,
  options: { studies: number },
): PairedQualityRow[] {
  const random = createRandom(1);
  return measureStudies(options.studies, {
    most: recorded.blocks.length,
    create: () => drawStudy(recorded, random),
  });
}
