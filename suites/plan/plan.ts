/**
 * What a run will do, before anything is allocated: profile and options in, ordered groups of cases
 * out. Pure: it needs the capability record of a device, not the device.
 *
 * @module
 */
import type { DType } from "../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import type { Direction, ImplementationPlan, Problem } from "../../kernels/implementation.ts";
import { errorLine, UsageError } from "../errors.ts";
import type { Registration } from "./implementations.ts";
import { PEER_PREFIX } from "../peers/peer_plan.ts";
import { type KRule, loadProfile, type Profile, resolveK, type SuiteName } from "./profile.ts";
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
  /** L. */
  levels?: readonly number[];
  /** p. */
  pooling?: readonly number[];
  /** k, or rules that give it. */
  k?: readonly KRule[];
  /** δ of the dilated and gla scorers. */
  dilations?: readonly number[];
  /** Samples of each case, instead of the profile's range. */
  samples?: number;
  /** Seconds that checking and measuring may take. */
  budgetSeconds?: number;
  /** Names of registered peers to measure beside the rest. */
  peerNames?: readonly string[];
}

/** What the planner needs to know of a device. */
export type PlannedDevice = Pick<Gpu, "capabilities" | "adapter"> & {
  /** Null: unknown, nothing is skipped for want of memory. */
  readonly deviceMemoryBytes: number | null;
};

/** One case. */
export interface PlannedCase {
  readonly id: string;
  readonly suite: SuiteName;
  readonly implementation: string;
  readonly direction: Direction;
  readonly problem: Problem;
  /** The rule that gave k, for Lighthouse. */
  readonly kRule?: KRule;
  readonly sweeps: readonly string[];
  /** Absent when the problem is not one that the implementation can compute. */
  readonly plan?: ImplementationPlan;
  /** Why it will not run. */
  readonly skip?: string;
  /** Its time is predicted and not measured. */
  readonly predictedOnly?: boolean;
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
  registry: readonly Registration[],
): RunPlan {
  const profile = applyOptions(loadProfile(options.profile), options, registry);
  const dtype = chooseDtype(profile.dtype, device);
  const context: Planning = { profile, dtype, device, registry };
  const explicit = SHAPE_OPTIONS.some((name) => options[name] !== undefined);
  const found = latencyCases(context);
  const thorough = throughoutChecked([
    ...found,
    ...profile.suites.includes("throughput") ? throughputCases(context) : [],
  ]);
  const timed = thorough.filter(({ suite }) => suite === "latency");
  const named = options.implementations !== undefined || options.scorers !== undefined;
  // Needles are planted without any of these cases.
  const needlesOnly = profile.suites.every((suite) => suite === "retrieval");
  if (!needlesOnly) refuseImpossible(timed, { registry, explicit, named });
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
  const identity = ({ id, implementation, direction, problem, sweeps }: PlannedCase) => ({
    id,
    implementation,
    direction,
    problem,
    sweeps,
  });
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

const SHAPE_OPTIONS = [
  "contexts",
  "heads",
  "headDims",
  "levels",
  "pooling",
  "k",
  "dilations",
] as const;

/** Lighthouse options to be combined, and what they are combined for. */
type Grid = Pick<Profile, "levels" | "pooling" | "k" | "dilations">;
type Sweep =
  & Grid
  & Partial<Pick<Profile["sweeps"][number], "implementations" | "directions" | "predictedOnly">>;

interface Planning {
  readonly profile: Profile;
  readonly dtype: DType;
  readonly device: PlannedDevice;
  readonly registry: readonly Registration[];
}

function applyOptions(
  profile: Profile,
  options: PlanOptions,
  registry: readonly Registration[],
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
    checkedOnly: options.implementations || options.scorers ? [] : profile.checkedOnly,
    directions,
    contexts,
    heads: [...options.heads ?? profile.heads],
    headDims: [...options.headDims ?? profile.headDims],
    dtype: options.dtype ?? profile.dtype,
    levels: [...options.levels ?? profile.levels],
    pooling: [...options.pooling ?? profile.pooling],
    k: [...options.k ?? profile.k],
    dilations: [...options.dilations ?? profile.dilations],
    ...(longest && !options.contexts && { longest }),
    // Options that shape the grid replace the sweeps: the user's grid is the sweep then.
    sweeps: grid
      ? []
      : named
      ? profile.sweeps.flatMap((sweep) => narrow(sweep, { ...options, implementations }))
      : profile.sweeps.flatMap((sweep) =>
        narrow(sweep, { ...options, implementations: sweep.implementations ?? [] })
      ),
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
  registry: readonly Registration[],
): string[] {
  const known = registry.map((entry) => entry.implementation.name);
  for (const name of options.implementations ?? []) {
    if (!known.includes(name)) {
      throw new UsageError(`implementation ${name} is not one of ${known.join(", ")}`);
    }
  }
  const chosen = [...options.implementations ?? profile.implementations];
  if (!options.scorers) return chosen;
  const scorers = registry.flatMap((entry) => entry.scorer ? [entry.scorer as string] : []);
  const kindOf = (name: string) =>
    registry.find((entry) => entry.implementation.name === name)?.kind;
  const others = chosen.filter((name) => kindOf(name) !== "lighthouse");
  const wanted = options.scorers.map((scorer) => {
    const entry = registry.find((entry) => entry.scorer === scorer);
    if (!entry) throw new UsageError(`scorer ${scorer} is not one of ${scorers.join(", ")}`);
    return entry.implementation.name;
  });
  return [...others, ...wanted];
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
    cases.set(entry.id, { ...seen ?? entry, kRule: seen?.kRule ?? entry.kRule, sweeps });
  };
  const each = (context: number, sweep: string, grid: Sweep) => {
    for (const direction of grid.directions ?? profile.directions) {
      if (sweep === "context" && context > (profile.longest?.[direction] ?? Infinity)) continue;
      for (const heads of profile.heads) {
        for (const headDim of profile.headDims) {
          const shape = { heads, context, headDim, dtype: planning.dtype };
          for (const name of [...grid.implementations ?? profile.implementations]) {
            const options = { name, direction, shape, grid, suite: "latency" as const };
            for (const entry of planImplementation(planning, options)) {
              const predictedOnly = grid.predictedOnly?.includes(name);
              add({ ...entry, sweeps: [sweep], ...(predictedOnly && { predictedOnly }) });
            }
          }
        }
      }
    }
  };
  for (const context of profile.contexts) {
    each(context, "context", { ...profile, directions: undefined, implementations: undefined });
  }
  for (const sweep of profile.sweeps) {
    each(sweep.context, sweep.name, { dilations: profile.dilations, ...sweep });
  }
  return [...cases.values()];
}

