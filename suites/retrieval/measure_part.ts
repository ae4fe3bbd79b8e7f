/**
 * The retrieval suite's measurements: whether the mechanism finds a needle and carries its value.
 * No trained model is used; attention runs over synthetic Q, K, V whose laws are known.
 *
 * @module
 */
import { type DType, MemoryError } from "../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { pcg } from "../../kernels/gpu/random.ts";
import type { AttendedRow, RowAdmission } from "../../kernels/retrieval/last_row.ts";
import type { LayerRows } from "../../kernels/retrieval/layer_rows.ts";
import type { Pace } from "../../kernels/retrieval/lighthouse_last_row.ts";
import { resolveBudget } from "../plan/profile.ts";
import type { InstrumentRecord, RetrievalCell, RetrievalRecord } from "../result/result_schema.ts";
import { CellCounts, cellKey, cellsOf } from "./cells.ts";
import { CONFIDENCE, instrumentOf, lawsOf } from "./instrument.ts";
import { DIGITS, logitMoments, massGivenLogit, salienceLaw } from "./law.ts";
import { decodeDigit, type PlantedRow } from "./planting.ts";
import type { RetrievalProfile } from "./profile.ts";
import type { Arm, PartPlan, Setting } from "./retrieval_plan.ts";
import { type Outcome, rivalKeys, rivalOutcomes } from "./rival_trials.ts";
import { TopLogits } from "./top_logits.ts";
import { batchHeads, TrialBatch } from "./trial_batch.ts";

/** Seeds of Q, K and V of one batch, with spare ones. */
const SEEDS_PER_BATCH = 8;

/** Settings whose results may be pending while the next ones are submitted. */
const IN_FLIGHT = 4;

/** Options of {@linkcode measurePart}. */
export interface MeasurePartOptions {
  readonly profile: RetrievalProfile;
  readonly seed: number;
  readonly dtype: DType;
  /** Instrument checks of the whole plan: bands widen with their number. */
  readonly checks: number;
  /** Whether the suite's time is used up. */
  readonly late: () => boolean;
  /** What the device is known to reach, kept from part to part. */
  readonly pace?: Pace;
  readonly signal?: AbortSignal;
  /** Reports what is in progress. */
  readonly step?: (text: string) => void;
  /** Is given the cells so far, after each setting; their counts grow from batch to batch. */
  readonly found?: (cells: readonly RetrievalCell[]) => void;
}

/** The findings of one part. */
export interface PartResult {
  readonly cells: RetrievalCell[];
  readonly instrument: InstrumentRecord[];
  readonly laws: RetrievalRecord["laws"];
  /** What did not fit the time; undefined if all of it was measured. */
  readonly cut?: string;
}

/** A record without cells. */
export function emptyRecord(
  { profile, seed, dtype, skipped }: {
    profile: RetrievalProfile;
    seed: number;
    dtype: DType;
    skipped: readonly string[];
  },
): RetrievalRecord {
  const { keys, headDim } = profile;
  return {
    profile: profile.name,
    headDim,
    dtype,
    seed,
    trials: profile.trials,
    confidence: CONFIDENCE,
    cells: [],
    instrument: [],
    laws: [],
    survivalLaws: keys
      ? keys.layers.map(({ k: rule }) => {
        const k = resolveBudget(rule, keys.context);
        return {
          context: keys.context,
          k,
          salience: salienceLaw({ ratio: k / keys.context, headDim }),
        };
      })
      : [],
    skipped: [...skipped],
    seconds: 0,
  };
}

/**
 * Measures one part on a device.
 *
 * @throws {MemoryError} when the device has no room for a single trial.
 * @throws {DOMException} `AbortError` when the signal fires.
 */
export async function measurePart(
  gpu: Gpu,
  plan: PartPlan,
  options: MeasurePartOptions,
): Promise<PartResult> {
  const { profile, dtype } = options;
  const { context } = plan;
  const { headDim, trials } = profile;
  let most = batchHeads(gpu, { heads: trials, context, headDim, dtype });
  for (;;) {
    const batches = Math.ceil(trials / most);
    const heads = Math.ceil(trials / batches);
    try {
      const { counts, cut } = await measureTrials(gpu, plan, { ...options, heads, batches });
      return {
        cells: cellsOf(plan, counts),
        instrument: instrumentOf(plan, { counts, headDim, checks: options.checks }),
        laws: lawsOf(plan, profile),
        ...(cut !== undefined && { cut }),
      };
    } catch (error) {
      if (!(error instanceof MemoryError) || heads === 1) throw error;
      // Only the device knows what layers need besides the inputs.
      most = Math.floor(heads / 2);
    }
  }
}

