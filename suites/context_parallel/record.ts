/**
 * What the suite `context-parallel` records: the part `contextParallel` of a case.
 *
 * @module
 */
import { z } from "zod";
import { overlapSchema, statisticSchema } from "../result/common_schema.ts";
import type { ContextParallelRecord } from "../result/result.ts";
import type { SuiteRecord } from "../result/suite_record.ts";

export const contextParallelSchema: z.ZodType<ContextParallelRecord> = z.looseObject({
  shards: z.int().positive().describe("W."),
  partition: z.enum(["contiguous", "head-tail"]).describe(
    "`contiguous`: shard w holds part w of W. `head-tail`: parts w and 2W - 1 - w of 2W.",
  ),
  parts: z.int().positive().describe("Total number of parts that select independently."),
  partK: z.int().positive().describe("The budget of each part."),
  selection: overlapSchema.describe(
    "Overlap with the selection of the same inputs without shards.",
  ),
  uncoveredRows: z.int().nonnegative().describe("Rows that no entry covers, over all heads."),
  unshardedUncoveredRows: z.int().nonnegative().describe("The same without shards."),
  unshardedAttention: statisticSchema.optional().describe(
    "Seconds of the inner attention over the same gathered rows in one piece.",
  ),
  steps: z.array(z.looseObject({
    shardSeconds: z.array(z.number().nonnegative()).describe(
      "Median GPU seconds of each shard's share of the step; 0 where it has nothing to do.",
    ),
    shardPairs: z.array(z.number().nonnegative()).describe(
      "Query-key pairs that each shard computes, causal mask counted, times heads.",
    ),
    bytes: z.number().nonnegative().describe(
      "Bytes of K and V that each shard passes on after the step; 0 after the last.",
    ),
  })).describe("The ring steps in order."),
}).meta({
  id: "ContextParallelRecord",
  description: "A layer whose context is cut into shards, simulated on one device.",
});

export const contextParallelRecord: SuiteRecord = {
  name: "context-parallel",
  title: "a layer whose context is cut into shards",
  plannedBy: ["heads", "headDims", "dtype", "contextParallel"],
  exact: ({ contextParallel }) => {
    if (!contextParallel) return {};
    const { parts, partK, steps } = contextParallel;
    return { parts, partK, exchangedBytes: steps.reduce((sum, { bytes }) => sum + bytes, 0) };
  },
};
