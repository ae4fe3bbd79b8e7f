/**
 * A case before its first sample: inputs, first execution, check, and what the budget learns from
 * them.
 *
 * @module
 */
import {
  bytesOf,
  type DeviceAccess,
  type FirstRun,
  outcomeOf,
  rethrowFatal,
  type Running,
  type Session,
  type Started,
} from "./session.ts";
import { compileSeconds } from "../../kernels/gpu/pipeline.ts";
import { watchAllocations } from "../../kernels/gpu/accounting.ts";
import { createTensor, MemoryError, type Tensor } from "../../kernels/gpu/buffers.ts";
import { requireFinite } from "../../kernels/gpu/inspect.ts";
import { fillSeeded } from "../../kernels/gpu/random.ts";
import { inputShapes } from "../../kernels/key_heads.ts";
import type { LayerInputs, OptionDescriptor } from "../../kernels/implementation.ts";
import { caseRecord, failedRecord } from "../plan/case_record.ts";
import {
  type CheckOutcome,
  checkOutputs,
  digestOutputs,
  failureOf,
  type OutputDigest,
} from "../check/check.ts";
import { DISPATCH_SECONDS, OWN_WARM_UP_SECONDS } from "../plan/durations.ts";
import { findImplementation } from "../plan/measurable.ts";
import { isOurs, type Layer } from "../plan/measurable.ts";
import type { PlannedCase } from "../plan/planned_case.ts";
import type { CaseRecord } from "../result/result_schema.ts";
import { probeLists } from "./list_probe.ts";
import { probeSelection } from "./selection_quality_probe.ts";

/** How a session uses its device. */
export function accessOf({ access }: Session): DeviceAccess {
  return access ?? { createInputs, checkOutputs, digestOutputs, probeLists, probeSelection };
}

/** Creates the seeded inputs that all cases of a group share. */
export async function createInputs(
  session: Session,
  members: readonly PlannedCase[],
): Promise<LayerInputs & { destroy: () => void }> {
  const { gpu, seed } = session;
  const { shape } = members[0].problem;
  const headsPerBlock = Math.min(
    shape.heads,
    ...members.map((entry) => entry.plan!.headsPerBlock),
  );
  const shapes = Object.values(inputShapes(shape));
  const tensors: Tensor[] = [];
  const destroy = () => tensors.forEach((tensor) => tensor.destroy());
  try {
    const labels = ["queries", "keys", "values"];
    const { direction = "forward" } = members[0].problem;
    if (direction !== "forward") labels.push("output gradient");
    for (const [i, label] of labels.entries()) {
      const each = headsPerBlock * shapes[i].heads / shape.heads;
      const tensor = await createTensor(gpu, shapes[i], { label, headsPerBlock: each });
      tensors.push(tensor);
      await fillSeeded(gpu, tensor, seed + i);
    }
    await requireFinite(gpu, tensors);
  } catch (error) {
    destroy();
    throw error;
  }
  const [q, k, v, outputGradient] = tensors;
  return { q, k, v, ...(outputGradient && { outputGradient }), destroy };
}

/**
 * Prepares a case and runs it once. {@linkcode checkCases} checks its results. Its samples
 * are added to those of an `earlier` record.
 *
 * An `untimed` layer takes no timestamps, whose read-back ends every execution, so that executions
 * can be submitted before the previous one has ended. The budget learns nothing from its first one.
 *
 * @returns undefined when it cannot run, or its first execution shows that it does not fit the
 * budget; the reason is recorded.
 * @throws {MemoryError} with `crowded`, when it does not fit next to the others.
 */
