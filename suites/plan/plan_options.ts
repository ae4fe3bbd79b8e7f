/**
 * What a user may set, and the profile with those settings applied.
 *
 * @module
 */
import type { DType } from "../../kernels/gpu/buffers.ts";
import type { Direction } from "../../kernels/implementation.ts";
import { UsageError } from "../errors.ts";
import { expandNames, type Measurable } from "./measurable.ts";
import { BASELINE } from "./planned_case.ts";
import type { KRule, OptionGrid, Profile } from "./profile.ts";

/** What a user may set; everything else comes from the profile. */
export interface PlanOptions {
  /** `smoke`, `standard` or `paper`: the source of everything else. */
  profile: string;
  /** Suites to run. */
  suites?: readonly string[];
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
  /** Hkv; default: H. */
  kvHeads?: readonly number[];
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
  /** Options of single suites, by the suite's name: `{ retrieval: { trials: 100 } }`. */
  settings?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /**
   * Ignores options of implementations that the run does not have, which results of earlier
   * versions may name. Default false: they are refused.
   */
  ignoreUnused?: boolean;
  /** Names of registered peers to measure beside the rest. */
  peerNames?: readonly string[];
}

/** Options that shape the grid of layers. */
export const SHAPE_OPTIONS = ["contexts", "heads", "kvHeads", "headDims", "options"] as const;

/** Whether options define another grid than the profile's. */
export function shapesGrid(options: Partial<PlanOptions>): boolean {
  return SHAPE_OPTIONS.some((name) => options[name] !== undefined);
}

/** Whether implementations are requested by name. */
export function namesImplementations(options: Partial<PlanOptions>): boolean {
  return options.implementations !== undefined || options.scorers !== undefined;
}

/**
 * The profile with the options applied.
 *
 * @throws {UsageError} one line naming the option, the value and the limit.
 */
export function applyOptions(
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
  const grid = shapesGrid(options);
  const named = namesImplementations(options);
  // Sweeps over the contexts of the profile are over those of the options; others replace them.
  const swept = options.options ?? options.kvHeads
    ? []
    : grid
    ? profile.sweeps.filter(({ context }) => context === undefined)
    : profile.sweeps;
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
    ...(options.kvHeads && { kvHeads: [...options.kvHeads] }),
    headDims: [...options.headDims ?? profile.headDims],
    dtype: options.dtype ?? profile.dtype,
    options: { ...profile.options, ...chosenOptions(options, registry, implementations) },
    ...(longest && !options.contexts && { longest }),
    // Options that define the grid replace the sweeps: the user's grid is then the sweep.
    sweeps: named
      ? swept.flatMap((sweep) => narrow(sweep, { ...options, implementations }))
      : swept.flatMap((sweep) =>
        narrow(sweep, { ...options, implementations: sweep.implementations ?? [] })
      ).map((sweep) => ({
        ...sweep,
        ...(sweep.implementations && {
          implementations: expandNames(sweep.implementations, registry),
        }),
      })),
    samples,
    budgetSeconds: options.budgetSeconds ?? profile.budgetSeconds,
  };
}

/** The part of a sweep that options keep: nothing if they name none of its Lighthouse settings. */
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
  // Scorers are Lighthouse's: of what else was not named, the baseline's family stays beside them.
  const others = chosen.filter((name) =>
    options.implementations
      ? !ours.some((entry) => entry.name === name)
      : registry.some((entry) => entry.name === name && entry.family === BASELINE)
  );
  const wanted = options.scorers.map((scorer) => {
    const entry = ours.find((entry) => entry.scorer!.name === scorer);
    if (entry) return entry.name;
    const names = ours.map((entry) => entry.scorer!.name).join(", ");
    throw new UsageError(`scorer ${scorer} is not one of ${names}`);
  });
  return [...others, ...wanted];
}

/** Requested values, each of an option that a chosen implementation has. */
function chosenOptions(
  options: PlanOptions,
  registry: readonly Measurable[],
  chosen: readonly string[],
): OptionGrid {
  const known = new Map(registry.flatMap((entry) => entry.options).map((one) => [one.name, one]));
  const grid: OptionGrid = {};
  for (const [name, values] of Object.entries(options.options ?? {})) {
    const option = known.get(name);
    if (!option) {
      throw new UsageError(`option ${name} is not one of ${[...known.keys()].join(", ")}`);
    }
    const takers = registry.filter((entry) => entry.options.some((one) => one.name === name));
    if (!options.ignoreUnused && !takers.some((entry) => chosen.includes(entry.name))) {
      throw new UsageError(
        `--${option.flag} ${values.join(",")} reaches no case: it is for ${
          takers.map((entry) => entry.name).join(", ")
        }, and the run has ${chosen.join(", ")}`,
      );
    }
    const rule = values.find((value) => typeof value === "string");
    const ruled = takers.flatMap((entry) => entry.options).some((one) =>
      one.name === name && one.rule
    );
    if (rule !== undefined && !ruled) {
      throw new UsageError(`${name} ${rule} is a rule, and ${name} takes numbers alone`);
    }
    grid[name] = [...values];
  }
  return grid;
}

/** The storage type of tensors. */
export function chooseDtype(
  dtype: Profile["dtype"],
  device: { readonly capabilities: { readonly f16: boolean } },
): DType {
  if (dtype !== "auto") return dtype;
  return device.capabilities.f16 ? "f16" : "f32";
}
