/**
 * What a training experiment found: numbers of each arm, and a verdict for each hypothesis.
 *
 * @module
 */
import type { Interval } from "../../suites/statistics/statistics.ts";
import { pairedDifference } from "../../suites/statistics/paired_seeds.ts";
import { type RateInterval, wilsonInterval } from "../../suites/statistics/intervals.ts";
import type {
  AnswerCell,
  EvaluationRecord,
  ExperimentRecord,
  TrainedUnit,
} from "../../suites/result/result_schema.ts";

/** What may be compared. */
export type Measure = "held-out-loss" | "one-needle" | "keyed-needles";

/** A hypothesis as registered. */
export interface RegisteredHypothesis {
  readonly id: string;
  readonly claim: string;
  readonly arm: string;
  readonly against: string;
  readonly measure: Measure;
  readonly expect: "no-worse" | "worse";
  readonly margin: number;
  /** Share of prompts that the other arm answers at least; below it nothing is decided. Default: none. */
  readonly floor?: number;
  /** The evaluation that is compared. Default: the one at the end. */
  readonly when?: "switch" | "end";
}

/** What came out at this scale; never the paper's own verdict. */
export type SmallVerdict = "reproduced" | "reversed" | "undecided";

/** A hypothesis and what came of it. */
export interface Finding extends RegisteredHypothesis {
  readonly verdict: SmallVerdict;
  /** Seeds that have both arms. */
  readonly seeds: number;
  /** How much worse the arm is than the other: nats, or share of prompts. Undefined without seeds. */
  readonly worse?: Interval;
  /** Share of prompts that the other arm answers, where that is below the floor. */
  readonly below?: number;
}

/** The registered parts that a report needs; a file of a newer version may lack them. */
export interface Registered {
  readonly steps: { readonly first: number; readonly resume: number };
  readonly model: Readonly<Record<string, number>>;
  readonly arms: readonly {
    readonly name: string;
    readonly primary?: boolean;
    readonly scorer?: string;
    readonly options?: Readonly<Record<string, number>>;
    readonly placement?: string;
  }[];
  readonly seeds: readonly number[];
  readonly hypotheses: readonly RegisteredHypothesis[];
  readonly stopping: { readonly leastSeeds: number; readonly rule: string };
}

/** What was registered. */
export function registeredOf({ registration }: ExperimentRecord): Registered {
  const { steps, model, arms, seeds, hypotheses, stopping } = registration
    .experiment as unknown as Partial<Registered>;
  return {
    steps: steps ?? { first: 0, resume: 0 },
    model: model ?? {},
    arms: arms ?? [],
    seeds: seeds ?? [],
    hypotheses: hypotheses ?? [],
    stopping: stopping ?? { leastSeeds: 2, rule: "" },
  };
}

/** Names of the arms with units, in the order of the registration. */
export function armsOf(record: ExperimentRecord): string[] {
  const trained = new Set(record.units.map(({ arm }) => arm));
  const registered = registeredOf(record).arms.map(({ name }) => name);
  return [
    ...registered.filter((name) => trained.has(name)),
    ...[...trained].filter((name) => !registered.includes(name)),
  ];
}

/** The evaluation at the switch, or at the end. */
export function evaluationOf(
  { evaluations }: TrainedUnit,
  when: EvaluationRecord["when"],
): EvaluationRecord | undefined {
  return evaluations.find((one) => one.when === when);
}

/** Cells of the needle test without keys, or with. */
export function cellsOf(
  { needles }: EvaluationRecord,
  measure: Exclude<Measure, "held-out-loss">,
): AnswerCell[] {
  return needles.filter(({ keys }) => (keys !== undefined) === (measure === "keyed-needles"));
}

/** What an arm came to, over its seeds. */
export interface ArmSummary {
  readonly arm: string;
  readonly seeds: number;
  /** Mean held-out loss in nats, over seeds and sequences. */
  readonly loss?: number;
  /** Share of all prompts answered, with its Wilson interval. */
  readonly answers: Readonly<Partial<Record<Exclude<Measure, "held-out-loss">, RateInterval>>>;
}