export async function startCase(
  session: Session,
  entry: PlannedCase,
  options: {
    inputs: LayerInputs;
    extent: "whole" | "sampled";
    crowded?: boolean;
    untimed?: boolean;
    earlier?: CaseRecord;
  },
): Promise<Started | undefined> {
  const { gpu, budget, clock, seed, signal } = session;
  const { earlier } = options;
  const implementation = findImplementation(session.registry, entry.implementation);
  const flopsPerSecond = budget.flopsPerSecond(entry);
  const started = budget.now();
  const compiledBefore = compileSeconds(gpu);
  let prepared: Layer | undefined;
  try {
    session.step(`${entry.id}: first run`);
    const allocations = watchAllocations(gpu.device);
    allocations.restart();
    const heldBefore = allocations.bytes;
    const device = options.untimed
      ? { ...gpu, capabilities: { ...gpu.capabilities, timestamps: false } }
      : gpu;
    prepared = await implementation.prepare(device, entry.problem, {
      inputs: options.inputs,
      flopsPerDispatch: flopsPerSecond && flopsPerSecond * DISPATCH_SECONDS,
      seed,
      signal,
    });
    const layer = prepared;
    const long = budget.predict(entry) >= OWN_WARM_UP_SECONDS;
    const before = await clock.settle({ signal });
    const { result: timing, canary, device: told, off } = await clock.around(
      before,
      (between) => layer.execute({ flopsPerSecond, signal, stages: long, between }),
    );
    const restarts = await prepared.readRestarts?.();
    const measuredPeakBytes = prepared.peer?.peakBytes?.() ??
      allocations.peakBytes - heldBefore + bytesOf(options.inputs);
    const first = long ? { timing, canary, device: told, off } : undefined;
    if (options.extent === "sampled" && !options.untimed) {
      learnTime(session, entry, { timing, off });
    }
    if (!options.untimed && !earlier && !budget.canFinish(entry)) {
      await prepared.destroy();
      const predictedSeconds = budget.predict(entry);
      const reason = `one execution takes ${predictedSeconds.toPrecision(3)} s; ` +
        `${Math.max(0, budget.left).toPrecision(3)} s of the budget are left`;
      const record = caseRecord(entry, { status: "skipped", reason });
      await session.record({ ...record, predictedSeconds });
      return undefined;
    }
    const running: Started = {
      entry,
      prepared,
      earlier,
      samples: [...earlier?.samples ?? []],
      stageSamples: prepared.stages.map((_, i) => [...earlier?.stages[i]?.samples ?? []]),
      measuredPeakBytes,
      // A kernel is compiled once for all contexts, so that is not a cost of the case.
      setupSeconds: Math.max(
        0,
        budget.now() - started - timing.wallSeconds - (compileSeconds(gpu) - compiledBefore),
      ),
      restarts,
      first,
    };
    session.live.add(running);
    return running;
  } catch (error) {
    await prepared?.destroy();
    rethrowFatal(session, error);
    if (options.crowded && error instanceof MemoryError) throw error;
    const outcome = outcomeOf(error);
    // Earlier measurements are kept if there is no room to measure it again.
    if (!earlier || outcome.status === "failed") await session.record(caseRecord(entry, outcome));
    return undefined;
  }
}

/**
 * Checks the results of the first executions of some cases, all at once, so that their rows use all
 * of the processor's cores. Nothing is timed meanwhile, and no case is timed again before its check
 * passed. The check of an earlier record stays valid if the execution gave the same bits.
 *
 * @param started cases with the same inputs. They are destroyed unless they are returned.
 * @returns those that passed, in their order; the others are recorded.
 */
export async function checkCases(
  session: Session,
  started: readonly Started[],
  { inputs }: { inputs: LayerInputs },
): Promise<Running[]> {
  const { gpu, budget, seed, signal } = session;
  const access = accessOf(session);
  const waiting = new Set(started);
  const passed: Running[] = [];
  try {
    const known = new Map<Started, CheckOutcome>();
    for (const one of started) {
      const outcome = await knownOutcome(session, one);
      if (outcome) known.set(one, outcome);
    }
    const open = started.filter((one) => !known.has(one));
    if (open.length > 0) {
      const more = open.length > 1 ? ` and ${open.length - 1} more` : "";
      session.step(`${open[0].entry.id}${more}: checking`);
    }
    const from = budget.now();
    const outcomes = await Promise.allSettled(
      started.map((one) => known.get(one) ?? checkOne(one)),
    );
    const seconds = (budget.now() - from) / Math.max(1, open.length);
    for (const outcome of outcomes) {
      if (outcome.status === "rejected") rethrowFatal(session, outcome.reason);
    }
    for (const [i, one] of started.entries()) {
      const running = await judge(one, outcomes[i]);
      waiting.delete(one);
      session.live.delete(one);
      if (!running) {
        await one.prepared.destroy();
        continue;
      }
      if (!known.has(one)) budget.learnSetup(one.entry, one.setupSeconds + seconds);
      passed.push(running);
      session.live.add(running);
    }
    return passed;
  } catch (error) {
    for (const one of [...waiting, ...passed]) {
      session.live.delete(one);
      await one.prepared.destroy();
    }
    throw error;
  }

  function checkOne({ entry: { problem, implementation: name }, prepared }: Started) {
    const implementation = findImplementation(session.registry, name);
    const options = { problem, implementation, inputs, seed, signal };
    return access.checkOutputs(gpu, prepared, { ...options, extent: "sampled" });
  }

  async function judge(
    one: Started,
    settled: PromiseSettledResult<CheckOutcome>,
  ): Promise<Running | undefined> {
    const { entry, prepared, earlier } = one;
    try {
      if (settled.status === "rejected") throw settled.reason;
      const outcome = settled.value;
      const failure = failureOf(outcome.check);
      if (failure === undefined) {
        const selectionQuality = earlier?.selectionQuality ??
          (isOurs(prepared)
            ? await access.probeSelection(session, entry, { prepared, inputs })
            : undefined);
        const blockSelection = earlier?.blockSelection ??
          (isOurs(prepared)
            ? await access.probeLists(session, entry, { prepared, inputs })
            : undefined);
        return { ...one, outcome, selectionQuality, blockSelection };
      }
      await session.record({
        ...failedRecord(entry, { reason: failure, check: outcome.check }),
        digest: { ...outcome.digest },
      });
    } catch (error) {
      rethrowFatal(session, error);
      await session.record(caseRecord(entry, outcomeOf(error)));
    }
    return undefined;
  }
}

