/**
 * Correctness only: golden vectors, float64 references, determinism, causality. Nothing is timed.
 *
 * @module
 */
import type { Gpu } from "../../kernels/gpu/device.ts";
import type { Direction, Implementation, Problem } from "../../kernels/implementation.ts";
import { DeviceLostError } from "../../kernels/gpu/timing.ts";
import { errorLine, EXIT } from "../errors.ts";
import { type Golden, readGolden } from "../check/golden.ts";
import { holdWorkers } from "../check/worker_pool.ts";
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import { requireUniqueNames } from "../plan/measurable.ts";
import { describeShape, skipped, type VerifyCheck } from "./check_line.ts";
import { runInOrder } from "./run_in_order.ts";
import { checkGoldenBaseline } from "./golden_baselines.ts";
import { checkGoldenLayer, checkGoldenSelection } from "./golden_checks.ts";
import { checkDenseGradients, checkVisible } from "./gradient_checks.ts";
import {
  checkCausality,
  checkDeterminism,
  checkInputs,
  checkNotFinite,
} from "./property_checks.ts";
import {
  checkDense,
  checkLighthouse,
  denseCases,
  type DenseReferences,
  dtypesOf,
  lighthouseCases,
  withDefaults,
} from "./reference_checks.ts";

export { formatCheck, type VerifyCheck } from "./check_line.ts";

/** Longest context of a golden selection that a quick run checks. */
export const QUICK_CONTEXT = 32768;

/** Longest context of a golden sparse attention that a quick run still checks. */
const QUICK_BASELINE = 512;

/** Checks that run at once on a real GPU. */
const CONCURRENCY = 4;

/** Default seed of random shapes and inputs. */
export const DEFAULT_VERIFY_SEED = 2024;

/** Options of {@linkcode verify}. */
export interface VerifyOptions {
  /** Default: this project's golden vectors. */
  golden?: Golden;
  /** Fewer shapes and golden cases: some seconds on a software adapter. Default false. */
  quick?: boolean;
  /** Seed of random shapes and inputs, at most 2^31. Default {@linkcode DEFAULT_VERIFY_SEED}. */
  seed?: number;
  /** Default: all implementations. */
  registry?: readonly Implementation[];
  /**
   * Checks that run at once: while one's reference is computed on the host, the device works for
   * others. Default: 4 on a real GPU, 1 on a software adapter, which computes on the same cores.
   */
  concurrency?: number;
  /** Called with each check in its order, when it and those before it have finished. */
  onCheck?: (check: VerifyCheck) => void;
  /** Stops between two checks. */
  signal?: AbortSignal;
}

/** All checks of a run. */
export interface VerifySummary {
  /** In the order in which they ran. */
  readonly checks: readonly VerifyCheck[];
  /** Number of checks that passed. */
  readonly passed: number;
  /** Number of checks that failed. */
  readonly failed: number;
  /** Number of checks that could not run. */
  readonly skipped: number;
  /** 0 when everything passed, 1 when anything failed, 5 when nothing was checked. */
  readonly exitCode: number;
}

/**
 * Runs every check on an open device.
 *
 * A check that throws counts as failed with the error's line; the others still run.
 *
 * @throws {GoldenError} when a golden file cannot be used.
 * @throws {DeviceLostError} when the device is lost.
 *
 * @example
 * ```ts
 * import { DeviceError, openDevice } from "../../kernels/gpu/device.ts";
 * import { formatCheck, verify } from "./verify.ts";
 * try {
 *   const gpu = await openDevice();
 *   const { failed } = await verify(gpu, {
 *     quick: true,
 *     registry: [], // leave out to check all implementations
 *     onCheck: (check) => console.log(formatCheck(check)),
 *   });
 *   console.log(`${failed} failed`);
 *   gpu.destroy();
 * } catch (error) {
 *   if (!(error instanceof DeviceError)) throw error;
 * }
 * ```
 */
export async function verify(gpu: Gpu, options: VerifyOptions = {}): Promise<VerifySummary> {
  const golden = options.golden ?? await readGolden();
  using _workers = holdWorkers();
  const checks: VerifyCheck[] = [];
  const report = (check: VerifyCheck) => {
    checks.push(check);
    options.onCheck?.(check);
  };
  const outcomes = runInOrder(
    planChecks(gpu, golden, options).map(({ name, run }) => async () => {
      options.signal?.throwIfAborted();
      try {
        const found = await run();
        return Array.isArray(found) ? found : [found];
      } catch (error) {
        const lost = gpu.lost();
        if (lost) throw new DeviceLostError(lost, { cause: error });
        if (error instanceof Error && "exitCode" in error) throw error;
        return [{ name, status: "failed", detail: errorLine(error) } as const];
      }
    }),
    options.concurrency ?? (gpu.adapter.software ? 1 : CONCURRENCY),
  );
  for await (const found of outcomes) found.forEach(report);
  const count = (status: VerifyCheck["status"]) =>
    checks.filter((check) => check.status === status).length;
  const passed = count("passed");
  const failed = count("failed");
  return {
    checks,
    passed,
    failed,
    skipped: count("skipped"),
    exitCode: failed > 0 ? EXIT.failed : passed > 0 ? EXIT.fine : EXIT.nothingMeasured,
  };
}

interface PlannedCheck {
  readonly name: string;
  readonly run: () => Promise<VerifyCheck | VerifyCheck[]>;
}