/** What each arm came to at the switch, or at the end. */
export function summarizeArms(
  record: ExperimentRecord,
  when: EvaluationRecord["when"],
): ArmSummary[] {
  return armsOf(record).map((arm) => {
    const found = record.units.filter((unit) => unit.arm === arm)
      .flatMap((unit) => evaluationOf(unit, when) ?? []);
    const losses = found.flatMap(({ heldOut }) => heldOut);
    const rate = (measure: Exclude<Measure, "held-out-loss">) => {
      const cells = found.flatMap((one) => cellsOf(one, measure));
      const trials = cells.reduce((sum, { trials }) => sum + trials, 0);
      const correct = cells.reduce((sum, { correct }) => sum + correct, 0);
      return trials > 0 ? { [measure]: wilsonInterval(correct, trials) } : {};
    };
    return {
      arm,
      seeds: found.length,
      ...(losses.length > 0 && {
        loss: losses.reduce((sum, one) => sum + one, 0) / losses.length,
      }),
      answers: { ...rate("one-needle"), ...rate("keyed-needles") },
    };
  });
}

/** Tokens per second of an arm before the switch and after it; undefined where nothing was trained. */
export function tokenRates(
  { units }: ExperimentRecord,
  arm: string,
): { readonly first?: number; readonly resume?: number } {
  const own = units.filter((unit) => unit.arm === arm);
  const rate = (steps: "firstSteps" | "resumeSteps", part: "first" | "resume") => {
    const tokens = own.reduce((sum, unit) => sum + unit[steps] * unit.tokensPerStep, 0);
    const seconds = own.reduce((sum, unit) => sum + unit.seconds[part], 0);
    return seconds > 0 ? { [part]: tokens / seconds } : {};
  };
  return { ...rate("firstSteps", "first"), ...rate("resumeSteps", "resume") };
}

/**
 * How much worse an arm is than another, at the end or where the hypothesis says, by seed and item; the
 * items of both are the same.
 */
export function worseBySeed(
  { units }: ExperimentRecord,
  { arm, against, measure, when = "end" }: Pick<
    RegisteredHypothesis,
    "arm" | "against" | "measure" | "when"
  >,
): { readonly seed: number; readonly items: readonly number[] }[] {
  return units.filter((unit) => unit.arm === arm).flatMap((unit) => {
    const rival = units.find((one) => one.arm === against && one.seed === unit.seed);
    const [own, other] = [unit, rival].map((one) => one && evaluationOf(one, when));
    if (!own || !other) return [];
    const items = measure === "held-out-loss"
      ? own.heldOut.map((loss, i) => loss - other.heldOut[i])
      : cellsOf(own, measure).map((cell, i) => {
        const same = cellsOf(other, measure)[i];
        return same.correct / same.trials - cell.correct / cell.trials;
      });
    return items.length > 0 && items.every(Number.isFinite) ? [{ seed: unit.seed, items }] : [];
  });
}

/** What came of the hypotheses of a record: resampling takes a tenth of a second. */
const judged = new WeakMap<ExperimentRecord, readonly Finding[]>();

/** What came of each hypothesis. */
export function judgeHypotheses(record: ExperimentRecord): readonly Finding[] {
  let found = judged.get(record);
  if (!found) judged.set(record, found = judgeAll(record));
  return found;
}

function judgeAll(record: ExperimentRecord): Finding[] {
  const { hypotheses, stopping } = registeredOf(record);
  return hypotheses.map((hypothesis): Finding => {
    const seeds = worseBySeed(record, hypothesis).map(({ items }) => items);
    if (seeds.length === 0) return { ...hypothesis, verdict: "undecided", seeds: 0 };
    const worse = pairedDifference(seeds);
    const { measure, against, floor = 0, when = "end" } = hypothesis;
    // Where the other arm has not learnt the task, being no worse says nothing.
    const answered = measure === "held-out-loss" ? undefined : summarizeArms(record, when)
      .find(({ arm }) => arm === against)?.answers[measure]?.rate;
    const below = answered !== undefined && answered < floor ? answered : undefined;
    const decided = seeds.length >= stopping.leastSeeds && below === undefined;
    return {
      ...hypothesis,
      seeds: seeds.length,
      worse,
      ...(below !== undefined && { below }),
      verdict: decided ? judge(hypothesis, worse) : "undecided",
    };
  });
}

function judge(
  { expect, margin }: Pick<RegisteredHypothesis, "expect" | "margin">,
  { low, high }: Interval,
): SmallVerdict {
  const [within, beyond] = [high <= margin, low > margin];
  if (!within && !beyond) return "undecided";
  return within === (expect === "no-worse") ? "reproduced" : "reversed";
}

/**
 * Whether the control, an arm that is expected to be worse, came out so; undefined without one that could
 * be judged.
 */
export function controlHolds(record: ExperimentRecord): boolean | undefined {
  const control = judgeHypotheses(record).find(({ expect, worse }) =>
    expect === "worse" && worse !== undefined
  );
  return control && control.verdict === "reproduced";
}