/** The outcome of an earlier check, if the execution gave the same bits as the checked one. */
async function knownOutcome(
  session: Session,
  { prepared, earlier }: Started,
): Promise<CheckOutcome | undefined> {
  const { check, digest, zeroRows } = earlier ?? {};
  if (!check?.passed || !digest) return undefined;
  const found = await accessOf(session).digestOutputs(session.gpu, prepared);
  const names = new Set([...Object.keys(found), ...Object.keys(digest)]) as Set<keyof OutputDigest>;
  if ([...names].some((name) => found[name] !== digest[name])) return undefined;
  const parts = check.parts?.filter(({ name }) => name !== "determinism");
  return {
    check: { ...check, ...(parts && { parts }) },
    digest: found,
    ...(zeroRows !== undefined && { zeroRows }),
  };
}

/** The shortest context of a trial. */
const TRY_CONTEXT = 256;

/**
 * Runs a layer unlike any seen so far at a shorter context, to learn its rate: if it is
 * predicted to take more than one dispatch, at a context where it takes only one, if there is one.
 * Predictions assume little of a device, and on matrix units are twenty times too long. With them,
 * a long context that was the only one requested would seem not to fit the budget, and a shorter
 * one would be split into dispatches: four instead of one cost dense attention at 64K 17 %.
 */
export async function tryShorter(session: Session, entry: PlannedCase): Promise<void> {
  const { gpu, budget, clock, seed, signal } = session;
  if (budget.knows(entry) || budget.predict(entry) < DISPATCH_SECONDS || budget.left <= 0) return;
  const implementation = findImplementation(session.registry, entry.implementation);
  const shorter = shorterCases(entry, {
    plan: (problem) => implementation.plan(gpu, problem),
    options: implementation.options,
  });
  const chosen = shorter.find((one) => budget.predict(one) <= DISPATCH_SECONDS) ?? shorter.at(-1);
  if (!chosen) return;
  session.step(`${entry.id}: trying how fast it is`);
  try {
    const inputs = await accessOf(session).createInputs(session, [chosen]);
    try {
      const layer = await implementation.prepare(gpu, chosen.problem, { inputs, seed, signal });
      try {
        // The first one compiles and allocates.
        await layer.execute({ signal });
        const before = await clock.settle({ signal });
        const { result: timing, off } = await clock.around(
          before,
          () => layer.execute({ signal }),
        );
        learnTime(session, chosen, { timing, off });
      } finally {
        await layer.destroy();
      }
    } finally {
      inputs.destroy();
    }
  } catch (error) {
    // The case itself finds and records why it does not run.
    rethrowFatal(session, error);
  }
}

/** The same layer at half its context, a quarter and so on, as far as it can be planned. */
function shorterCases(
  entry: PlannedCase,
  { plan, options: descriptors }: {
    plan: (problem: PlannedCase["problem"]) => NonNullable<PlannedCase["plan"]>;
    options: readonly OptionDescriptor[];
  },
): PlannedCase[] {
  const { shape, options } = entry.problem;
  const found: PlannedCase[] = [];
  for (let factor = 2; shape.context / factor >= TRY_CONTEXT; factor *= 2) {
    const context = Math.floor(shape.context / factor);
    // Options that follow the context by a rule shrink with it.
    const scaled = descriptors.filter(({ rule }) => rule).map(({ name, multipleOf = 1 }) => [
      name,
      multipleOf * Math.max(1, Math.round((options?.[name] ?? 0) / factor / multipleOf)),
    ]);
    const problem = {
      ...entry.problem,
      shape: { ...shape, context },
      ...(options && { options: { ...options, ...Object.fromEntries(scaled) } }),
    };
    try {
      found.push({ ...entry, problem, plan: plan(problem) });
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }
  return found;
}

/** The budget learns the duration of an execution; where the clock was down, an upper bound. */
export function learnTime(
  { budget, calibration }: Pick<Session, "budget" | "calibration">,
  entry: PlannedCase,
  { timing, off }: Pick<FirstRun, "timing" | "off">,
): void {
  const seconds = calibration.secondsOf(timing);
  if (off) budget.learnAtMost(entry, seconds);
  else budget.learn(entry, { seconds, wallSeconds: timing.wallSeconds });
}
