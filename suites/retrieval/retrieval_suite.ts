/**
 * The retrieval suite: does the mechanism find and carry a needle. No trained model takes part; what
 * is measured is attention over synthetic Q, K, V whose laws are known.
 *
 * @module
 */
import type { DType } from "../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { pcg } from "../../kernels/gpu/random.ts";
import type { AttendedRow, RowAdmission } from "../../kernels/retrieval/last_row.ts";
import { resolveK } from "../profile.ts";
import { acceptanceBand, mcNemar, wilsonInterval } from "./intervals.ts";
import {
  accuracyLaw,
  DIGITS,
  largestLogitLaw,
  logitMoments,
  massGivenLogit,
  massLaw,
  oracleLaw,
  salienceLaw,
} from "./law.ts";
import { normalQuantile } from "./normal.ts";
import { decodeDigit, type PlantedRow } from "./planting.ts";
import { TopLogits } from "./top_logits.ts";
import { type Arm, type ContextPlan, planRetrieval, type Setting } from "./retrieval_plan.ts";
import type { RetrievalProfile } from "./retrieval_profile.ts";
import type { InstrumentRecord, RetrievalCell, RetrievalRecord } from "./retrieval_schema.ts";
import { batchHeads, TrialBatch } from "./trial_batch.ts";

/** Seeds of Q, K and V of one batch, and room for more. */
const SEEDS_PER_BATCH = 8;

/** Chance that every band of the instrument check holds, were the laws exact. */
const CONFIDENCE = 0.99;

/** Options of {@linkcode runRetrieval}. */
export interface RunRetrievalOptions {
  readonly profile: RetrievalProfile;
  readonly seed: number;
  readonly dtype: DType;
  readonly signal?: AbortSignal;
  /** Says what is under way. */
  readonly step?: (text: string) => void;
  /** Takes what there is after each context. */
  readonly save?: (record: RetrievalRecord) => Promise<void>;
}

/** Counts of one arm at one setting while trials come in. */
class CellCounts {
  readonly correct: boolean[] = [];
  needle = 0;
  query = 0;
  largest = 0;
  mass = 0;
  norm = 0;
  error = 0;
  lost = { needle: 0, query: 0, diluted: 0 };
  finest: number[] = [];
  attended = 0;
  /** Sums over trials of the mean and variance of the mass, given each needle's logit. */
  massMean = 0;
  massVariance = 0;
}

/** What one arm did in one trial. */
interface Outcome {
  readonly output: Float64Array;
  readonly needle: boolean;
  readonly query: boolean;
  readonly mass: number;
  readonly finest?: number;
}

/**
 * Runs the suite on a device.
 *
 * @returns the record; cells that the budget did not reach are left out and named in `skipped`.
 * @throws {DOMException} `AbortError` when the signal fires.
 */
export async function runRetrieval(
  gpu: Gpu,
  options: RunRetrievalOptions,
): Promise<RetrievalRecord> {
  const { profile, seed, dtype, signal } = options;
  const started = performance.now();
  const plan = planRetrieval(profile);
  const record: RetrievalRecord = {
    profile: profile.name,
    headDim: profile.headDim,
    dtype,
    seed,
    trials: profile.trials,
    confidence: CONFIDENCE,
    cells: [],
    instrument: [],
    laws: [],
    survivalLaws: profile.keys.layers.map(({ k: rule }) => {
      const { context } = profile.keys;
      const k = resolveK(rule, context);
      return {
        context,
        k,
        salience: salienceLaw({ ratio: k / context, headDim: profile.headDim }),
      };
    }),
    skipped: [...plan.skipped],
    seconds: 0,
  };
  const elapsed = () => (performance.now() - started) / 1e3;
  const late = () => elapsed() > profile.budgetSeconds;
  const measured: { context: ContextPlan; counts: Map<string, CellCounts> }[] = [];
  for (const context of plan.contexts) {
    signal?.throwIfAborted();
    if (late()) {
      record.skipped.push(`context ${context.context}: the budget was spent before it`);
      continue;
    }
    const counts = await measureContext(gpu, context, { ...options, late, record });
    measured.push({ context, counts });
    record.cells.push(...cellsOf(context, counts));
    record.laws.push(...lawsOf(context, profile));
    record.seconds = elapsed();
    await options.save?.(record);
  }
  record.instrument = measured.flatMap(({ context, counts }) =>
    instrumentOf(context, { counts, headDim: profile.headDim, checks: 1 })
  );
  // Bands widen with their number, so that all of them hold together.
  const checks = record.instrument.length;
  record.instrument = measured.flatMap(({ context, counts }) =>
    instrumentOf(context, { counts, headDim: profile.headDim, checks })
  );
  record.seconds = elapsed();
  await options.save?.(record);
  return record;
}