function throughputCases(planning: Planning): PlannedCase[] {
  const { profile } = planning;
  const grid = {
    levels: profile.levels.slice(0, 1),
    pooling: profile.pooling.slice(0, 1),
    k: profile.k.slice(0, 1),
    dilations: profile.dilations.slice(0, 1),
  };
  const { contexts, directions = profile.directions } = profile.throughput;
  // Its samples are wall clock, which for a peer holds the way to its process.
  const own = profile.implementations.filter((name) =>
    !planning.registry.some((entry) => entry.peer && entry.implementation.name === name)
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

/** The cases of one implementation at one shape: one for dense, a grid for Lighthouse. */
function planImplementation(
  planning: Planning,
  options: {
    name: string;
    direction: Direction;
    shape: Problem["shape"];
    grid: Grid;
    suite: SuiteName;
  },
): PlannedCase[] {
  const { name, direction, shape, grid, suite } = options;
  const entry = planning.registry.find((entry) => entry.implementation.name === name);
  if (!entry || !entry.directions.includes(direction)) return [];
  const build = (work: Omit<Problem, "direction">, kRule?: KRule) => {
    return planCase(planning, { suite, name, direction, problem: turn(work, direction), kRule });
  };
  if (entry.kind === "dense") return [build({ shape })];
  const scorer = entry.scorer ?? "norm";
  const dilations = scorer === "norm" ? [undefined] : grid.dilations;
  return grid.levels.flatMap((levels) =>
    grid.pooling.flatMap((pooling) =>
      grid.k.flatMap((rule) =>
        dilations.map((dilation) => {
          const k = resolveK(rule, shape.context);
          const lighthouse = { levels, pooling, k, scorer, ...(dilation && { dilation }) };
          return build({ shape, lighthouse }, rule);
        })
      )
    )
  );
}

function planCase(
  planning: Planning,
  options: {
    suite: SuiteName;
    name: string;
    direction: Direction;
    problem: Problem;
    kRule?: KRule;
  },
): PlannedCase {
  const { device, registry } = planning;
  const { suite, name, direction, problem, kRule } = options;
  const base = {
    id: caseId(options),
    suite,
    implementation: name,
    direction,
    problem,
    kRule,
    sweeps: [],
  };
  const { implementation } = registry.find((entry) => entry.implementation.name === name)!;
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
  options: { suite: SuiteName; name: string; direction: Direction; problem: Problem },
): string {
  const { suite, name, direction, problem } = options;
  const { context, heads, headDim, dtype } = problem.shape;
  const parts = [`N${context}`, `H${heads}`, `d${headDim}`, dtype];
  if (problem.lighthouse) {
    const { levels, pooling, k, dilation } = problem.lighthouse;
    parts.push(`L${levels}`, `p${pooling}`, `k${k}`);
    if (dilation !== undefined) parts.push(`δ${dilation}`);
  }
  return `${suite}/${name}/${direction}/${parts.join("-")}`;
}

/**
 * The smallest problem that exercises the same code as `problem`, where a float64 reference of the
 * whole output is affordable: for dense attention an odd length past every tile size, for
 * Lighthouse one selection tile with its least number of coarsest entries.
 */
export function checkProblem(problem: Problem): Problem {
  const { shape, lighthouse } = problem;
  if (!lighthouse) return { ...problem, shape: { ...shape, heads: 2, context: 193 } };
  const windows = 128 * lighthouse.pooling ** (lighthouse.levels - 1);
  const { dilation = 1 } = lighthouse;
  const context = windows * dilation / greatestCommonDivisor(windows, dilation);
  const heads = context <= 2048 ? 2 : 1;
  return { ...problem, shape: { ...shape, heads, context }, lighthouse: { ...lighthouse, k: 128 } };
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

/** The same work in another direction. */
function turn({ shape, lighthouse }: Problem, direction: Direction): Problem {
  const work = { shape, ...(lighthouse && { lighthouse }) };
  return direction === "forward" ? work : { ...work, direction };
}

/** Cases with their gates: where both passes are checked anyway, the forward pass alone is not. */
function throughoutChecked(cases: readonly PlannedCase[]): PlannedCase[] {
  const gateOf = ({ implementation: name, problem }: PlannedCase, direction: Direction) =>
    caseId({
      suite: "correctness",
      name,
      direction,
      problem: checkProblem(turn(problem, direction)),
    });
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
    add(implementation, gateDirection, checkProblem(turn(problem, gateDirection)));
  }
  if (!profile.suites.includes("correctness")) return [...checks.values()];
  for (const name of profile.checkedOnly) {
    const entry = registry.find((entry) => entry.implementation.name === name);
    if (entry?.kind !== "dense") continue;
    for (const direction of profile.directions.filter((d) => entry.directions.includes(d))) {
      for (const headDim of profile.headDims) {
        add(name, direction, checkProblem({ shape: { heads: 1, context: 1, headDim, dtype } }));
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
    const candidates = besideTheirLike(members.filter((entry) => entry !== baseline));
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

/** Peers of a Lighthouse layer right after ours of the same geometry, to share its rounds. */
function besideTheirLike(cases: readonly PlannedCase[]): PlannedCase[] {
  const moves = (entry: PlannedCase) =>
    entry.problem.lighthouse !== undefined && entry.implementation.startsWith(PEER_PREFIX);
  const geometry = ({ problem }: PlannedCase) => JSON.stringify(problem.lighthouse);
  const ordered = cases.filter((entry) => !moves(entry));
  for (const entry of cases.filter(moves)) {
    const at = ordered.findLastIndex((other) => geometry(other) === geometry(entry));
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

function usableMemory({ deviceMemoryBytes }: PlannedDevice): number {
  return memoryLimit(deviceMemoryBytes) ?? Infinity;
}

/** Why a plan does not fit the device's memory; undefined where it does, or where that is not known. */
export function lackOfMemory(
  { peakBytes }: Pick<ImplementationPlan, "peakBytes">,
  device: Pick<PlannedDevice, "deviceMemoryBytes">,
): string | undefined {
  const limit = memoryLimit(device.deviceMemoryBytes) ?? Infinity;
  if (peakBytes <= limit) return undefined;
  return `needs ${peakBytes} bytes of device memory, ${limit} may be used`;
}

/** Throws when options ask for a combination that cannot be computed, and for nothing else. */
function refuseImpossible(
  cases: readonly PlannedCase[],
  options: { registry: readonly Registration[]; explicit: boolean; named: boolean },
): void {
  const { registry, explicit, named } = options;
  if (cases.length === 0) {
    throw new UsageError("the options leave nothing to measure: no implementation matches");
  }
  if (!explicit && !named) return;
  const own = cases.filter(({ implementation }) => !implementation.startsWith(PEER_PREFIX));
  // What was named must run; of what the profile brings, one of each kind is enough.
  const groupOf = ({ implementation }: PlannedCase) =>
    named
      ? implementation
      : registry.find((entry) => entry.implementation.name === implementation)!.kind;
  for (const group of new Set(own.map(groupOf))) {
    const entries = own.filter((entry) => groupOf(entry) === group);
    if (!entries.every((entry) => entry.skip)) continue;
    const [{ id, plan, skip }] = entries;
    throw new UsageError(plan ? `${id}: ${skip}` : skip!);
  }
}
