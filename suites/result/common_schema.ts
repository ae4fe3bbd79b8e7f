/**
 * Parts of the format that records of several suites have.
 *
 * @module
 */
import { z } from "zod";
import type { AnswerCell, OverlapRecord, Statistic } from "./result.ts";

export const statisticSchema: z.ZodType<Statistic> = z.looseObject({
  count: z.int().nonnegative().describe(
    "Samples that entered the statistic (flagged ones are kept in `samples`, not " +
      "counted here).",
  ),
  median: z.number().describe("Middle sample, in the unit of the samples."),
  low: z.number().describe("Lower end of the 95 % bootstrap interval of the median."),
  high: z.number().describe("Upper end of the 95 % bootstrap interval of the median."),
  min: z.number().describe("Smallest sample."),
  max: z.number().describe("Largest sample."),
  mean: z.number().describe("Mean of the samples."),
  outliers: z.int().nonnegative().describe(
    "Samples outside Tukey's outer fences; they are counted in, and shown.",
  ),
}).meta({
  id: "Statistic",
  description: "A median with a seeded bootstrap 95 % interval over its samples.",
});

/** As {@linkcode overlapSchema}, for records that add fields. */
export const overlap = z.looseObject({
  jaccard: z.number().describe("Over all levels but the coarsest, which is always gathered whole."),
  levels: z.array(z.number()).describe("Of each level, finest first."),
});

export const overlapSchema: z.ZodType<OverlapRecord> = overlap.meta({
  id: "OverlapRecord",
  description: "How far two selections agree: Jaccard indices over all heads.",
});

export const answerCellSchema: z.ZodType<AnswerCell> = z.looseObject({
  case: z.string().optional().describe(
    "Id of the case that the cell belongs to, if it is one of many.",
  ),
  context: z.int().positive().describe("Characters of the prompt."),
  depth: z.number().min(0).max(100).describe("Percent of the prompt before the needle asked for."),
  keys: z.int().positive().optional().describe(
    "Needles with distinct keys; absent: one needle without a key.",
  ),
  correct: z.int().nonnegative().describe(
    "Prompts whose digit had the largest logit of the ten digits.",
  ),
  trials: z.int().positive().describe("Prompts."),
}).meta({
  id: "AnswerCell",
  description: "Prompts of one context and depth, and how many were answered.",
});