async function measureContext(
  gpu: Gpu,
  plan: ContextPlan,
  options: RunRetrievalOptions & { late: () => boolean; record: RetrievalRecord },
): Promise<Map<string, CellCounts>> {
  const { profile, dtype, signal, late, record } = options;
  const { context } = plan;
  const { headDim, trials } = profile;
  const most = batchHeads(gpu, { heads: trials, context, headDim, dtype });
  const batches = Math.ceil(trials / most);
  const heads = Math.ceil(trials / batches);
  const counts = new Map<string, CellCounts>();
  const batch = await TrialBatch.create(gpu, { heads, context, headDim, dtype });
  try {
    for (let b = 0; b < batches; b++) {
      if (late()) {
        record.skipped.push(
          `context ${context}: ${b * heads} of ${trials} trials, the budget was spent`,
        );
        break;
      }
      options.step?.(`retrieval at ${context}: batch ${b + 1} of ${batches}`);
      await batch.fill((options.seed + b * SEEDS_PER_BATCH) >>> 0);
      await batch.attend();
      const logits = await batch.readLogits();
      const tops = logits.map((own) => new TopLogits(own, { count: plan.attended }));
      const lots = logits.map((_, head) => {
        const seed = pcg((options.seed + 0x9e3779b9 * (b * heads + head + 1)) >>> 0);
        return { seed, most: smallestHash(seed, { rows: context, count: plan.attended }) };
      });
      let skipped = 0;
      for (const setting of plan.settings) {
        signal?.throwIfAborted();
        if (late()) {
          skipped++;
          continue;
        }
        await measureSetting({ batch, setting, plan, tops, lots, counts, first: b * heads });
      }
      if (skipped > 0) {
        record.skipped.push(
          `context ${context}: ${skipped} of ${plan.settings.length} settings in batch ${
            b + 1
          } of ` +
            `${batches}, the budget was spent`,
        );
      }
    }
  } finally {
    batch.destroy();
  }
  return counts;
}

/** Everything that one setting of one batch needs. */
interface SettingRun {
  readonly batch: TrialBatch;
  readonly setting: Setting;
  readonly plan: ContextPlan;
  readonly tops: readonly TopLogits[];
  readonly lots: readonly { seed: number; most: number }[];
  readonly counts: Map<string, CellCounts>;
  /** Number of the batch's first trial. */
  readonly first: number;
}

async function measureSetting(run: SettingRun): Promise<void> {
  const { batch, setting, counts, first, tops } = run;
  const { heads, context } = batch.shape;
  const digits = Array.from({ length: heads }, (_, head) => (first + head) % DIGITS);
  const planted = batch.plant(digits.map((digit) => setting.edits(digit)));
  const dense = await batch.attend();
  for (const arm of setting.arms) {
    const { outcomes, attended } = await attendArm(run, { arm, planted, dense });
    const key = cellKey(setting, arm);
    let cell = counts.get(key);
    if (!cell) counts.set(key, cell = new CellCounts());
    cell.attended = attended;
    for (const [head, { output, needle, query, mass, finest }] of outcomes.entries()) {
      const correct = decodeDigit(output) === digits[head];
      cell.correct.push(correct);
      if (needle) cell.needle++;
      if (query) cell.query++;
      if (finest !== undefined) cell.finest[finest] = (cell.finest[finest] ?? 0) + 1;
      if (!correct) cell.lost[!needle ? "needle" : !query ? "query" : "diluted"]++;
      cell.mass += mass;
      cell.error += relativeError(output, dense[head].output);
      const own = planted[head][0];
      if (!own) continue;
      cell.norm += own.salience;
      if (tops[head].withEdits(planted[head]).largest === own.logit) cell.largest++;
      if (setting.sweep === "transition" && arm.name === "dense") {
        const moments = logitMoments(batch.query(head));
        const law = massGivenLogit({ context, logit: own.logit, moments });
        cell.massMean += law.mean;
        cell.massVariance += law.variance;
      }
    }
  }
}

