/**
 * What the retrieval suite records: the part `retrieval` of a result file.
 *
 * Counts are trials. One trial is one seed of Q, K and V; all arms of a cell see the same trials.
 *
 * @module
 */
import { z } from "zod";
import type { InstrumentRecord, Result, RetrievalCell, RetrievalRecord } from "../result/result.ts";
import { answerCellSchema } from "../result/common_schema.ts";
import type { Findings, SuiteRecord } from "../result/suite_record.ts";

const count = z.int().nonnegative();

export const retrievalCellSchema: z.ZodType<RetrievalCell> = z.looseObject({
  sweep: z.enum(["grid", "transition", "options", "salience", "alignment", "stress"]).describe(
    "`grid`: context × depth × margin. `transition`: many margins, one depth. " +
      "`options`: L, p, k. `salience`: the needle's norm at a fixed margin. " +
      "`alignment`: the margin at a fixed norm. `stress`: named cases.",
  ),
  arm: z.string().describe(
    "`dense`, `oracle`, `random`, `window`, `absent`, `lighthouse-SCORER`, or the name of another " +
      "implementation.",
  ),
  case: z.string().optional().describe("Id of the case that the cell belongs to."),
  context: z.int().positive().describe("N."),
  depth: z.number().min(0).max(100).optional().describe(
    "Percent of the context before the needle; absent where a stress case places it.",
  ),
  margin: z.number().describe("μ: how much planting adds to the needle's logit."),
  salience: z.number().nonnegative().optional().describe(
    "The requested norm of the needle, in units of the other keys'; absent: the norm that the " +
      "margin gives it.",
  ),
  stress: z.string().optional().describe("Name of the stress case."),
  lighthouse: z.looseObject({
    levels: z.int().describe("L."),
    pooling: z.int().describe("p."),
    k: z.int().describe("k."),
    scorer: z.string().describe("Scorer that ranked the entries of the pyramid."),
    dilation: z.int().optional().describe("δ, for scorers that have one."),
  }).optional().describe("Options of the layer, for Lighthouse."),
  layer: z.looseObject({
    preset: z.string().describe("The preset that gave its settings."),
    options: z.record(z.string(), z.int()).describe("Values of its options."),
  }).optional().describe("Settings, for another implementation."),
  attended: z.int().positive().describe(
    "Rows that the last query attends to: S, for Lighthouse; the mean over trials where they differ.",
  ),
  needles: count.describe("Needles planted in each trial."),
  trials: z.int().positive().describe("Trials of the cell."),
  correct: count.describe("Trials whose digit was decoded."),
  low: z.number().describe("Lower end of the 95 % Wilson interval of their share."),
  high: z.number().describe("Upper end of the 95 % Wilson interval of their share."),
  needleSelected: count.describe("Trials in which a needle was attended to at full resolution."),
  querySelected: count.describe("Trials in which the last query was selected at full resolution."),
  finestLevels: z.array(count).optional().describe(
    "For Lighthouse: trials by the finest level at which a needle's entry was selected.",
  ),
  lost: z.looseObject({
    needle: count.describe("The needle was not selected."),
    query: count.describe("The needle was, the last query was not."),
    diluted: count.describe("Both were selected, but the digit was wrong."),
  }).describe(
    "Wrong trials, by cause: the needle not selected; the last query not; both there, " +
      "and diluted.",
  ),
  largest: count.describe(
    "Trials in which the needle's logit (the first needle's) was the largest of all.",
  ),
  mass: z.number().describe(
    "Mean over trials of the needles' attention mass in the last query's own row.",
  ),
  norm: z.number().nullable().describe(
    "Mean norm of the needle's key, in units of the other keys' root mean square.",
  ),
  outputError: z.number().describe(
    "Mean over trials of ‖o - o_dense‖ / ‖o_dense‖ of the last output row.",
  ),
  paired: z.array(z.looseObject({
    with: z.string().describe("The other arm."),
    onlyThis: count.describe("Trials in which only this arm was right."),
    onlyOther: count.describe("Trials in which only the other arm was right."),
    probability: z.number().describe(
      "Probability of a split at least this uneven if the arms were equal.",
    ),
  })).describe(
    "On the same trials: where exactly one of the two arms was right, with McNemar's " +
      "exact test.",
  ),
}).meta({ id: "RetrievalCell", description: "One arm at one setting." });

export const instrumentSchema: z.ZodType<InstrumentRecord> = z.looseObject({
  quantity: z.enum(["largest", "oracle", "mass", "accuracy", "absent"]).describe(
    "The measured quantity.",
  ),
  context: z.int().positive().describe("N."),
  margin: z.number().describe("μ."),
  trials: z.int().positive().describe("Trials in which it was measured."),
  measured: z.number().describe("The measured value."),
  law: z.number().describe("The value by the law."),
  atMargin: z.number().optional().describe(
    "For the mass: e^μ / (e^μ + (N-1)·e^½), the mass of a needle with exactly that logit.",
  ),
  low: z.number().describe("Lower end of the band in which the measurement must lie."),
  high: z.number().describe("Upper end of the band in which the measurement must lie."),
  passed: z.boolean().describe("Whether it lies in the band."),
}).meta({
  id: "InstrumentRecord",
  description: "One comparison of a measurement with the law that it must follow.",
});

