/**
 * A made-up result of a training experiment, for tests: curves and cells follow a formula, so that what
 * a report must say of them is known.
 *
 * @module
 */
import needle from "../fixtures/experiments/needle.json" with { type: "json" };
import { sampleResult } from "../suites/result/_sample_result.ts";
import type { ExperimentRecord, Result, TrainedUnit } from "../suites/result/result_schema.ts";
import { pcgSum4 } from "../kernels/gpu/random.ts";

/** What an arm is to come to. */
export interface MadeUpArm {
  readonly arm: string;
  /** Nats above dense at the end. */
  readonly loss: number;
  /** Share of the one-needle prompts answered. */
  readonly share: number;
}

const { contexts, depths } = needle.evaluation.needles;

/** A record of the experiment `needle` with arms and seeds as given. */
export function sampleExperiment(
  { arms, seeds, steps = 400 }: {
    arms: readonly MadeUpArm[];
    seeds: readonly number[];
    steps?: number;
  },
): ExperimentRecord {
  return {
    name: needle.name,
    title: needle.title,
    registration: { hash: "0".repeat(64), registered: true, experiment: needle, deviations: [] },
    data: { text: "language", digest: "1".repeat(64) },
    check: { passed: true, detail: "made up", maxError: 1e-4, tolerance: 1e-3 },
    units: seeds.flatMap((seed) => arms.map((arm, i) => makeUnit(arm, { seed, steps, index: i }))),
  };
}

function makeUnit(
  { arm, loss, share }: MadeUpArm,
  { seed, steps, index }: { seed: number; steps: number; index: number },
): TrainedUnit {
  const switchStep = Math.round(steps * 10 / 16);
  const losses = Array.from({ length: steps }, (_, step) => {
    const batch = 0.4 * pcgSum4(seed, step);
    const spike = arm !== "dense" && step >= switchStep
      ? 0.5 * Math.exp(-(step - switchStep) / 20)
      : 0;
    return 2.5 + 3 * Math.exp(-step / 60) + batch + loss + spike;
  });
  const evaluation = (when: "switch" | "end") => ({
    when,
    step: when === "switch" ? switchStep : steps,
    seconds: 1,
    heldOut: Array.from({ length: 8 }, (_, i) => 1.5 + 0.1 * i + loss + 0.002 * pcgSum4(seed, i)),
    needles: [
      ...contexts.flatMap((context) =>
        depths.map((depth) => ({ context, depth, correct: Math.round(10 * share), trials: 10 }))
      ),
      ...contexts.map((context) => ({ context, depth: 50, keys: 8, correct: 3, trials: 10 })),
    ],
  });
  return {
    case: `experiments/needle/${arm}/seed-${seed}`,
    arm,
    seed,
    switchStep,
    tokensPerStep: 16384,
    losses,
    skippedSteps: [0],
    seconds: { first: 10 - 2 * index, resume: 10 },
    firstSteps: switchStep,
    resumeSteps: steps - switchStep,
    evaluations: [evaluation("switch"), evaluation("end")],
  };
}

/** A result with such a record and its cases. */
export function sampleExperimentResult(options: Parameters<typeof sampleExperiment>[0]): Result {
  const base = sampleResult();
  const experiment = sampleExperiment(options);
  const [like] = base.cases;
  return {
    ...base,
    profile: "needle",
    ratios: [],
    calibration: null,
    experiment,
    cases: experiment.units.map(({ case: id, arm }) => ({
      ...like,
      id,
      suite: "experiments",
      implementation: arm === "dense" ? "dense" : `lighthouse-${arm}`,
      direction: "forward-backward" as const,
      status: "ok" as const,
      samples: [],
      stages: [],
      statistic: undefined,
      throughput: undefined,
      check: undefined,
    })),
  };
}
