/**
 * The cases of the suite `throughput`, and its section of a profile.
 *
 * @module
 */
import { z } from "zod";
import { DIRECTIONS } from "../../kernels/implementation.ts";
import { attachCheckGates } from "../plan/check_gates.ts";
import type { Planning } from "../plan/grid.ts";
import { planImplementation, type PlannedCase } from "../plan/planned_case.ts";
import { type OptionGrid, sectionOf } from "../plan/profile.ts";
import { throughputRecord } from "./record.ts";

/** Where throughput is measured; without directions: those of the profile. */
export const throughputSection = z.strictObject({
  contexts: z.array(z.int().positive()).min(1),
  directions: z.array(z.enum(DIRECTIONS)).min(1).optional(),
});

/** Wall-clock seconds of the samples of a case, and executions to find their number. */
const COURSE = { executions: 7, leastSeconds: 3.5, inFlight: true } as const;

/** The cases, and the section with options applied; undefined if the profile has none. */
export function planThroughput(
  planning: Planning,
): { cases: PlannedCase[]; section: z.infer<typeof throughputSection> } | undefined {
  const { profile, options } = planning;
  const base = sectionOf(profile, throughputRecord.name, throughputSection);
  if (!base) return undefined;
  const section = {
    contexts: options.contexts ? [...new Set(options.contexts)] : base.contexts,
    ...(!options.directions && base.directions && { directions: base.directions }),
  };
  const first = Object.entries(profile.options).map(([name, values]) => [name, [values[0]]]);
  const grid: OptionGrid = Object.fromEntries(first);
  const { contexts, directions = profile.directions } = section;
  // Its samples use the wall clock, which for a peer includes the communication with its process.
  const own = profile.implementations.filter((name) =>
    !planning.registry.some((entry) => entry.peer && entry.name === name)
  );
  const chosen = directions.filter((direction) => profile.directions.includes(direction));
  const kvHeads = profile.kvHeads?.[0] ?? profile.heads[0];
  const keys = kvHeads === profile.heads[0] ? {} : { kvHeads };
  const cases = contexts.flatMap((context) =>
    chosen.flatMap((direction) =>
      own.flatMap((name) =>
        planImplementation(planning, {
          name,
          direction,
          shape: {
            heads: profile.heads[0],
            ...keys,
            context,
            headDim: profile.headDims[0],
            dtype: planning.dtype,
          },
          grid,
          suite: throughputRecord.name,
          firstPreset: true,
        })
      )
    )
  );
  const gated = attachCheckGates(cases, planning);
  return { cases: gated.map((entry) => ({ ...entry, course: COURSE })), section };
}