export const retrievalSchema: z.ZodType<RetrievalRecord> = z.looseObject({
  profile: z.string().describe("Profile of the run."),
  headDim: z.int().positive().describe("d."),
  dtype: z.enum(["f16", "f32"]).describe("Type that tensors are stored in."),
  seed: count.describe("Seed of the first trial."),
  trials: z.int().positive().describe("Requested trials per cell."),
  confidence: z.number().describe(
    "Probability that all bands of `instrument` hold if the laws are exact.",
  ),
  cells: z.array(retrievalCellSchema).describe("One for each arm at each setting."),
  instrument: z.array(instrumentSchema).describe(
    "Measurements compared with the laws of dense attention.",
  ),
  laws: z.array(z.looseObject({
    context: z.int().positive().describe("N."),
    margin: z.number().describe("μ."),
    largest: z.number().describe("P(the needle's logit is the largest)."),
    mass: z.number().describe("Mean attention mass of the needle."),
    accuracy: z.number().describe("P(the digit is decoded)."),
    oracle: z.number().optional().describe("P(the oracle keeps the needle), at its S."),
  })).describe("Laws of dense attention at settings between the measured ones, for the figures."),
  survivalLaws: z.array(z.looseObject({
    context: z.int().positive().describe("N."),
    k: z.int().positive().describe("Selection budget."),
    salience: z.number().describe("Norm of the needle, in units of the other keys'."),
  })).describe("The salience that half of the needles need under the norm scorer, by its law."),
  checkpoint: z.looseObject({
    name: z.string().describe("Name of the checkpoint."),
    sha256: z.string().optional().describe(
      "Of its file; of a JSON document, of its values with sorted keys.",
    ),
    cells: z.array(answerCellSchema).describe(
      "One for each context and depth, with one needle and with keys.",
    ),
  }).optional().describe(
    "Answers of a trained model, which is tested instead of the mechanism.",
  ),
  skipped: z.array(z.string()).describe("What was left out, one line each."),
  seconds: z.number().nonnegative().describe("Wall-clock seconds of the suite."),
}).meta({ id: "RetrievalRecord", description: "The part of a result file." });

export const retrievalRecord: SuiteRecord = {
  name: "retrieval",
  title: "does the mechanism find and carry a needle",
  plannedBy: ["dtype", "retrieval"],
  part: {
    key: "retrieval",
    join: (results) => joinRetrieval(results.map(({ retrieval }) => retrieval)),
    measured: ({ retrieval }) =>
      (retrieval?.cells.length ?? 0) + (retrieval?.checkpoint?.cells.length ?? 0) > 0,
    findings: cellsOf,
  },
};

/** Joins the shards' measurements: the cells of all, and what each of them left out. */
function joinRetrieval(
  records: readonly (RetrievalRecord | undefined)[],
): RetrievalRecord | undefined {
  const present = records.filter((record) => record !== undefined);
  if (present.length === 0) return undefined;
  const tested = present.flatMap(({ checkpoint }) => checkpoint ?? []);
  return {
    ...present[0],
    cells: present.flatMap(({ cells }) => cells),
    instrument: present.flatMap(({ instrument }) => instrument),
    laws: present.flatMap(({ laws }) => laws).sort((a, b) => a.context - b.context),
    skipped: [...new Set(present.flatMap(({ skipped }) => skipped))],
    seconds: present.reduce((sum, { seconds }) => sum + seconds, 0),
    ...(tested.length > 0 && {
      checkpoint: { ...tested[0], cells: tested.flatMap(({ cells }) => cells) },
    }),
  };
}

/** Fields of a cell that depend only on its trials. */
const COUNTED = [
  "trials",
  "correct",
  "needleSelected",
  "querySelected",
  "largest",
  "mass",
  "outputError",
  "norm",
] as const;

/** The cells of a case by what they measure. */
function cellsOf({ retrieval }: Result, caseId: string): Findings {
  const isOwn = (cell: { case?: string }) => cell.case === caseId;
  const own = (retrieval?.cells ?? []).filter(isOwn).map((cell) =>
    [
      nameOf(cell),
      Object.fromEntries(COUNTED.map((field) => [field, cell[field]])),
    ] as const
  );
  const answers = (retrieval?.checkpoint?.cells ?? []).filter(isOwn)
    .map(({ depth, correct, trials }) => [`depth ${depth} %`, { correct, trials }] as const);
  return new Map<string, Readonly<Record<string, unknown>>>([...own, ...answers]);
}

function nameOf(
  { sweep, stress, arm, lighthouse, margin, salience, depth }: RetrievalCell,
): string {
  const layer = lighthouse
    ? ` L ${lighthouse.levels} p ${lighthouse.pooling} k ${lighthouse.k}`
    : "";
  const at = depth === undefined ? "" : `, depth ${depth} %`;
  const norm = salience === undefined ? "" : `, salience ${salience}`;
  return `${stress ?? sweep}, ${arm}${layer}, margin ${margin}${norm}${at}`;
}