async function attendArm(
  run: SettingRun,
  options: { arm: Arm; planted: readonly PlantedRow[][]; dense: readonly AttendedRow[] },
): Promise<{ outcomes: Outcome[]; attended: number }> {
  const { batch, setting, plan, tops, lots } = run;
  const { arm, planted, dense } = options;
  const { context } = batch.shape;
  const needles = setting.needles.length;
  if (arm.lighthouse) {
    const layer = await batch.lighthouse(arm.lighthouse);
    const { rows, selected } = await layer.run(planted.map(() => setting.needles));
    const outcomes = rows.map(({ levels, output }, head): Outcome => {
      const own = levels[0];
      const found = selected[head];
      let mass = 0;
      for (const [i, one] of planted[head].slice(0, needles).entries()) {
        if (own && found[i][0]) mass += Math.exp(one.logit - own.lse);
      }
      const finest = Math.min(...found.map((present) => present.indexOf(true)));
      return {
        output,
        needle: found.some(([finest]) => finest),
        query: own !== null,
        mass,
        finest,
      };
    });
    return { outcomes, attended: layer.gathered };
  }
  const admissions = planted.map((own, head): RowAdmission => {
    if (arm.name === "oracle") return { leastLogit: tops[head].withEdits(own).threshold };
    if (arm.name === "random") return { hash: lots[head] };
    if (arm.name === "window") return { first: context - plan.attended };
    return {};
  });
  const whole = arm.name === "dense" || arm.name === "absent";
  const rows = whole ? dense : await batch.attend(admissions);
  const outcomes = rows.map(({ lse, output }, head): Outcome => {
    const { first = 0, hash, leastLogit = -Infinity } = admissions[head];
    const kept = planted[head].slice(0, needles).filter(({ row, logit }) =>
      row >= first && logit >= leastLogit &&
      (hash === undefined || pcg((row + hash.seed) >>> 0) <= hash.most)
    );
    const mass = kept.reduce((sum, { logit }) => sum + Math.exp(logit - lse), 0);
    return { output, needle: kept.length > 0, query: true, mass };
  });
  return { outcomes, attended: whole ? context : plan.attended };
}

/**
 * The count-th smallest of pcg(row + seed) over all rows: rows up to it are a random choice of exactly
 * that many, since pcg is one to one.
 */
export function smallestHash(seed: number, options: { rows: number; count: number }): number {
  const { rows, count } = options;
  if (count >= rows) return 0xffffffff;
  const hashes = Uint32Array.from({ length: rows }, (_, row) => pcg((row + seed) >>> 0));
  const buckets = new Uint32Array(65536);
  for (const hash of hashes) buckets[hash >>> 16]++;
  let bucket = 0;
  let before = 0;
  while (before + buckets[bucket] < count) before += buckets[bucket++];
  const inside = hashes.filter((hash) => hash >>> 16 === bucket).sort();
  return inside[count - before - 1];
}

function cellKey(setting: Setting, { name, lighthouse }: Arm): string {
  const { sweep, depth, margin, salience, stress } = setting;
  return JSON.stringify([sweep, depth, margin, salience, stress, name, lighthouse]);
}

function cellsOf(plan: ContextPlan, counts: Map<string, CellCounts>): RetrievalCell[] {
  return plan.settings.flatMap((setting) =>
    setting.arms.flatMap((arm): RetrievalCell[] => {
      const found = counts.get(cellKey(setting, arm));
      if (!found) return [];
      const { lighthouse, name } = arm;
      const { sweep, depth, margin, salience, stress, needles } = setting;
      const trials = found.correct.length;
      const correct = found.correct.filter(Boolean).length;
      const { low, high } = wilsonInterval(correct, trials);
      const paired = ["dense", "random"].flatMap((other) => {
        const with_ = counts.get(cellKey(setting, { name: other }));
        if (!with_ || other === name || with_.correct.length !== trials) return [];
        const onlyThis = found.correct.filter((own, t) => own && !with_.correct[t]).length;
        const onlyOther = found.correct.filter((own, t) => !own && with_.correct[t]).length;
        return [{ with: other, onlyThis, onlyOther, probability: mcNemar(onlyThis, onlyOther) }];
      });
      return [{
        sweep,
        arm: name,
        context: plan.context,
        ...(depth !== undefined && { depth }),
        margin,
        ...(salience !== undefined && { salience }),
        ...(stress !== undefined && { stress }),
        ...(lighthouse && {
          lighthouse: { ...lighthouse },
          finestLevels: Array.from({ length: lighthouse.levels }, (_, l) => found.finest[l] ?? 0),
        }),
        attended: found.attended,
        needles: needles.length,
        trials,
        correct,
        low,
        high,
        needleSelected: found.needle,
        querySelected: found.query,
        lost: found.lost,
        largest: found.largest,
        mass: found.mass / trials,
        norm: needles.length > 0 ? found.norm / trials : null,
        outputError: found.error / trials,
        paired,
      }];
    })
  );
}