function planChecks(gpu: Gpu, golden: Golden, options: VerifyOptions): PlannedCheck[] {
  const { quick = false, seed = DEFAULT_VERIFY_SEED, registry = IMPLEMENTATIONS } = options;
  requireUniqueNames(registry);
  const planned: PlannedCheck[] = [];
  const plan = (name: string, run: PlannedCheck["run"]) => planned.push({ name, run });
  const skip = (name: string, reason: string) =>
    plan(name, () => Promise.resolve(skipped(name, reason)));

  const first = registry.find(({ scorer }) => scorer);
  plan("seeded inputs", () => checkInputs(gpu, { seed }));
  plan("non-finite inputs", () => checkNotFinite(gpu, { seed }));
  for (const entry of golden.selection) {
    const name = `golden selection ${entry.case}`;
    if (quick && entry.N > QUICK_CONTEXT) {
      skip(name, `N ${entry.N} exceeds the ${QUICK_CONTEXT} of a quick run`);
    } else plan(name, () => checkGoldenSelection(gpu, golden, entry));
  }
  for (const entry of golden.forward) {
    const run = () => checkGoldenLayer(gpu, golden, { entry, registry });
    plan(`golden layer ${entry.case}`, run);
  }
  for (const entry of golden.baselines ?? []) {
    const name = `golden ${entry.method} ${entry.case}`;
    if (quick && entry.N > QUICK_BASELINE) {
      skip(name, `N ${entry.N} exceeds the ${QUICK_BASELINE} of a quick run`);
    } else plan(name, () => checkGoldenBaseline(gpu, golden, { entry, registry }));
  }
  const denseEntries = denseCases(gpu, { seed, quick });
  // Drivers compile several kernels at once; one that fails is reported by its own check.
  const compile = async (implementation: Implementation, problem: Problem) => {
    try {
      if (!gpu.adapter.software) await implementation.compile?.(gpu, problem);
    } catch {
      // The check reports it.
    }
  };
  const references: DenseReferences = new Map();
  if (!gpu.capabilities.f16) skip("f16", "the device has no shader-f16");
  for (const implementation of registry) {
    const { name, scorer, directions, sharedKeys = false } = implementation;
    if (!directions.includes("forward")) continue;
    if (!scorer) {
      for (const entry of denseEntries) {
        if (entry.shape.kvHeads !== undefined && !sharedKeys) {
          skip(`${name} ${describeShape(entry.shape)}`, "it needs one key head a head");
          continue;
        }
        compile(implementation, withDefaults(implementation, { shape: entry.shape }));
        const run = () => checkDense(gpu, implementation, { entry, references });
        plan(`${name} against float64`, run);
      }
      for (const dtype of dtypesOf(gpu)) {
        const problem = withDefaults(implementation, {
          direction: fullest(directions),
          shape: { heads: 3, context: 300, headDim: 64, dtype },
        });
        compile(implementation, problem);
        plan(`${name} determinism`, () => checkDeterminism(gpu, implementation, { problem, seed }));
      }
      plan(`${name} causality`, () => checkCausality(gpu, implementation, { seed }));
      if (!directions.includes("forward-backward")) continue;
      const heads = [{ heads: 2 }, ...sharedKeys ? [{ heads: 4, kvHeads: 2 }] : []];
      const types = dtypesOf(gpu).flatMap((dtype) => heads.map((own) => ({ ...own, dtype })));
      for (const [i, own] of types.entries()) {
        const headDim = quick ? 64 : 128;
        const shape = { ...own, context: 141, headDim };
        const problem = withDefaults(implementation, { shape });
        compile(implementation, { ...problem, direction: "forward-backward" });
        plan(
          `${name} gradients`,
          () => checkDenseGradients(gpu, implementation, { problem, seed: seed + 500 + 10 * i }),
        );
      }
      if (implementation.inTurns) {
        const { cuts, options } = implementation.inTurns;
        const shape = {
          heads: 2,
          context: 277,
          headDim: quick ? 64 : 128,
          dtype: types.at(-1)!.dtype,
        };
        const problem = withDefaults(implementation, {
          shape,
          options,
          direction: "forward-backward",
        });
        const title = `${name} ${describeShape(shape)} queries in turns`;
        const given = { problem, seed: seed + 590, name: title, cuts };
        plan(title, () => checkVisible(gpu, implementation, given));
      }
      continue;
    }
    const cases = lighthouseCases(gpu, { seed, quick, implementation });
    // No gradient flows through scores, so a quick run checks one scorer for all.
    const backward = directions.includes("forward-backward") &&
      !(quick && implementation !== first);
    const withGradients = backward ? quick ? 1 : 4 : 0;
    for (const [i, entry] of cases.entries()) {
      const gradients = i < withGradients;
      compile(implementation, {
        ...entry.problem,
        ...(gradients && { direction: "forward-backward" }),
      });
      const run = () => checkLighthouse(gpu, implementation, { entry, gradients });
      plan(`${name} against float64`, run);
    }
    const { problem } = cases[0];
    plan(
      `${name} determinism`,
      () =>
        checkDeterminism(gpu, implementation, {
          problem: { ...problem, direction: backward ? fullest(directions) : "forward" },
          seed,
        }),
    );
  }
  return planned;
}

/** Of an implementation's directions, the one that computes the most. */
function fullest(directions: readonly Direction[]): Direction {
  return directions.includes("forward-backward") ? "forward-backward" : "forward";
}
