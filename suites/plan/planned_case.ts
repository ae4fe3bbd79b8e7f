/**
 * Cases in a run's plan: what they are, what they cost, and how they are named.
 *
 * @module
 */
import type { DType } from "../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import type {
  Direction,
  ImplementationPlan,
  OptionDescriptor,
  Problem,
} from "../../kernels/implementation.ts";
import { errorLine } from "../errors.ts";
import { findImplementation, type Measurable } from "./measurable.ts";
import { lackOfMemory } from "./memory_limit.ts";
import { type KRule, type OptionGrid, resolveRule } from "./profile.ts";

/** The baseline of every ratio. */
export const BASELINE = "dense";

/** What the planner needs to know of a device. */
export type PlannedDevice = Pick<Gpu, "capabilities" | "adapter"> & {
  /** Null: unknown. */
  readonly deviceMemoryBytes: number | null;
  /**
   * Memory of the machine, of which cases may take half if that of the device is unknown: it may
   * be the same. Default: nothing is skipped for lack of memory then.
   */
  readonly systemMemoryBytes?: number;
};

/** Executions of a case that do not depend on its number of samples. */
export interface Course {
  /** How many in total. */
  readonly executions: number;
  /** Minimum duration. Default 0. */
  readonly leastSeconds?: number;
  /** They are submitted without waiting for each other. Default false. */
  readonly inFlight?: boolean;
}

/** One case. */
export interface PlannedCase {
  readonly id: string;
  /** Empty for a point of the grid. */
  readonly suite: string;
  readonly implementation: string;
  readonly direction: Direction;
  readonly problem: Problem;
  /** Rules that set values of options, by the option's name. */
  readonly rules?: Readonly<Record<string, KRule>>;
  /** The implementation's family. */
  readonly family: string;
  /** The scorer, for Lighthouse. */
  readonly scorer?: string;
  readonly sweeps: readonly string[];
  /** Absent when the implementation cannot compute the problem. */
  readonly plan?: ImplementationPlan;
  /** Why it will not run. */
  readonly skip?: string;
  /** Its time is predicted and not measured. */
  readonly predictedOnly?: boolean;
  /**
   * Samples that it gets before other cases get more than their minimum, if the budget has room.
   */
  readonly promisedSamples?: number;
  /**
   * Cases of one name run at one rate, from which their times are predicted. Default: the
   * implementation.
   */
  readonly rate?: string;
  /** Executions besides its samples. Default: warm-up, and its stages timed separately. */
  readonly course?: Course;
  /**
   * Id of the check that must pass first; absent for checks and for cases that check themselves.
   */
  readonly gate?: string;
  /** Direction of that check: one that runs both passes checks the forward pass too. */
  readonly gateDirection?: Direction;
}

/**
 * Cases that are measured together; each candidate is interleaved with the baseline, if there is
 * one.
 */
export interface PlannedGroup {
  readonly baseline?: PlannedCase;
  readonly candidates: readonly PlannedCase[];
}

/** All cases of a group. */
export function membersOf({ baseline, candidates }: PlannedGroup): PlannedCase[] {
  return [...baseline ? [baseline] : [], ...candidates];
}

/** Cases as groups of one. */
export function alone(entries: readonly PlannedCase[]): PlannedGroup[] {
  return entries.map((entry) => ({ candidates: [entry] }));
}

/** The device and the registry that cases are planned for. */
export interface CasePlanning {
  readonly device: PlannedDevice;
  readonly dtype: DType;
  readonly registry: readonly Measurable[];
}

/**
 * The cases of one implementation at one shape: all combinations of the values of its options, or
 * its presets where the grid has none of them.
 *
 * @param options `firstPreset`: of several presets the first alone. Default: all.
 */
