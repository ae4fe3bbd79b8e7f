/**
 * What the retrieval suite records: the part `retrieval` of a result file.
 *
 * Counts are trials. One trial is one seed of Q, K and V; all arms of a cell see the same trials.
 *
 * @module
 */
import { z } from "zod";

const count = z.int().nonnegative();

/** One arm at one setting. */
export const retrievalCellSchema = z.looseObject({
  /**
   * `grid`: context × depth × margin. `transition`: many margins, one depth. `options`: L, p, k.
   * `salience`: the needle's norm at a fixed margin. `alignment`: the margin at a fixed norm.
   * `stress`: named cases.
   */
  sweep: z.enum(["grid", "transition", "options", "salience", "alignment", "stress"]),
  /** `dense`, `oracle`, `random`, `window`, `absent`, or `lighthouse-SCORER`. */
  arm: z.string(),
  /** Id of the case that the cell belongs to. */
  case: z.string().optional(),
  context: z.int().positive(),
  /** Percent of the context before the needle; absent where a stress case places it. */
  depth: z.number().min(0).max(100).optional(),
  /** μ: what planting adds to the needle's logit. */
  margin: z.number(),
  /** The needle's norm asked for, in units of the other keys'; absent: what the margin adds to it. */
  salience: z.number().nonnegative().optional(),
  /** Name of the stress case. */
  stress: z.string().optional(),
  lighthouse: z.looseObject({
    levels: z.int(),
    pooling: z.int(),
    k: z.int(),
    scorer: z.enum(["norm", "dilated", "gla"]),
    dilation: z.int().optional(),
  }).optional(),
  /** S, rows attended to. */
  attended: z.int().positive(),
  needles: count,
  trials: z.int().positive(),
  /** Trials whose digit was decoded, and the 95 % Wilson interval of their share. */
  correct: count,
  low: z.number(),
  high: z.number(),
  /** Trials in which a needle was attended to at full resolution. */
  needleSelected: count,
  /** Trials in which the last query was selected at full resolution. */
  querySelected: count,
  /** For Lighthouse: trials by the finest level at which a needle's entry was selected. */
  finestLevels: z.array(count).optional(),
  /** Wrong trials, by cause: the needle not selected; the last query not; both there, and diluted. */
  lost: z.looseObject({ needle: count, query: count, diluted: count }),
  /** Trials in which the needle's logit (the first needle's) was the largest of all. */
  largest: count,
  /** Mean over trials of the needles' attention mass in the last query's own row. */
  mass: z.number(),
  /** Mean norm of the needle's key, in units of the other keys' root mean square. */
  norm: z.number().nullable(),
  /** Mean over trials of ‖o - o_dense‖ / ‖o_dense‖ of the last output row. */
  outputError: z.number(),
  /** On the same trials: where exactly one of the two arms was right, with McNemar's exact test. */
  paired: z.array(z.looseObject({
    with: z.string(),
    onlyThis: count,
    onlyOther: count,
    probability: z.number(),
  })),
});

/** One comparison of a measurement with the law that it must follow. */
export const instrumentSchema = z.looseObject({
  quantity: z.enum(["largest", "oracle", "mass", "accuracy", "absent"]),
  context: z.int().positive(),
  margin: z.number(),
  trials: z.int().positive(),
  measured: z.number(),
  law: z.number(),
  /** For the mass: e^μ / (e^μ + (N-1)·e^½), what a needle of exactly that logit gets. */
  atMargin: z.number().optional(),
  /** Ends of the band in which the measurement must lie. */
  low: z.number(),
  high: z.number(),
  passed: z.boolean(),
});

/** The part of a result file. */
export const retrievalSchema = z.looseObject({
  /** Profile of the run. */
  profile: z.string(),
  headDim: z.int().positive(),
  dtype: z.enum(["f16", "f32"]),
  seed: count,
  /** Trials asked for in each cell. */
  trials: z.int().positive(),
  /** Chance of all bands of `instrument` holding together, were the laws exact. */
  confidence: z.number(),
  cells: z.array(retrievalCellSchema),
  instrument: z.array(instrumentSchema),
  /** Laws of dense attention at settings between the measured ones, for the figures. */
  laws: z.array(z.looseObject({
    context: z.int().positive(),
    margin: z.number(),
    largest: z.number(),
    mass: z.number(),
    accuracy: z.number(),
    /** P(the oracle keeps the needle), at its S. */
    oracle: z.number().optional(),
  })),
  /** The salience that half of the needles need under the norm scorer, by its law. */
  survivalLaws: z.array(z.looseObject({
    context: z.int().positive(),
    k: z.int().positive(),
    salience: z.number(),
  })),
  /** What a trained checkpoint did in the digit passkey test; apart from the mechanism's cells. */
  checkpoint: z.looseObject({
    name: z.string(),
    cells: z.array(z.looseObject({
      context: z.int().positive(),
      depth: z.number().min(0).max(100),
      correct: count,
      trials: z.int().positive(),
    })),
  }).optional(),
  /** What was left out, one line each. */
  skipped: z.array(z.string()),
  /** Wall-clock seconds of the suite. */
  seconds: z.number().nonnegative(),
});

export type RetrievalCell = z.infer<typeof retrievalCellSchema>;
export type InstrumentRecord = z.infer<typeof instrumentSchema>;
export type RetrievalRecord = z.infer<typeof retrievalSchema>;
