/**
 * What the retrieval suite records: the part `retrieval` of a result file.
 *
 * Counts are trials. One trial is one seed of Q, K and V; all arms of a cell see the same trials.
 *
 * @module
 */
import { z } from "zod";
import { declares } from "../result/typed_schema.ts";
import type { InstrumentRecord, RetrievalCell, RetrievalRecord } from "./retrieval_record.ts";

export type * from "./retrieval_record.ts";

const count = z.int().nonnegative();

/** One arm at one setting. */
export const retrievalCellSchema: z.ZodType<RetrievalCell> = declares<RetrievalCell>()(
  z.looseObject({
    sweep: z.enum(["grid", "transition", "options", "salience", "alignment", "stress"]),
    arm: z.string(),
    case: z.string().optional(),
    context: z.int().positive(),
    depth: z.number().min(0).max(100).optional(),
    margin: z.number(),
    salience: z.number().nonnegative().optional(),
    stress: z.string().optional(),
    lighthouse: z.looseObject({
      levels: z.int(),
      pooling: z.int(),
      k: z.int(),
      scorer: z.string(),
      dilation: z.int().optional(),
    }).optional(),
    attended: z.int().positive(),
    needles: count,
    trials: z.int().positive(),
    correct: count,
    low: z.number(),
    high: z.number(),
    needleSelected: count,
    querySelected: count,
    finestLevels: z.array(count).optional(),
    lost: z.looseObject({ needle: count, query: count, diluted: count }),
    largest: count,
    mass: z.number(),
    norm: z.number().nullable(),
    outputError: z.number(),
    paired: z.array(z.looseObject({
      with: z.string(),
      onlyThis: count,
      onlyOther: count,
      probability: z.number(),
    })),
  }),
);

/** One comparison of a measurement with the law that it must follow. */
export const instrumentSchema: z.ZodType<InstrumentRecord> = declares<InstrumentRecord>()(
  z.looseObject({
    quantity: z.enum(["largest", "oracle", "mass", "accuracy", "absent"]),
    context: z.int().positive(),
    margin: z.number(),
    trials: z.int().positive(),
    measured: z.number(),
    law: z.number(),
    atMargin: z.number().optional(),
    low: z.number(),
    high: z.number(),
    passed: z.boolean(),
  }),
);

/** The part of a result file. */
export const retrievalSchema: z.ZodType<RetrievalRecord> = declares<RetrievalRecord>()(
  z.looseObject({
    profile: z.string(),
    headDim: z.int().positive(),
    dtype: z.enum(["f16", "f32"]),
    seed: count,
    trials: z.int().positive(),
    confidence: z.number(),
    cells: z.array(retrievalCellSchema),
    instrument: z.array(instrumentSchema),
    laws: z.array(z.looseObject({
      context: z.int().positive(),
      margin: z.number(),
      largest: z.number(),
      mass: z.number(),
      accuracy: z.number(),
      oracle: z.number().optional(),
    })),
    survivalLaws: z.array(z.looseObject({
      context: z.int().positive(),
      k: z.int().positive(),
      salience: z.number(),
    })),
    checkpoint: z.looseObject({
      name: z.string(),
      cells: z.array(z.looseObject({
        context: z.int().positive(),
        depth: z.number().min(0).max(100),
        correct: count,
        trials: z.int().positive(),
      })),
    }).optional(),
    skipped: z.array(z.string()),
    seconds: z.number().nonnegative(),
  }),
);
