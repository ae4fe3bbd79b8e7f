/**
 * What a run will do, before anything is allocated: profile and options in, ordered groups of cases
 * out. Pure: it needs the capability record of a device, not the device.
 *
 * @module
 */
import { showExcess } from "../../kernels/gpu/bytes.ts";
import type { DType } from "../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import type {
  Direction,
  ImplementationPlan,
  OptionDescriptor,
  Problem,
} from "../../kernels/implementation.ts";
import { errorLine, UsageError } from "../errors.ts";
import { expandNames, findImplementation, type Measurable } from "./measurable.ts";
import { PEER_PREFIX } from "./measurable.ts";
import {
  type KRule,
  loadProfile,
  type OptionGrid,
  type Profile,
  resolveRule,
  type SuiteName,
} from "./profile.ts";
import type { CalibrationRecord } from "../result/result_schema.ts";

/** The baseline of every ratio. */
export const BASELINE = "dense";

/** What a user may set; everything else comes from the profile. */
export interface PlanOptions {
  /** `smoke`, `standard` or `paper`: where everything else comes from. */
  profile: string;
  /** Suites to run. */
  suites?: readonly SuiteName[];
  /** Implementations to time, by name. */
  implementations?: readonly string[];
  /** Scorers of the Lighthouse implementations to time. */
  scorers?: readonly string[];
  /** Directions to time. */
  directions?: readonly Direction[];
  /** N, tokens. */
  contexts?: readonly number[];
  /** H. */
  heads?: readonly number[];
  /** d. */
  headDims?: readonly number[];
  /** Storage; `auto` is f16 where the device has it, else f32. */
  dtype?: "auto" | DType;
  /** Values of options by the option's name, for example `{ levels: [3], k: [1536, "N/64"] }`. */
  options?: Readonly<Record<string, readonly KRule[]>>;
  /** Samples of each case, instead of the profile's range. */
  samples?: number;
  /** Seconds that checking and measuring may take. */
  budgetSeconds?: number;
  /** Names of registered peers to measure beside the rest. */
  peerNames?: readonly string[];
}

/** What the planner needs to know of a device. */
export type PlannedDevice = Pick<Gpu, "capabilities" | "adapter"> & {
  /** Null: unknown. */
  readonly deviceMemoryBytes: number | null;
  /**
   * Memory of the machine, of which cases may take half where that of the device is not known: it may
   * be the same. Default: nothing is skipped for want of memory then.
   */
  readonly systemMemoryBytes?: number;
};

/** One case. */
export interface PlannedCase {
  readonly id: string;
  readonly suite: SuiteName;
  readonly implementation: string;
  readonly direction: Direction;
  readonly problem: Problem;
  /** Rules that gave values of options, by the option's name. */
  readonly rules?: Readonly<Record<string, KRule>>;
  /** What the implementation is one of. */
  readonly family: string;
  /** What ranks entries, for Lighthouse. */
  readonly scorer?: string;
  readonly sweeps: readonly string[];
  /** Absent when the problem is not one that the implementation can compute. */
  readonly plan?: ImplementationPlan;
  /** Why it will not run. */
  readonly skip?: string;
  /** Its time is predicted and not measured. */
  readonly predictedOnly?: boolean;
  /** Samples that it gets before other cases get more than their least, where the budget has room. */
  readonly promisedSamples?: number;
  /** Id of the correctness case that has to pass first; absent for correctness cases. */
  readonly gate?: string;
  /** Direction of that case: one that runs both passes checks the forward pass too. */
  readonly gateDirection?: Direction;
}

/** Cases that share inputs; each candidate is interleaved with the baseline. */
export interface PlannedGroup {
  readonly baseline?: PlannedCase;
  readonly candidates: readonly PlannedCase[];
}

/** A whole run. */
export interface RunPlan {
  readonly profile: Profile;
  readonly dtype: DType;
  /** Correctness cases, in order. */
  readonly checks: readonly PlannedCase[];
  readonly groups: readonly PlannedGroup[];
  readonly throughput: readonly PlannedCase[];
  /** One line each, for the result's notes. */
  readonly notes: readonly string[];
}

/**
 * Plans a run.
 *
 * A combination that cannot be computed is a case skipped with its reason when it is one point of
 * several, and an error when the options ask for nothing else.
 *
 * @throws {UsageError} one line naming the option, the value and the limit.
 */
