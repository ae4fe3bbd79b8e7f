/**
 * The test of a trained model in a run: one case for each context, with one needle or with keys, so
 * that it is resumed, sharded, merged and gated like any other. The cells are in the result's
 * `retrieval.checkpoint`.
 *
 * @module
 */
import { MemoryError } from "../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { errorLine, UsageError } from "../errors.ts";
import { rethrowFatal, type RunSession } from "../measure/session.ts";
import { caseRecord } from "../plan/case_record.ts";
import { isAsked, type Planning } from "../plan/grid.ts";
import type { PlanOptions } from "../plan/plan_options.ts";
import type { PlannedCase, PlannedGroup } from "../plan/planned_case.ts";
import { hashJson } from "../result/digest.ts";
import type { RetrievalRecord } from "../result/result_schema.ts";
import type { Measurer, OpenOptions, SuitePlan, SuiteRun } from "../suite.ts";
import { DIGITS } from "./law.ts";
import { evaluateNeedles, type NeedleCell } from "./needle_model.ts";
import { NEEDLE_FLAGS } from "./options.ts";
import { needleOptions } from "./plan_needles.ts";
import { retrievalRecord } from "./record.ts";
import { type AnswerCells, chooseCells, openModel, type TestedModel } from "./tested_model.ts";

/** A model and the cells that a run tests. */
export interface AnswerTest {
  readonly model: TestedModel;
  readonly cells: readonly AnswerCells[];
}

/** The cells of one context, planned as a case. */
export interface AnswerGroup extends PlannedGroup {
  readonly entry: PlannedCase;
  readonly cells: AnswerCells;
}

/** Options of layers, which a model's file decides, by how they are given. */
const LAYER_FLAGS = {
  scorers: "--scorer",
  implementations: "--implementation",
  directions: "--direction",
  heads: "--heads",
  kvHeads: "--kv-heads",
  headDims: "--head-dim",
  options: "options of layers, such as --k,",
} as const satisfies { readonly [Key in keyof PlanOptions]?: string };

/**
 * Reads the model that a run names.
 *
 * @throws {UsageError} one line, when the file or an option cannot be used.
 */
export async function openAnswers(path: string, options: OpenOptions): Promise<AnswerTest> {
  const { margins, ...own } = needleOptions(options);
  const { name } = retrievalRecord;
  const alone = isAsked(options, name) && options.suites!.length === 1;
  const [unused] = [
    ...(margins ? [`--${NEEDLE_FLAGS.find((one) => one.name === "margins")!.flag}`] : []),
    ...Object.entries(LAYER_FLAGS).flatMap(([key, flag]) =>
      alone && options[key as keyof typeof LAYER_FLAGS] !== undefined ? [flag] : []
    ),
  ];
  if (unused !== undefined) {
    throw new UsageError(`${name}: ${unused} cannot be used with --checkpoint: a model is tested`);
  }
  const model = await openModel(path);
  return { model, cells: chooseCells(model, { ...own, contexts: options.contexts }) };
}

/** The cases of a model's test, short contexts first. */
export function planAnswers(
  { dtype, profile }: Pick<Planning, "dtype" | "profile">,
  { model, cells }: AnswerTest,
): SuitePlan<AnswerGroup> | undefined {
  if (!profile.suites.includes(retrievalRecord.name)) return undefined;
  const { name, sha256, heads, headDim } = model;
  const groups = cells.flatMap((own) =>
    own.contexts.map((context): AnswerGroup => {
      const { keys, depths } = own;
      const kind = keys === undefined ? "answers" : "keyed-answers";
      const shape = { heads, context, headDim, dtype };
      const letters = [`N${context}`, `H${heads}`, `d${headDim}`, dtype];
      const entry: PlannedCase = {
        id: [retrievalRecord.name, kind, "forward", letters.join("-")].join("/") +
          (keys === undefined ? "" : `-K${keys}`),
        suite: retrievalRecord.name,
        implementation: `needle-${kind}`,
        family: "needle",
        direction: "forward",
        problem: { shape },
        sweeps: depths.map((depth) => `depth ${depth} %`),
      };
      return { candidates: [entry], entry, cells: { ...own, contexts: [context] } };
    })
  ).sort((a, b) => a.cells.contexts[0] - b.cells.contexts[0]);
  const tested = { checkpoint: { name, sha256 }, cells };
  return { groups, configuration: tested, identity: tested };
}

/** Characters that a case reads. */
export function charactersOf({ contexts: [context], depths, prompts = 1 }: AnswerCells): number {
  return context * depths.length * prompts * DIGITS;
}

/** Tests the model case by case; with a budget, those that begin within it. */
export function measureAnswers(
  session: RunSession,
  { run, test: { model } }: { run: SuiteRun<AnswerGroup>; test: AnswerTest },
): Measurer<AnswerGroup> {
  const { gpu, seed, signal } = session;
  const { budgetSeconds = Infinity, profile } = run.options;
  const started = performance.now();
  const elapsed = () => (performance.now() - started) / 1e3;
  const record = run.part((): RetrievalRecord => ({
    profile,
    headDim: model.headDim,
    dtype: run.plan.groups[0]?.entry.problem.shape.dtype ?? "f32",
    seed,
    trials: DIGITS * (run.plan.groups[0]?.cells.prompts ?? 1),
    confidence: 1,
    cells: [],
    instrument: [],
    laws: [],
    survivalLaws: [],
    checkpoint: { name: model.name, sha256: model.sha256, cells: [] },
    skipped: [],
    seconds: 0,
  }));
  const before = record.seconds;
  return {
    async measure({ entry, cells }) {
      if (session.finished(entry.id)) return;
      signal?.throwIfAborted();
      if (!run.patient && elapsed() > budgetSeconds) {
        const reason = `not reached within the budget of ${budgetSeconds} s`;
        await session.record(caseRecord(entry, { status: "skipped", reason }));
        return;
      }
      const { keys, contexts: [context] } = cells;
      const step =
        `${model.name}: ${keys === undefined ? "one needle" : `${keys} needles with keys`} ` +
        `in ${context} characters`;
      session.step(step);
      try {
        const found = await answersOf(gpu, { model, cells, seed }, {
          dtype: entry.problem.shape.dtype,
          signal,
          onBatch: (done, all) => session.step(`${step}: ${done} of ${all} batches`),
        });
        record.checkpoint!.cells.push(...found.map((cell) => ({ ...cell, case: entry.id })));
        record.seconds = before + elapsed();
        await session.record({
          ...caseRecord(entry, { status: "ok" }),
          digest: { output: await hashJson(found) },
        });
      } catch (error) {
        rethrowFatal(session, error);
        if (error instanceof UsageError) throw error;
        // The device's memory limits the context; any other error is a fault.
        const status = error instanceof MemoryError || error instanceof RangeError
          ? "skipped"
          : "failed";
        await session.record(caseRecord(entry, { status, reason: errorLine(error) }));
      }
    },
  };
}

async function answersOf(
  gpu: Gpu,
  { model, cells, seed }: { model: TestedModel; cells: AnswerCells; seed: number },
  options: Parameters<TestedModel["place"]>[1],
): Promise<NeedleCell[]> {
  const placed = model.place(gpu, options);
  try {
    return await evaluateNeedles(placed.model, { ...cells, seed });
  } finally {
    placed.destroy();
  }
}