export function planImplementation(
  planning: CasePlanning,
  options: {
    name: string;
    direction: Direction;
    shape: Problem["shape"];
    grid: OptionGrid;
    suite: string;
    firstPreset?: boolean;
  },
): PlannedCase[] {
  const { name, direction, shape, grid, suite, firstPreset } = options;
  const entry = planning.registry.find((entry) => entry.name === name);
  if (!entry || !entry.directions.includes(direction)) return [];
  const asked = entry.options.some(({ name }) => grid[name] !== undefined);
  const presets = asked ? undefined : entry.presets?.map(({ options }) => ({ ...options }));
  let chosen: Record<string, KRule>[] = [{}];
  for (const option of entry.options) {
    const values = grid[option.name] ?? [option.initial as KRule];
    chosen = chosen.flatMap((one) => values.map((value) => ({ ...one, [option.name]: value })));
  }
  if (presets) chosen = firstPreset ? presets.slice(0, 1) : presets;
  return chosen.map((rules) => {
    const options = entry.options.length === 0 ? undefined : Object.fromEntries(
      entry.options.map((one) => [one.name, resolveRule(rules[one.name], shape.context, one)]),
    );
    const problem = withDirection({ shape, ...(options && { options }) }, direction);
    return planCase(planning, { suite, name, direction, problem, rules });
  });
}

/** One case, with the reason if it cannot be computed or does not fit. */
export function planCase(
  planning: CasePlanning,
  options: {
    suite: string;
    name: string;
    direction: Direction;
    problem: Problem;
    rules?: Readonly<Record<string, KRule>>;
  },
): PlannedCase {
  const { device, registry } = planning;
  const { suite, name, direction, problem, rules = {} } = options;
  const implementation = findImplementation(registry, name);
  const own = Object.entries(rules).filter(([, rule]) => typeof rule === "string");
  const base = {
    id: caseId({ suite, implementation, direction, problem }),
    suite,
    implementation: name,
    family: implementation.family,
    ...(implementation.scorer && { scorer: implementation.scorer.name }),
    direction,
    problem,
    ...(own.length > 0 && { rules: Object.fromEntries(own) }),
    sweeps: [],
  };
  const { heads, kvHeads = heads } = problem.shape;
  if (kvHeads !== heads && !implementation.sharedKeys) {
    const skip =
      `plan ${name}: ${kvHeads} key heads for ${heads} heads: it needs one key head a head`;
    return { ...base, skip };
  }
  try {
    const plan = implementation.plan(device, problem);
    const skip = lackOfMemory(plan, device);
    return { ...base, plan, ...(skip !== undefined && { skip }) };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return { ...base, skip: errorLine(error) };
  }
}

/**
 * Stable identity of a case: `latency/dense/forward/N8192-H8-d128-f16`; for a point of the grid,
 * which has no suite yet, without the first part.
 */
export function caseId(
  entry: {
    suite: string;
    implementation: Pick<Measurable, "name" | "options">;
    direction: Direction;
    problem: Problem;
  },
): string {
  const { suite, implementation, direction, problem } = entry;
  const layer = problemId(problem, implementation.options);
  return [...suite === "" ? [] : [suite], implementation.name, direction, layer].join("/");
}

/**
 * The part of a case id that describes the layer: `N8192-H8-d128-f16-L3-p4-k128`, with key heads of
 * their own number `N8192-H8-kv2-d128-f16`.
 */
export function problemId(
  { shape, options = {} }: Problem,
  descriptors: readonly OptionDescriptor[],
): string {
  const { context, heads, kvHeads, headDim, dtype } = shape;
  const keys = kvHeads === undefined ? [] : [`kv${kvHeads}`];
  const own = descriptors.filter(({ name }) => options[name] !== undefined)
    .map(({ name, letter }) => `${letter}${options[name]}`);
  return [`N${context}`, `H${heads}`, ...keys, `d${headDim}`, dtype, ...own].join("-");
}

/** The same work in another direction. */
export function withDirection({ shape, options }: Problem, direction: Direction): Problem {
  const work = { shape, ...(options && { options }) };
  return direction === "forward" ? work : { ...work, direction };
}