export function planRun(
  options: PlanOptions,
  device: PlannedDevice,
  registry: readonly Measurable[],
): RunPlan {
  const profile = applyOptions(loadProfile(options.profile), options, registry);
  const dtype = chooseDtype(profile.dtype, device);
  const named = options.implementations !== undefined || options.scorers !== undefined;
  const context: Planning = { profile, dtype, device, registry, named };
  const explicit = SHAPE_OPTIONS.some((name) => options[name] !== undefined);
  const found = latencyCases(context);
  const thorough = attachCheckGates([
    ...found,
    ...profile.suites.includes("throughput") ? throughputCases(context) : [],
  ], registry);
  const timed = thorough.filter(({ suite }) => suite === "latency");
  // Needles are planted without any of these cases.
  const needlesOnly = profile.suites.every((suite) => suite === "retrieval");
  if (!needlesOnly) refuseImpossible(timed, { explicit, named });
  const throughput = thorough.filter(({ suite }) => suite === "throughput");
  const latency = profile.suites.includes("latency") ? timed : [];
  const needed = [...latency, ...throughput].filter((entry) => !entry.skip);
  const checks = checkCases(context, profile.suites.includes("correctness") ? timed : needed);
  const notes: string[] = [];
  return {
    profile,
    dtype,
    checks,
    groups: groupCases(latency, { device, notes }),
    throughput,
    notes,
  };
}

/** The part of a plan that decides what is measured: equal for runs that may be joined. */
export function planIdentity(plan: RunPlan): unknown {
  const identity = (entry: PlannedCase) => {
    const { id, implementation, family, scorer, direction, problem, sweeps } = entry;
    return { id, implementation, family, scorer, direction, problem, sweeps };
  };
  return {
    checks: plan.checks.map(identity),
    // How cases share a device's memory does not matter.
    groups: [
      ...new Map(
        plan.groups.flatMap(({ baseline, candidates }) => [
          ...baseline ? [baseline] : [],
          ...candidates,
        ]).map((entry) => [entry.id, identity(entry)]),
      ).values(),
    ].sort((a, b) => a.id < b.id ? -1 : 1),
    throughput: plan.throughput.map(identity),
    samples: plan.profile.samples,
  };
}

/**
 * Seconds that one execution is predicted to take: arithmetic at a share of the measured f32 rate,
 * bytes at half of the measured copy rate, and each stage's pass. `scale` is what earlier cases of
 * the same implementation took over their own prediction.
 */
export function predictSeconds(
  plan: Pick<ImplementationPlan, "stages">,
  options: { calibration: CalibrationRecord | null; scale?: number },
): number {
  const { calibration } = options;
  const flopsPerSecond = ASSUMED_SHARE * (calibration?.fmaF32?.median ?? 1e12);
  const bytesPerSecond = 0.5 * (calibration?.copy?.median ?? 1e11);
  const pass = calibration?.emptyPass?.median ?? 0;
  let seconds = 0;
  for (const stage of plan.stages) {
    seconds += stage.flops / flopsPerSecond + stage.bytes / bytesPerSecond + pass;
  }
  return seconds * (options.scale ?? 1);
}

/** Share of the FMA rate that a kernel is assumed to reach before any has been seen. */
const ASSUMED_SHARE = 0.15;

/** Share of the device's memory that a case may take: the rest is the system's and the driver's. */
const MEMORY_SHARE = 0.9;

/** Share of the machine's memory that a case may take of a device that may have none of its own. */
const SYSTEM_MEMORY_SHARE = 0.5;

const SHAPE_OPTIONS = ["contexts", "heads", "headDims", "options"] as const;

/** Options to be combined, and what they are combined for. */
type Sweep =
  & { readonly options: OptionGrid }
  & Partial<
    Pick<
      Profile["sweeps"][number],
      "implementations" | "directions" | "predictedOnly" | "promisedSamples"
    >
  >;

interface Planning {
  readonly profile: Profile;
  readonly dtype: DType;
  readonly device: PlannedDevice;
  readonly registry: readonly Measurable[];
  /** Whether implementations were asked for by name. */
  readonly named: boolean;
}

