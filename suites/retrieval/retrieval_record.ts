/**
 * What the retrieval suite records, as types: the part `retrieval` of a result file.
 *
 * Counts are trials. One trial is one seed of Q, K and V; all arms of a cell see the same trials.
 *
 * @module
 */
import type { OpenRecord } from "../result/open_record.ts";

/** One arm at one setting. */
export interface RetrievalCell extends OpenRecord {
  /**
   * `grid`: context × depth × margin. `transition`: many margins, one depth. `options`: L, p, k.
   * `salience`: the needle's norm at a fixed margin. `alignment`: the margin at a fixed norm.
   * `stress`: named cases.
   */
  sweep: "grid" | "transition" | "options" | "salience" | "alignment" | "stress";
  /** `dense`, `oracle`, `random`, `window`, `absent`, or `lighthouse-SCORER`. */
  arm: string;
  /** Id of the case that the cell belongs to. */
  case?: string;
  /** N. */
  context: number;
  /** Percent of the context before the needle; absent where a stress case places it. */
  depth?: number;
  /** μ: what planting adds to the needle's logit. */
  margin: number;
  /** The needle's norm asked for, in units of the other keys'; absent: what the margin adds to it. */
  salience?: number;
  /** Name of the stress case. */
  stress?: string;
  /** Options of the layer, for Lighthouse. */
  lighthouse?: {
    levels: number;
    pooling: number;
    k: number;
    scorer: string;
    dilation?: number;
    [unknown: string]: unknown;
  };
  /** S, rows attended to. */
  attended: number;
  /** Needles planted in each trial. */
  needles: number;
  /** Trials of the cell. */
  trials: number;
  /** Trials whose digit was decoded. */
  correct: number;
  /** Lower end of the 95 % Wilson interval of their share. */
  low: number;
  /** Upper end of the 95 % Wilson interval of their share. */
  high: number;
  /** Trials in which a needle was attended to at full resolution. */
  needleSelected: number;
  /** Trials in which the last query was selected at full resolution. */
  querySelected: number;
  /** For Lighthouse: trials by the finest level at which a needle's entry was selected. */
  finestLevels?: number[];
  /** Wrong trials, by cause: the needle not selected; the last query not; both there, and diluted. */
  lost: {
    needle: number;
    query: number;
    diluted: number;
    [unknown: string]: unknown;
  };
  /** Trials in which the needle's logit (the first needle's) was the largest of all. */
  largest: number;
  /** Mean over trials of the needles' attention mass in the last query's own row. */
  mass: number;
  /** Mean norm of the needle's key, in units of the other keys' root mean square. */
  norm: number | null;
  /** Mean over trials of ‖o - o_dense‖ / ‖o_dense‖ of the last output row. */
  outputError: number;
  /** On the same trials: where exactly one of the two arms was right, with McNemar's exact test. */
  paired: {
    with: string;
    onlyThis: number;
    onlyOther: number;
    probability: number;
    [unknown: string]: unknown;
  }[];
}

/** One comparison of a measurement with the law that it must follow. */
export interface InstrumentRecord extends OpenRecord {
  /** What was measured. */
  quantity: "largest" | "oracle" | "mass" | "accuracy" | "absent";
  /** N. */
  context: number;
  /** μ. */
  margin: number;
  /** Trials that it was measured in. */
  trials: number;
  /** What was found. */
  measured: number;
  /** What the law says. */
  law: number;
  /** For the mass: e^μ / (e^μ + (N-1)·e^½), what a needle of exactly that logit gets. */
  atMargin?: number;
  /** Lower end of the band in which the measurement must lie. */
  low: number;
  /** Upper end of the band in which the measurement must lie. */
  high: number;
  /** Whether it lies there. */
  passed: boolean;
}

/** The part of a result file. */
export interface RetrievalRecord extends OpenRecord {
  /** Profile of the run. */
  profile: string;
  /** d. */
  headDim: number;
  /** Type that tensors are stored in. */
  dtype: "f16" | "f32";
  /** Of the first trial. */
  seed: number;
  /** Trials asked for in each cell. */
  trials: number;
  /** Chance of all bands of `instrument` holding together, were the laws exact. */
  confidence: number;
  /** One for each arm at each setting. */
  cells: RetrievalCell[];
  /** Measurements held against the laws of dense attention. */
  instrument: InstrumentRecord[];
  /** Laws of dense attention at settings between the measured ones, for the figures. */
  laws: {
    context: number;
    margin: number;
    largest: number;
    mass: number;
    accuracy: number;
    /** P(the oracle keeps the needle), at its S. */
    oracle?: number;
    [unknown: string]: unknown;
  }[];
  /** The salience that half of the needles need under the norm scorer, by its law. */
  survivalLaws: {
    context: number;
    k: number;
    salience: number;
    [unknown: string]: unknown;
  }[];
  /** What a trained checkpoint did in the digit passkey test; apart from the mechanism's cells. */
  checkpoint?: {
    name: string;
    cells: {
      context: number;
      depth: number;
      correct: number;
      trials: number;
      [unknown: string]: unknown;
    }[];
    [unknown: string]: unknown;
  };
  /** What was left out, one line each. */
  skipped: string[];
  /** Wall-clock seconds of the suite. */
  seconds: number;
}
