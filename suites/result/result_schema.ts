/**
 * The result file: one JSON document per run, validated with zod on write and on read. What each
 * field means and its unit stand here, once: `deno task generate` writes the types in `result.ts`
 * from it, and the site its pages of the format.
 *
 * Formatting happens in `reports/`. Unknown fields are kept (`looseObject`), so that a newer
 * minor version's file survives a round trip through an older tool.
 *
 * @module
 */
import { experimentRecordSchema } from "../experiments/record.ts";
import { retrievalSchema } from "../retrieval/record.ts";
import { caseSchema, ratioSchema } from "./case_schema.ts";
import {
  calibrationSchema,
  environmentSchema,
  keepWarmSchema,
  peerSchema,
  stackChoiceSchema,
  tuningSchema,
} from "./environment_schema.ts";
import type { ImplementationRecord, Result, ShardRecord } from "./result.ts";
import { z } from "zod";

export { retrievalSchema };
export type * from "./result.ts";

/** The version that this code writes. A file with a larger one is refused with a clear error. */
export const SCHEMA_VERSION = 2;

/** A colour in hexadecimal: it goes into style sheets as it is. */
const colorSchema = z.string().regex(/^#[0-9a-f]{6}$/i);

export const implementationSchema: z.ZodType<ImplementationRecord> = z.looseObject({
  name: z.string().describe("As the cases name it."),
  title: z.string().describe("For people: one short phrase."),
  note: z.string().optional().describe("What a reader of its numbers has to know: one sentence."),
  family: z.string().describe("As its cases have it."),
  scorer: z.string().optional().describe("What ranks the entries of the pyramid, for Lighthouse."),
  role: z.string().optional().describe(
    "`second-opinion` or `control`, where it is no candidate like the others.",
  ),
  peer: z.boolean().optional().describe("Somebody else's, measured beside ours."),
  options: z.array(z.looseObject({
    name: z.string().describe("As `options` of a case names it."),
    letter: z.string().describe("Written before the value: `k`."),
    help: z.string().describe("What it is, a short phrase."),
    sweep: z.string().optional().describe("Heading of a section that varies this option alone."),
  })).describe("Its options, in the order of case ids."),
  presets: z.array(z.looseObject({
    name: z.string().describe("One word: `published`, `matched`."),
    options: z.record(z.string(), z.union([z.number(), z.string()])).describe(
      "A value or a rule, such as `9N/512`, by the option's name.",
    ),
  })).optional().describe("Settings that are measured if a run sets none of its options."),
  style: z.looseObject({
    color: z.looseObject({
      light: colorSchema.describe("On a light page."),
      dark: colorSchema.describe("On a dark page."),
    }).describe("In hexadecimal: `#2a78d6`."),
    mark: z.string().describe("Shape of its marks: `circle`, `square`, …"),
  }).optional().describe("Colours and mark in figures."),
}).meta({
  id: "ImplementationRecord",
  description: "What a reader has to know of an implementation: the descriptor, as far as " +
    "reports need it.",
});

export const shardSchema: z.ZodType<ShardRecord> = z.looseObject({
  index: z.int().positive().describe("Which one; the first is 1."),
  count: z.int().positive().describe("Of how many."),
  plan: z.string().describe("Hash of the whole plan."),
  cases: z.array(z.string()).describe("Ids of all cases of the whole plan, in order."),
}).meta({ id: "ShardRecord", description: "What the result of a shard says of the whole plan." });

export const resultSchema: z.ZodType<Result> = z.looseObject({
  schemaVersion: z.literal(SCHEMA_VERSION).describe("Version of this format."),
  tool: z.looseObject({
    name: z.literal("lighthouse-attention-bench").describe("This project."),
    version: z.string().describe("Of the package."),
    commit: z.string().nullable().describe(
      "Git commit of the working tree, or null outside a repository.",
    ),
    dirty: z.boolean().nullable().describe(
      "Whether the tree had uncommitted changes; null outside a repository.",
    ),
    repository: z.string().optional().describe(
      "Address of the repository that the tree was cloned from, `https://github.com/OWNER/NAME`; " +
        "absent where it has no such one.",
    ),
  }).describe("What wrote the file."),
  startedAt: z.iso.datetime().describe("ISO 8601, UTC."),
  finishedAt: z.iso.datetime().nullable().describe(
    "ISO 8601, UTC; null while the run goes on or was cut short.",
  ),
  command: z.array(z.string()).describe("The command line to run again, first word `deno`."),
  profile: z.string().describe("`smoke`, `standard` or `paper`."),
  stack: z.enum(["deno", "dawn", "browser"]).describe(
    "The WebGPU implementation that ran the kernels.",
  ),
  stackChoice: stackChoiceSchema.optional().describe("Why that one; older results do not tell."),
  seed: z.int().nonnegative().describe("Of Q; K, V and dO have the three after it."),
  configuration: z.record(z.string(), z.unknown()).describe(
    "Everything that decides which cases run, as given and defaulted.",
  ),
  hashes: z.looseObject({
    wgsl: z.string().describe("Of all shaders and the code that generates them."),
    configuration: z.string().describe("Of `configuration`."),
    plan: z.string().describe("Of the cases that were planned, in order."),
  }).describe(
    "SHA-256 of what decides times and results: equal hashes, equal work.",
  ),
  shard: shardSchema.optional().describe("Where this is a part of a run."),
  environment: environmentSchema.describe("The machine."),
  calibration: calibrationSchema.nullable().describe("Null before it was calibrated."),
  implementations: z.array(implementationSchema).describe(
    "Those that the run plans, ours in the order of the registry, then peers.",
  ),
  cases: z.array(caseSchema).describe("In the order of the plan."),
  ratios: z.array(ratioSchema).describe("Pairs that were interleaved."),
  retrieval: retrievalSchema.optional().describe("Of the suite `retrieval`."),
  experiment: experimentRecordSchema.optional().describe("Of `train`: a training experiment."),
  peers: z.array(peerSchema).optional().describe(
    "Other people's implementations that were asked for.",
  ),
  keepWarm: keepWarmSchema.optional().describe("Where the run kept the clock up, or was asked to."),
  tuning: tuningSchema.optional().describe(
    "Where the run took measured tilings; `replay` takes these again.",
  ),
  notes: z.array(z.string()).describe(
    "One line each: things that the reader should know of the run as a whole.",
  ),
}).meta({ id: "Result", description: "A whole result file." });