async function measureTrials(
  gpu: Gpu,
  plan: PartPlan,
  options: MeasurePartOptions & { heads: number; batches: number },
): Promise<{ counts: Map<string, CellCounts>; cut?: string }> {
  const { profile, seed, dtype, signal, late, heads, batches, pace } = options;
  const { context, settings } = plan;
  const { trials } = profile;
  const counts = new Map<string, CellCounts>();
  const batch = await TrialBatch.create(gpu, { heads, context, headDim: profile.headDim, dtype }, {
    pace,
  });
  const pending: (() => Promise<void>)[] = [];
  const finishOne = async () => {
    await pending.shift()!();
    options.found?.(cellsOf(plan, counts));
  };
  const left: number[] = [];
  try {
    for (let b = 0; b < batches; b++) {
      signal?.throwIfAborted();
      if (late()) {
        left.push(settings.length);
        continue;
      }
      options.step?.(`retrieval ${plan.name} at ${context}: batch ${b + 1} of ${batches}`);
      await batch.fill((seed + b * SEEDS_PER_BATCH) >>> 0);
      await batch.attend();
      const logits = await batch.readLogits();
      const tops = logits.map((own) => new TopLogits(own, { count: plan.attended }));
      const lots = logits.map((_, head) => {
        const own = pcg((seed + 0x9e3779b9 * (b * heads + head + 1)) >>> 0);
        return { seed: own, most: smallestHash(own, { rows: context, count: plan.attended }) };
      });
      for (const [i, setting] of settings.entries()) {
        signal?.throwIfAborted();
        if (late()) {
          left.push(settings.length - i);
          break;
        }
        const run = {
          batch,
          setting,
          plan,
          tops,
          lots,
          logits,
          counts,
          first: b * heads,
          trials,
          signal,
        };
        pending.push(await startSetting(run));
        if (pending.length >= IN_FLIGHT) await finishOne();
      }
      // The next batch reads other trials.
      while (pending.length > 0) await finishOne();
    }
  } finally {
    batch.destroy();
  }
  const missing = left.reduce((sum, count) => sum + count, 0);
  if (missing === 0) return { counts };
  const all = batches * settings.length;
  return {
    counts,
    cut: `${missing} of ${all} settings times batches left out: the budget was spent`,
  };
}

/** Everything that one setting of one batch needs. */
interface SettingRun {
  readonly batch: TrialBatch;
  readonly setting: Setting;
  readonly plan: PartPlan;
  readonly tops: readonly TopLogits[];
  readonly lots: readonly { seed: number; most: number }[];
  /** Of all rows before planting, by head. */
  readonly logits: readonly Float32Array[];
  readonly counts: Map<string, CellCounts>;
  /** Of all batches. */
  readonly trials: number;
  /** Number of the batch's first trial. */
  readonly first: number;
  readonly signal?: AbortSignal;
}

/** Submits a setting; the returned function waits for the results and counts them. */
async function startSetting(run: SettingRun): Promise<() => Promise<void>> {
  const { batch, setting, first, tops, plan, signal } = run;
  const { heads } = batch.shape;
  const digits = Array.from({ length: heads }, (_, head) => (first + head) % DIGITS);
  const planted = batch.plant(digits.map((digit) => setting.edits(digit)));
  const ranks = planted.map((own, head) => tops[head].withEdits(own));
  const filtered = setting.arms.filter(({ name }) => ["oracle", "random", "window"].includes(name));
  const admissions = filtered.map(({ name }) =>
    ranks.map(({ threshold }, head): RowAdmission => {
      if (name === "oracle") return { leastLogit: threshold };
      if (name === "random") return { hash: run.lots[head] };
      // A gathered sequence may be longer than the context.
      return { first: Math.max(0, batch.shape.context - plan.attended) };
    })
  );
  const layered = setting.arms.filter(({ lighthouse }) => lighthouse);
  const rivals = setting.arms.flatMap((arm) =>
    arm.rival ? [{ arm, keys: rivalKeys(arm.rival, { ...run, shape: batch.shape, planted }) }] : []
  );
  const finish = await batch.start({
    plain: [planted.map(() => ({})), ...admissions],
    layers: layered.map(({ lighthouse }) => lighthouse!),
    watched: planted.map(() => setting.needles),
    lists: rivals.map(({ keys }) => keys),
    signal,
  });
  return async () => {
    const { plain: [dense, ...others], layers, listed } = await finish();
    const found = { digits, planted, dense, largest: ranks.map(({ largest }) => largest) };
    for (const arm of setting.arms) {
      const i = filtered.indexOf(arm);
      if (arm.lighthouse) {
        const layer = layers[layered.indexOf(arm)];
        const outcomes = layerOutcomes(setting, { layer, planted });
        countTrials(run, { ...found, arm, outcomes, attended: layer.gathered });
      } else if (arm.rival) {
        const at = rivals.findIndex((one) => one.arm === arm);
        const { keys } = rivals[at];
        const outcomes = rivalOutcomes(setting, { keys, outputs: listed[at], planted });
        const rows = keys.reduce((sum, { rows }) => sum + rows.length, 0);
        const attended = Math.max(1, Math.round(rows / keys.length));
        countTrials(run, { ...found, arm, outcomes, attended });
      } else {
        const rows = i < 0 ? dense : others[i];
        const outcomes = plainOutcomes(setting, { rows, planted, admissions: admissions[i] ?? [] });
        const attended = i < 0 ? batch.shape.context : plan.attended;
        countTrials(run, { ...found, arm, outcomes, attended });
      }
    }
  };
}

