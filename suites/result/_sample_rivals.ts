/**
 * Synthetic cases and cells of sparse attentions for tests of the renderers: every number comes
 * from a formula, none was measured.
 */
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import { caseRecord, withSamples } from "../plan/case_record.ts";
import { ASSUMED_DEVICE } from "../plan/memory_plan.ts";
import { planImplementation, type PlannedDevice } from "../plan/planned_case.ts";
import { implementationRecords } from "./implementation_record.ts";
import type { Result, RetrievalCell } from "./result.ts";

/** Lists of sampled queries. */
const TOKENS = {
  queries: 8,
  tokens: 800,
  near: 40,
  expected: 20.5,
  whole: { queries: 4, tokens: 400, same: 60 },
};

/** FLOP per second of each family. */
const RATE = 2e13;

/**
 * Adds every sparse attention with all presets at two contexts in two directions, and their
 * needles.
 */
export function addRivals(result: Result): Result {
  const device: PlannedDevice = { ...ASSUMED_DEVICE, deviceMemoryBytes: 80 * 2 ** 30 };
  const planning = { device, dtype: "f16", registry: IMPLEMENTATIONS } as const;
  const sparse = IMPLEMENTATIONS.filter(({ family }) => family === "sparse");
  for (const { name, sharedKeys } of sparse) {
    for (const direction of ["forward", "forward-backward"] as const) {
      for (const context of [16_384, 65_536]) {
        for (
          const kvHeads of sharedKeys && name !== "sliding-window" ? [undefined, 1] : [undefined]
        ) {
          const shape = {
            heads: 8,
            ...(kvHeads && { kvHeads }),
            context,
            headDim: 128,
            dtype: "f16",
          } as const;
          const options = { name, direction, shape, grid: {}, suite: "latency" };
          for (const entry of planImplementation(planning, options)) {
            if (result.cases.some(({ id }) => id === entry.id)) continue;
            const planned = { ...entry, sweeps: ["context"] };
            result.cases.push(
              entry.skip === undefined
                ? { ...timed(planned), ...(name === "hisa" && { tokenSelection: TOKENS }) }
                : caseRecord(planned, { status: "skipped", reason: entry.skip }),
            );
          }
        }
      }
    }
  }
  const known = new Set(result.implementations.map(({ name }) => name));
  result.implementations.push(
    ...implementationRecords(sparse.filter(({ name }) => !known.has(name))),
  );
  const { retrieval } = result;
  const base = retrieval?.cells.find(({ sweep, arm }) => sweep === "grid" && arm === "dense");
  if (!retrieval || !base) return result;
  for (const [i, { name, presets = [] }] of sparse.entries()) {
    const preset = presets.find((one) => one.name.startsWith("matched")) ?? presets[0];
    const grid = retrieval.cells.filter((cell) =>
      cell.sweep === "grid" && cell.arm === "dense" && cell.margin === base.margin
    );
    retrieval.cells.push(...grid.map((cell): RetrievalCell => ({
      ...cell,
      arm: name,
      layer: { preset: preset.name, options: { topk: 3 } },
      attended: 36 + i,
      needleSelected: Math.round(cell.trials * (i + 1) / 8),
      correct: Math.round(cell.trials * (i + 1) / 9),
    })));
  }
  return result;
}

function timed(entry: Parameters<typeof caseRecord>[0]): Result["cases"][number] {
  const seconds = 2e-4 + entry.plan!.flops / RATE;
  const samples = [0.99, 1, 1.01, 1.02].map((factor, i) => ({
    round: i >> 1,
    place: i & 1,
    seconds: seconds * factor,
    wallSeconds: seconds * factor * 1.1,
  }));
  return withSamples(caseRecord(entry, { status: "ok" }), { samples, seed: 1 });
}
