/**
 * Arms of the retrieval suite that are other implementations: the same needles, searched by what
 * each layer's last query attends to.
 *
 * @module
 */
import type { Implementation, Preset, Problem } from "../../kernels/implementation.ts";
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import { errorLine, UsageError } from "../errors.ts";
import { resolveRule } from "../plan/profile.ts";
import { attendedKeys, tellsLastQuery } from "./attended_keys.ts";

/** An implementation with the settings of one of its presets. */
export interface RivalLayer {
  readonly implementation: string;
  /** Name of the preset. */
  readonly preset: string;
  /** Values of its options. */
  readonly options: Readonly<Record<string, number>>;
}

/** Patterns that differ by head repeat after so many trials. */
const MOST_PATTERNS = 64;

/** Implementations whose last query can be told; their arms have their names. */
export const RIVALS: readonly Implementation[] = IMPLEMENTATIONS.filter(tellsLastQuery);

/**
 * The implementation with that name.
 *
 * @throws {UsageError} when there is none.
 */
export function findRival(name: string): Implementation {
  const found = RIVALS.find((one) => one.name === name);
  if (found) return found;
  const known = RIVALS.map(({ name }) => name).join(", ");
  throw new UsageError(`retrieval: implementation ${name} is not one of ${known}`);
}

/** The problem whose last query is told. */
export function rivalProblem(
  { options }: Pick<RivalLayer, "options">,
  { trials, context, headDim }: {
    readonly trials: number;
    readonly context: number;
    readonly headDim: number;
  },
): Problem {
  const heads = Math.min(trials, MOST_PATTERNS);
  return { shape: { heads, context, headDim, dtype: "f32" }, options };
}

/**
 * The layer of each implementation at a context: of its presets of equal pairs the one whose last
 * query has the number of keys nearest to `keys`; its first preset where it has none of these. What
 * cannot run is noted.
 */
export function rivalLayers(
  profile: {
    readonly rivals?: readonly string[];
    readonly trials: number;
    readonly headDim: number;
  },
  { context, keys, skipped }: {
    readonly context: number;
    readonly keys: number;
    readonly skipped: string[];
  },
): RivalLayer[] {
  return (profile.rivals ?? []).flatMap((name) => {
    const implementation = findRival(name);
    const { presets = [] } = implementation;
    const matched = presets.filter(isMatched);
    const failures: string[] = [];
    const layers = (matched.length > 0 ? matched : presets.slice(0, 1)).flatMap((preset) => {
      const layer: RivalLayer = {
        implementation: name,
        preset: preset.name,
        options: optionsAt(implementation, preset, context),
      };
      try {
        const problem = rivalProblem(layer, { ...profile, context });
        const zeros = new Float32Array(context);
        const { rows } = attendedKeys(implementation, problem, { logits: zeros, trial: 0 });
        return [{ layer, distance: Math.abs(Math.log(rows.length / keys)) }];
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        failures.push(errorLine(error));
        return [];
      }
    });
    if (layers.length === 0) {
      skipped.push(`${name} at ${context}: ${failures[0] ?? "it has no presets"}`);
      return [];
    }
    return [layers.reduce((a, b) => b.distance < a.distance ? b : a).layer];
  });
}

/** Whether a preset has as many pairs as a Lighthouse layer. */
export function isMatched({ name }: Pick<Preset, "name">): boolean {
  return name.startsWith("matched");
}

function optionsAt(
  { options }: Implementation,
  preset: Preset,
  context: number,
): Record<string, number> {
  return Object.fromEntries(options.flatMap((option) => {
    const rule = preset.options[option.name];
    return rule === undefined ? [] : [[option.name, resolveRule(rule, context, option)]];
  }));
}