/** Adds the results of an arm in the trials of a batch to its counts. */
function countTrials(
  { batch, setting, counts }: SettingRun,
  found: {
    arm: Arm;
    outcomes: readonly Outcome[];
    attended: number;
    digits: readonly number[];
    planted: readonly PlantedRow[][];
    dense: readonly AttendedRow[];
    largest: readonly number[];
  },
): void {
  const { arm, outcomes, attended, digits, planted, dense, largest } = found;
  const { context } = batch.shape;
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
    if (largest[head] === own.logit) cell.largest++;
    if (setting.sweep === "transition" && arm.name === "dense") {
      const moments = logitMoments(batch.query(head));
      const law = massGivenLogit({ context, logit: own.logit, moments });
      cell.massMean += law.mean;
      cell.massVariance += law.variance;
    }
  }
}

function layerOutcomes(
  { needles }: Setting,
  { layer, planted }: { layer: LayerRows; planted: readonly PlantedRow[][] },
): Outcome[] {
  return layer.rows.map(({ levels, output }, head): Outcome => {
    const own = levels[0];
    const found = layer.selected[head];
    let mass = 0;
    for (const [i, one] of planted[head].slice(0, needles.length).entries()) {
      if (own && found[i][0]) mass += Math.exp(one.logit - own.lse);
    }
    return {
      output,
      needle: found.some(([finest]) => finest),
      query: own !== null,
      mass,
      finest: finestLevel(found),
    };
  });
}

/** Finest level at which one of several rows was selected; undefined if none was at any. */
export function finestLevel(selected: readonly (readonly boolean[])[]): number | undefined {
  const levels = selected.map((present) => present.indexOf(true)).filter((level) => level >= 0);
  return levels.length > 0 ? Math.min(...levels) : undefined;
}

function plainOutcomes(
  { needles }: Setting,
  options: {
    rows: readonly AttendedRow[];
    planted: readonly PlantedRow[][];
    admissions: readonly RowAdmission[];
  },
): Outcome[] {
  const { rows, planted, admissions } = options;
  return rows.map(({ lse, output }, head): Outcome => {
    const { first = 0, hash, leastLogit = -Infinity } = admissions[head] ?? {};
    const kept = planted[head].slice(0, needles.length).filter(({ row, logit }) =>
      row >= first && logit >= leastLogit &&
      (hash === undefined || pcg((row + hash.seed) >>> 0) <= hash.most)
    );
    const mass = kept.reduce((sum, { logit }) => sum + Math.exp(logit - lse), 0);
    return { output, needle: kept.length > 0, query: true, mass };
  });
}

/**
 * The count-th smallest of pcg(row + seed) over all rows. Rows up to it are a random choice of
 * exactly that many, since pcg is one to one.
 */
export function smallestHash(seed: number, options: { rows: number; count: number }): number {
  const { rows, count } = options;
  if (count >= rows) return 0xffffffff;
  const hashes = new Uint32Array(rows);
  const buckets = new Uint32Array(65536);
  for (let row = 0; row < rows; row++) {
    const hash = pcg((row + seed) >>> 0);
    hashes[row] = hash;
    buckets[hash >>> 16]++;
  }
  let bucket = 0;
  let before = 0;
  while (before + buckets[bucket] < count) before += buckets[bucket++];
  const inside = hashes.filter((hash) => hash >>> 16 === bucket).sort();
  return inside[count - before - 1];
}

function relativeError(have: Float64Array, want: Float64Array): number {
  let [error, size] = [0, 0];
  for (let c = 0; c < want.length; c++) {
    error += (have[c] - want[c]) ** 2;
    size += want[c] ** 2;
  }
  return Math.sqrt(error / size);
}