function applyOptions(
  profile: Profile,
  options: PlanOptions,
  registry: readonly Measurable[],
): Profile {
  const implementations = [
    ...chooseImplementations(profile, options, registry),
    ...options.peerNames ?? [],
  ];
  const directions = [...options.directions ?? profile.directions];
  for (const direction of directions) {
    const able = registry.filter((entry) => entry.directions.includes(direction));
    if (able.length === 0) {
      const known = new Set(registry.flatMap((entry) => entry.directions));
      throw new UsageError(
        `direction ${direction} is not one that any implementation computes: ${
          [...known].join(", ")
        }`,
      );
    }
  }
  const grid = SHAPE_OPTIONS.some((name) => options[name] !== undefined);
  const named = options.implementations !== undefined || options.scorers !== undefined;
  const contexts = [...options.contexts ?? profile.contexts];
  const samples = options.samples === undefined
    ? profile.samples
    : { minimum: options.samples, maximum: options.samples };
  const { longest, ...rest } = profile;
  return {
    ...rest,
    suites: [...options.suites?.length ? options.suites : profile.suites],
    implementations,
    directions,
    contexts,
    heads: [...options.heads ?? profile.heads],
    headDims: [...options.headDims ?? profile.headDims],
    dtype: options.dtype ?? profile.dtype,
    options: { ...profile.options, ...chosenOptions(options, registry) },
    ...(longest && !options.contexts && { longest }),
    // Options that shape the grid replace the sweeps: the user's grid is the sweep then.
    sweeps: grid
      ? []
      : named
      ? profile.sweeps.flatMap((sweep) => narrow(sweep, { ...options, implementations }))
      : profile.sweeps.flatMap((sweep) =>
        narrow(sweep, { ...options, implementations: sweep.implementations ?? [] })
      ).map((sweep) => ({
        ...sweep,
        ...(sweep.implementations && {
          implementations: expandNames(sweep.implementations, registry),
        }),
      })),
    throughput: {
      contexts: options.contexts ? [...new Set(contexts)] : profile.throughput.contexts,
      ...(!options.directions && profile.throughput.directions && {
        directions: profile.throughput.directions,
      }),
    },
    samples,
    budgetSeconds: options.budgetSeconds ?? profile.budgetSeconds,
  };
}

/** What options leave of a sweep: nothing where they name none of its Lighthouse settings. */
function narrow(
  sweep: Profile["sweeps"][number],
  options: { implementations: readonly string[]; directions?: readonly Direction[] },
): Profile["sweeps"] {
  const implementations = sweep.implementations?.filter((name) =>
    options.implementations.includes(name)
  );
  const directions = sweep.directions?.filter((name) => options.directions?.includes(name) ?? true);
  if (implementations?.every((name) => name === BASELINE) || directions?.length === 0) return [];
  return [{
    ...sweep,
    ...(implementations && { implementations }),
    ...(directions && { directions }),
  }];
}

function chooseImplementations(
  profile: Profile,
  options: PlanOptions,
  registry: readonly Measurable[],
): string[] {
  const known = registry.map(({ name }) => name);
  for (const name of options.implementations ?? []) {
    if (!known.includes(name)) {
      throw new UsageError(`implementation ${name} is not one of ${known.join(", ")}`);
    }
  }
  const chosen = options.implementations
    ? [...options.implementations]
    : expandNames(profile.implementations, registry);
  if (!options.scorers) return chosen;
  const ours = registry.filter(({ peer, scorer }) => !peer && scorer);
  const others = chosen.filter((name) => !ours.some((entry) => entry.name === name));
  const wanted = options.scorers.map((scorer) => {
    const entry = ours.find((entry) => entry.scorer!.name === scorer);
    if (entry) return entry.name;
    const names = ours.map((entry) => entry.scorer!.name).join(", ");
    throw new UsageError(`scorer ${scorer} is not one of ${names}`);
  });
  return [...others, ...wanted];
}

/** Values that were asked for, each of an option that an implementation has. */
function chosenOptions(options: PlanOptions, registry: readonly Measurable[]): OptionGrid {
  const known = new Map(registry.flatMap((entry) => entry.options).map((one) => [one.name, one]));
  const grid: OptionGrid = {};
  for (const [name, values] of Object.entries(options.options ?? {})) {
    const option = known.get(name);
    if (!option) {
      throw new UsageError(`option ${name} is not one of ${[...known.keys()].join(", ")}`);
    }
    const rule = values.find((value) => typeof value === "string");
    if (rule !== undefined && !option.rule) {
      throw new UsageError(`${name} ${rule} is a rule, and ${name} takes numbers alone`);
    }
    grid[name] = [...values];
  }
  return grid;
}

function chooseDtype(dtype: Profile["dtype"], device: PlannedDevice): DType {
  if (dtype !== "auto") return dtype;
  return device.capabilities.f16 ? "f16" : "f32";
}

