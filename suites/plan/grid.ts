/**
 * The grid of layers that a profile and options request, and what a suite needs to plan its cases.
 *
 * @module
 */
import type { DType } from "../../kernels/gpu/buffers.ts";
import type { AttentionShape } from "../../kernels/implementation.ts";
import { UsageError } from "../errors.ts";
import { type Measurable, PEER_PREFIX, requireUniqueNames } from "./measurable.ts";
import {
  applyOptions,
  chooseDtype,
  namesImplementations,
  type PlanOptions,
  shapesGrid,
} from "./plan_options.ts";
import {
  type CasePlanning,
  planImplementation,
  type PlannedCase,
  type PlannedDevice,
} from "./planned_case.ts";
import { loadProfile, type OptionGrid, type Profile } from "./profile.ts";

/** What a suite plans its cases from. */
export interface Planning extends CasePlanning {
  /** With the options applied. */
  readonly profile: Profile;
  readonly dtype: DType;
  readonly options: PlanOptions;
  /** The points of the grid, as cases without a suite; {@linkcode caseOf} assigns one. */
  readonly grid: readonly PlannedCase[];
}

/**
 * Begins a plan.
 *
 * @throws {UsageError} one line naming the option, the value and the limit.
 */
export function startPlanning(
  options: PlanOptions,
  device: PlannedDevice,
  registry: readonly Measurable[],
): Planning {
  requireUniqueNames(registry);
  const profile = applyOptions(loadProfile(options.profile), options, registry);
  const dtype = chooseDtype(profile.dtype, device);
  const planning = { profile, dtype, device, registry };
  let grid: readonly PlannedCase[] | undefined;
  return {
    ...planning,
    options,
    // Made when a suite asks: training has cases of its own, and the grid of a profile takes a
    // second.
    get grid() {
      return grid ??= gridPoints(planning);
    },
  };
}

/** Whether a suite was requested by name. */
export function isAsked(options: Pick<PlanOptions, "suites">, suite: string): boolean {
  return options.suites?.includes(suite) ?? false;
}

/** A point of the grid as a case of a suite. */
export function caseOf(point: PlannedCase, suite: string): PlannedCase {
  return { ...point, suite, id: `${suite}/${point.id}` };
}

/** Options to combine, and what they apply to. */
type Sweep =
  & { readonly options: OptionGrid }
  & Partial<
    Pick<
      Profile["sweeps"][number],
      "kvHeads" | "implementations" | "directions" | "predictedOnly" | "promisedSamples"
    >
  >;

function gridPoints(planning: Omit<Planning, "options" | "grid">): PlannedCase[] {
  const { profile, dtype } = planning;
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
          for (const shape of withKeyHeads({ heads, context, headDim, dtype }, grid.kvHeads)) {
            for (const name of [...grid.implementations ?? profile.implementations]) {
              const { options: values } = grid;
              const options = { name, direction, shape, grid: values, suite: "" };
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
    }
  };
  for (const context of profile.contexts) {
    const directions = profile.directions.filter((direction) =>
      context <= (profile.longest?.[direction] ?? Infinity)
    );
    each(context, "context", { ...profile, directions, implementations: undefined });
  }
  for (const sweep of profile.sweeps) {
    for (const context of sweep.context === undefined ? profile.contexts : [sweep.context]) {
      each(context, sweep.name, {
        kvHeads: profile.kvHeads,
        ...sweep,
        options: { ...profile.options, ...sweep.options },
      });
    }
  }
  return [...cases.values()];
}

/**
 * A shape with each number of key heads; as many as heads is the default, which shapes leave out.
 */
function withKeyHeads(
  shape: Omit<AttentionShape, "kvHeads">,
  kvHeads: readonly number[] | undefined,
): AttentionShape[] {
  const { heads, ...rest } = shape;
  return (kvHeads ?? [heads]).map((keys) =>
    keys === heads ? shape : { heads, kvHeads: keys, ...rest }
  );
}

/**
 * Refuses options that request only combinations that cannot be computed.
 *
 * @throws {UsageError} one line naming the option, the value and the limit.
 */
export function refuseImpossible({ grid: cases, options }: Planning): void {
  const named = namesImplementations(options);
  if (cases.length === 0) {
    throw new UsageError("the options leave nothing to measure: no implementation matches");
  }
  if (!shapesGrid(options) && !named) return;
  const own = cases.filter(({ implementation }) => !implementation.startsWith(PEER_PREFIX));
  // Everything that was named must run; of the profile's own, one of each family is enough.
  const groupOf = ({ implementation, family }: PlannedCase) => named ? implementation : family;
  for (const group of new Set(own.map(groupOf))) {
    const entries = own.filter((entry) => groupOf(entry) === group);
    if (!entries.every((entry) => entry.skip)) continue;
    const [{ id, plan, skip }] = entries;
    throw new UsageError(plan ? `${id}: ${skip}` : skip!);
  }
}