/** What dense attention and the oracle did at one context, against their laws. */
function instrumentOf(
  plan: ContextPlan,
  options: { counts: Map<string, CellCounts>; headDim: number; checks: number },
): InstrumentRecord[] {
  const { counts, headDim } = options;
  const { context, attended } = plan;
  const confidence = 1 - (1 - CONFIDENCE) / options.checks;
  const z = normalQuantile(0.5 + confidence / 2);
  return plan.settings.filter(({ sweep }) => sweep === "transition").flatMap((setting) => {
    const of = (name: string) => counts.get(cellKey(setting, { name }));
    const { margin } = setting;
    const rate = (
      quantity: InstrumentRecord["quantity"],
      found: { hits: number; trials: number; law: number },
    ): InstrumentRecord => {
      const { hits, trials, law } = found;
      const { low, high } = acceptanceBand(law, { trials, confidence });
      const measured = hits / trials;
      const passed = measured >= low && measured <= high;
      return { quantity, context, margin, trials, measured, law, low, high, passed };
    };
    const hits = (cell: CellCounts) => cell.correct.filter(Boolean).length;
    const found: InstrumentRecord[] = [];
    const absent = of("absent");
    if (absent) {
      const trials = absent.correct.length;
      found.push(rate("absent", { hits: hits(absent), trials, law: 1 / DIGITS }));
    }
    const dense = of("dense");
    if (dense) {
      const trials = dense.correct.length;
      const model = { context, margin };
      const law = dense.massMean / trials;
      // Beside chance, float32 weights: a few parts in a million.
      const half = z * Math.sqrt(dense.massVariance) / trials + 1e-5 * law;
      const measured = dense.mass / trials;
      found.push(
        rate("largest", { hits: dense.largest, trials, law: largestLogitLaw(model) }),
        {
          quantity: "mass",
          context,
          margin,
          trials,
          measured,
          law,
          low: law - half,
          high: law + half,
          passed: Math.abs(measured - law) <= half,
        },
        rate("accuracy", { hits: hits(dense), trials, law: accuracyLaw({ ...model, headDim }) }),
      );
    }
    const oracle = of("oracle");
    if (oracle) {
      const law = oracleLaw({ context, margin, selected: attended });
      found.push(rate("oracle", { hits: oracle.needle, trials: oracle.correct.length, law }));
    }
    return found;
  });
}

/** The laws along the margins of a context's transition. */
function lawsOf(
  { context, attended, settings }: ContextPlan,
  { headDim }: RetrievalProfile,
): RetrievalRecord["laws"] {
  const margins = settings.filter(({ sweep, needles }) =>
    sweep === "transition" && needles.length > 0
  ).map(({ margin }) => margin);
  if (margins.length === 0) return [];
  const [low, high] = [Math.min(...margins), Math.max(...margins)];
  const steps = Math.max(1, Math.min(24, Math.round((high - low) * 4)));
  return Array.from({ length: steps + 1 }, (_, i) => {
    const margin = low + (high - low) * i / steps;
    const model = { context, margin };
    return {
      ...model,
      largest: largestLogitLaw(model),
      mass: massLaw(model).mean,
      accuracy: accuracyLaw({ ...model, headDim }),
      oracle: oracleLaw({ ...model, selected: attended }),
    };
  });
}

function relativeError(have: Float64Array, want: Float64Array): number {
  let [error, size] = [0, 0];
  for (let c = 0; c < want.length; c++) {
    error += (have[c] - want[c]) ** 2;
    size += want[c] ** 2;
  }
  return Math.sqrt(error / size);
}