function latencyCases(planning: Planning): PlannedCase[] {
  const { profile } = planning;
  const cases = new Map<string, PlannedCase>();
  const add = (entry: PlannedCase) => {
    const seen = cases.get(entry.id);
    const sweeps = [...new Set([...seen?.sweeps ?? [], ...entry.sweeps])];
    const rules = seen?.rules ?? entry.rules;
    cases.set(entry.id, { ...seen ?? entry, ...(rules && { rules }), sweeps });
  };
  const each = (context: number, sweep: string, grid: Sweep) => {
    for (const direction of grid.directions ?? profile.directions) {
      for (const heads of profile.heads) {
        for (const headDim of profile.headDims) {
          const shape = { heads, context, headDim, dtype: planning.dtype };
          for (const name of [...grid.implementations ?? profile.implementations]) {
            const { options: values } = grid;
            const options = { name, direction, shape, grid: values, suite: "latency" as const };
            for (const entry of planImplementation(planning, options)) {
              const predictedOnly = grid.predictedOnly?.includes(name);
              const { promisedSamples } = grid;
              add({
                ...entry,
                sweeps: [sweep],
                ...(predictedOnly && { predictedOnly }),
                ...(promisedSamples && { promisedSamples }),
              });
            }
          }
        }
      }
    }
  };
  for (const context of profile.contexts) {
    const directions = profile.directions.filter((direction) =>
      context <= (profile.longest?.[direction] ?? Infinity)
    );
    each(context, "context", { ...profile, directions, implementations: undefined });
  }
  for (const sweep of profile.sweeps) {
    each(sweep.context, sweep.name, {
      ...sweep,
      options: { ...profile.options, ...sweep.options },
    });
  }
  return [...cases.values()];
}

function throughputCases(planning: Planning): PlannedCase[] {
  const { profile } = planning;
  const first = Object.entries(profile.options).map(([name, values]) => [name, [values[0]]]);
  const grid: OptionGrid = Object.fromEntries(first);
  const { contexts, directions = profile.directions } = profile.throughput;
  // Its samples are wall clock, which for a peer holds the way to its process.
  const own = profile.implementations.filter((name) =>
    !planning.registry.some((entry) => entry.peer && entry.name === name)
  );
  const chosen = directions.filter((direction) => profile.directions.includes(direction));
  return contexts.flatMap((context) =>
    chosen.flatMap((direction) =>
      own.flatMap((name) =>
        planImplementation(planning, {
          name,
          direction,
          shape: {
            heads: profile.heads[0],
            context,
            headDim: profile.headDims[0],
            dtype: planning.dtype,
          },
          grid,
          suite: "throughput",
        })
      )
    )
  );
}

/** The cases of one implementation at one shape: all combinations of the values of its options. */
function planImplementation(
  planning: Planning,
  options: {
    name: string;
    direction: Direction;
    shape: Problem["shape"];
    grid: OptionGrid;
    suite: SuiteName;
  },
): PlannedCase[] {
  const { name, direction, shape, grid, suite } = options;
  const entry = planning.registry.find((entry) => entry.name === name);
  if (!entry || !entry.directions.includes(direction)) return [];
  let chosen: Record<string, KRule>[] = [{}];
  for (const option of entry.options) {
    const values = grid[option.name] ?? [option.initial as KRule];
    chosen = chosen.flatMap((one) => values.map((value) => ({ ...one, [option.name]: value })));
  }
  return chosen.map((rules) => {
    const options = entry.options.length === 0 ? undefined : Object.fromEntries(
      entry.options.map((one) => [one.name, resolveRule(rules[one.name], shape.context, one)]),
    );
    const problem = withDirection({ shape, ...(options && { options }) }, direction);
    return planCase(planning, { suite, name, direction, problem, rules });
  });
}

function planCase(
  planning: Planning,
  options: {
    suite: SuiteName;
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
  try {
    const plan = implementation.plan(device, problem);
    const skip = lackOfMemory(plan, device);
    return { ...base, plan, ...(skip !== undefined && { skip }) };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return { ...base, skip: errorLine(error) };
  }
}

/** Stable identity of a case: `latency/dense/forward/N8192-H8-d128-f16`. */
export function caseId(
  entry: {
    suite: SuiteName;
    implementation: Pick<Measurable, "name" | "options">;
    direction: Direction;
    problem: Problem;
  },
): string {
  const { suite, implementation, direction, problem } = entry;
  return `${suite}/${implementation.name}/${direction}/${
    problemId(problem, implementation.options)
  }`;
}

/** The part of a case id that says what the layer is: `N8192-H8-d128-f16-L3-p4-k128`. */
export function problemId(
  { shape, options = {} }: Problem,
  descriptors: readonly OptionDescriptor[],
): string {
  const { context, heads, headDim, dtype } = shape;
  const own = descriptors.filter(({ name }) => options[name] !== undefined)
    .map(({ name, letter }) => `${letter}${options[name]}`);
  return [`N${context}`, `H${heads}`, `d${headDim}`, dtype, ...own].join("-");
}

/**
 * The smallest problem that exercises the same code as `problem`, where a float64 reference of the
 * whole output is affordable.
 */
export function checkProblem(
  problem: Problem,
  { smallest }: Pick<Measurable, "smallest">,
): Problem {
  if (smallest) return smallest(problem);
  // An odd length past every tile size.
  return { ...problem, shape: { ...problem.shape, heads: 2, context: 193 } };
}

/** The same work in another direction. */
function withDirection({ shape, options }: Problem, direction: Direction): Problem {
  const work = { shape, ...(options && { options }) };
  return direction === "forward" ? work : { ...work, direction };
}

/** Cases with their gates: where both passes are checked anyway, the forward pass alone is not. */
function attachCheckGates(
  cases: readonly PlannedCase[],
  registry: readonly Measurable[],
): PlannedCase[] {
  const gateOf = ({ implementation: name, problem }: PlannedCase, direction: Direction) => {
    const implementation = findImplementation(registry, name);
    const small = checkProblem(withDirection(problem, direction), implementation);
    return caseId({ suite: "correctness", implementation, direction, problem: small });
  };
  const both = "forward-backward";
  const planned = new Set(
    cases.filter((entry) => entry.plan && entry.direction === both)
      .map((entry) => gateOf(entry, both)),
  );
  return cases.map((entry) => {
    const gateDirection = planned.has(gateOf(entry, both)) ? both : entry.direction;
    return { ...entry, gateDirection, gate: gateOf(entry, gateDirection) };
  });
}

function checkCases(planning: Planning, timed: readonly PlannedCase[]): PlannedCase[] {
  const { profile, dtype, registry } = planning;
  const checks = new Map<string, PlannedCase>();
  const add = (name: string, direction: Direction, problem: Problem) => {
    const entry = planCase(planning, { suite: "correctness", name, direction, problem });
    if (!checks.has(entry.id)) checks.set(entry.id, entry);
  };
  for (const { plan, implementation, gateDirection, problem } of timed) {
    if (!plan || !gateDirection) continue;
    const own = findImplementation(registry, implementation);
    add(implementation, gateDirection, checkProblem(withDirection(problem, gateDirection), own));
  }
  if (!profile.suites.includes("correctness") || planning.named) return [...checks.values()];
  for (const entry of registry.filter(({ role }) => role === "second-opinion")) {
    for (const direction of profile.directions.filter((d) => entry.directions.includes(d))) {
      for (const headDim of profile.headDims) {
        const shape = { heads: 1, context: 1, headDim, dtype };
        add(entry.name, direction, checkProblem(withDirection({ shape }, direction), entry));
      }
    }
  }
  return [...checks.values()];
}

/**
 * Groups by shape and direction. The contexts of the forward pass come first, since they carry the
 * claims: a budget that runs out must not cost the longest of them. Within that, and among the rest,
 * the lightest come first, so that early cases teach later predictions.
 */
function groupCases(
  cases: readonly PlannedCase[],
  options: { device: PlannedDevice; notes: string[] },
): PlannedGroup[] {
  const byShape = new Map<string, PlannedCase[]>();
  for (const entry of cases) {
    const key = JSON.stringify([entry.direction, entry.problem.shape]);
    byShape.set(key, [...byShape.get(key) ?? [], entry]);
  }
  const groups: PlannedGroup[] = [];
  for (const members of byShape.values()) {
    const baseline = members.find((entry) => entry.implementation === BASELINE);
    const candidates = placePeersAfterCounterparts(members.filter((entry) => entry !== baseline));
    const together = candidates.filter((entry) => fitTogether(baseline, entry, options.device));
    const alone = candidates.filter((entry) => !together.includes(entry));
    groups.push({ baseline, candidates: together });
    for (const entry of alone) {
      options.notes.push(
        `${entry.id} and its baseline do not fit the device's memory together: no ratio`,
      );
      groups.push({ candidates: [entry] });
    }
  }
  // The longest execution of a group decides; equal ones stay in the order of the profile.
  const work = ({ baseline, candidates }: PlannedGroup) =>
    Math.max(
      0,
      ...[baseline, ...candidates].map((entry) =>
        entry?.plan && !entry.predictedOnly ? entry.plan.flops : 0
      ),
    );
  const leads = ({ baseline, candidates }: PlannedGroup) =>
    baseline !== undefined && !baseline.predictedOnly && baseline.direction === "forward" &&
    [baseline, ...candidates].some((entry) => entry.sweeps.includes("context"));
  return groups.sort((a, b) => Number(leads(b)) - Number(leads(a)) || work(a) - work(b));
}

/** Peers of a layer with options right after ours of the same layer, to share its rounds. */
function placePeersAfterCounterparts(cases: readonly PlannedCase[]): PlannedCase[] {
  const moves = (entry: PlannedCase) =>
    entry.problem.options !== undefined && entry.implementation.startsWith(PEER_PREFIX);
  const layerOf = ({ family, scorer, problem }: PlannedCase) =>
    JSON.stringify([family, scorer, problem.options]);
  const ordered = cases.filter((entry) => !moves(entry));
  for (const entry of cases.filter(moves)) {
    const at = ordered.findLastIndex((other) => layerOf(other) === layerOf(entry));
    ordered.splice(at < 0 ? ordered.length : at + 1, 0, entry);
  }
  return ordered;
}

function fitTogether(
  baseline: PlannedCase | undefined,
  candidate: PlannedCase,
  device: PlannedDevice,
): boolean {
  if (!baseline?.plan || !candidate.plan || baseline.skip || candidate.skip) return true;
  if (baseline.predictedOnly) return true;
  const { heads, context, headDim, dtype } = candidate.problem.shape;
  const inputs = 3 * heads * context * headDim * (dtype === "f16" ? 2 : 4);
  return baseline.plan.peakBytes + candidate.plan.peakBytes - inputs <= usableMemory(device);
}

/** Bytes that cases may take of a device's memory; null where that is not known. */
export function memoryLimit(deviceMemoryBytes: number | null): number | null {
  return deviceMemoryBytes === null ? null : Math.floor(deviceMemoryBytes * MEMORY_SHARE);
}

function usableMemory({ deviceMemoryBytes, systemMemoryBytes }: DeviceMemory): number {
  return memoryLimit(deviceMemoryBytes) ??
    (systemMemoryBytes ? Math.floor(systemMemoryBytes * SYSTEM_MEMORY_SHARE) : Infinity);
}

type DeviceMemory = Pick<PlannedDevice, "deviceMemoryBytes" | "systemMemoryBytes">;

/** Why a plan does not fit the device's memory; undefined where it does, or where that is not known. */
export function lackOfMemory(
  { peakBytes }: Pick<ImplementationPlan, "peakBytes">,
  device: DeviceMemory,
): string | undefined {
  const limit = usableMemory(device);
  if (peakBytes <= limit) return undefined;
  const unknown = device.deviceMemoryBytes === null
    ? ", half of the machine's: the device does not report its memory"
    : "";
  const sizes = showExcess(peakBytes, limit);
  return `needs ${sizes.bytes} of device memory; the limit is ${sizes.limit}${unknown}`;
}

/** Throws when options ask for a combination that cannot be computed, and for nothing else. */
function refuseImpossible(
  cases: readonly PlannedCase[],
  options: { explicit: boolean; named: boolean },
): void {
  const { explicit, named } = options;
  if (cases.length === 0) {
    throw new UsageError("the options leave nothing to measure: no implementation matches");
  }
  if (!explicit && !named) return;
  const own = cases.filter(({ implementation }) => !implementation.startsWith(PEER_PREFIX));
  // What was named must run; of what the profile brings, one of each family is enough.
  const groupOf = ({ implementation, family }: PlannedCase) => named ? implementation : family;
  for (const group of new Set(own.map(groupOf))) {
    const entries = own.filter((entry) => groupOf(entry) === group);
    if (!entries.every((entry) => entry.skip)) continue;
    const [{ id, plan, skip }] = entries;
    throw new UsageError(plan ? `${id}: ${skip}` : skip!);
  }
}
