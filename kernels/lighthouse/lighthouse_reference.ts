/**
 * The whole layer in float64 with plain loops, for one head at a time: the reference of tests and
 * of `verify`. Written from the specification, not from the kernels: selection sorts, placement
 * sorts by position key, and the scatter adds to the rows that each entry reaches.
 *
 * Shapes: base rows `[N, d]`, pooled rows `[P - N, d]` (levels 1 … L-1, finest first), scores
 * `[P]`, selection `[S]` pyramid indices in gathered order.
 *
 * @module
 */
import { requireHead } from "../dense_attention/dense_attention_reference.ts";
import { requireNumbers, requireRecord, requireWhole } from "../gpu/require.ts";
import type { LighthouseGeometry } from "./lighthouse_geometry.ts";
import { locateEntry, RANKED } from "./lighthouse_geometry.ts";

/** Elements of one head on the host. */
export type Numbers = ArrayLike<number>;

/**
 * Checks pyramid indices.
 *
 * @throws {TypeError} when they are not numbers.
 * @throws {RangeError} when there are none, or one of them is not an index of the pyramid.
 */
export function requireSelection(
  action: string,
  selection: Numbers,
  { entries }: LighthouseGeometry,
): void {
  requireNumbers(action, "the selection", selection);
  requireWhole(action, "entries of the selection", selection.length);
  for (let i = 0; i < selection.length; i++) {
    requireWhole(action, "pyramid index", selection[i], { least: 0, most: entries - 1 });
  }
}

/** Means of the base rows under every entry of levels 1 … L-1: `[P - N, d]`. */
export function poolReference(
  rows: Numbers,
  geometry: LighthouseGeometry,
  headDim: number,
): Float64Array {
  const pooled = new Float64Array(geometry.pooledEntries * headDim);
  for (let level = 1; level < geometry.levels; level++) {
    const window = geometry.pooling ** level;
    const first = geometry.levelOffsets[level] - geometry.context;
    for (let i = 0; i < geometry.levelEntries[level]; i++) {
      for (let c = 0; c < headDim; c++) {
        let sum = 0;
        for (let r = i * window; r < (i + 1) * window; r++) sum += rows[r * headDim + c];
        pooled[(first + i) * headDim + c] = sum / window;
      }
    }
  }
  return pooled;
}

/**
 * Norm scores `[P]`: the SQUARED Euclidean norm of each base row and its maximum over the window of
 * each coarser entry. Squares have the same order as norms, without the rounding of a square root.
 */
export function normScoresReference(
  rows: Numbers,
  geometry: LighthouseGeometry,
  headDim: number,
): Float64Array {
  const scores = new Float64Array(geometry.entries);
  for (let r = 0; r < geometry.context; r++) {
    let sum = 0;
    for (let c = 0; c < headDim; c++) sum += rows[r * headDim + c] ** 2;
    scores[r] = sum;
  }
  return maximaReference(scores, geometry);
}

/**
 * Extends base scores `[N]` (or `[P]`, whose coarser part is overwritten) by window maxima: `[P]`.
 *
 * @throws {RangeError} when the number of scores is neither N nor P.
 */
export function maximaReference(base: Numbers, geometry: LighthouseGeometry): Float64Array {
  const { context, entries } = geometry;
  requireNumbers("maxima reference", "scores", base, {
    count: base?.length === entries ? entries : context,
    shape: `[${context}] or [${entries}]`,
  });
  const scores = new Float64Array(geometry.entries);
  for (let r = 0; r < geometry.context; r++) scores[r] = base[r];
  for (let level = 1; level < geometry.levels; level++) {
    const window = geometry.pooling ** level;
    for (let i = 0; i < geometry.levelEntries[level]; i++) {
      let most = -Infinity;
      for (let r = i * window; r < (i + 1) * window; r++) most = Math.max(most, base[r]);
      scores[geometry.levelOffsets[level] + i] = most;
    }
  }
  return scores;
}

/**
 * The stratified cascade of section 4 on given scores `[P]`.
 *
 * @returns pyramid indices in gathered order, `[S]`.
 * @throws {RangeError} when one of the arrays does not have P scores.
 */
export function selectReference(
  queryScores: Numbers,
  keyScores: Numbers,
  geometry: LighthouseGeometry,
): Int32Array {
  const { levels, pooling, levelOffsets, tileEntries } = geometry;
  for (const [name, scores] of Object.entries({ queryScores, keyScores })) {
    requireNumbers("select reference", name, scores, {
      count: geometry.entries,
      shape: `[${geometry.entries}]`,
    });
  }
  const emitted: { entry: number; key: number }[] = [];
  // Keys c·(i+1) - 2^-ℓ times 2^(L-1) are integers far below 2^53.
  const unit = 2 ** (levels - 1);
  for (let tile = 0; tile < geometry.tiles; tile++) {
    let candidates = Array.from({ length: tileEntries }, (_, e) => tile * tileEntries + e);
    for (let level = levels - 1; level >= 0; level--) {
      const off = levelOffsets[level];
      const window = pooling ** level;
      const parents = new Set<number>();
      if (level > 0) {
        for (const scores of [queryScores, keyScores]) {
          const rest = candidates.filter((i) => !parents.has(i));
          rest.sort((a, b) => compareScores(scores[off + a], scores[off + b]) || a - b);
          for (const i of rest.slice(0, RANKED)) parents.add(i);
        }
      }
      for (const i of candidates) {
        const key = parents.has(i)
          ? window * (i + 1) * unit - 2 ** (levels - 1 - level)
          : window * i * unit;
        emitted.push({ entry: off + i, key });
      }
      candidates = [...parents].flatMap((i) =>
        Array.from({ length: pooling }, (_, child) => i * pooling + child)
      );
    }
  }
  emitted.sort((a, b) => a.key - b.key);
  return Int32Array.from(emitted, ({ entry }) => entry);
}

/** Larger scores first; NaN last. */
function compareScores(a: number, b: number): number {
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
  return a < b ? 1 : a > b ? -1 : 0;
}

/** Rows of the base tensor and its pooled levels at pyramid indices: `[S, d]`. */
export function gatherReference(
  selection: Numbers,
  source: { rows: Numbers; pooled: Numbers; context: number; headDim: number },
): Float64Array {
  const { rows, pooled, context, headDim } = source;
  const gathered = new Float64Array(selection.length * headDim);
  for (let s = 0; s < selection.length; s++) {
    const entry = selection[s];
    for (let c = 0; c < headDim; c++) {
      gathered[s * headDim + c] = entry < context
        ? rows[entry * headDim + c]
        : pooled[(entry - context) * headDim + c];
    }
  }
  return gathered;
}

/** Causal softmax attention at scale 1/√d over rows `[S, d]`, and its natural log-sum-exp `[S]`. */
export function attendReference(
  tensors: { q: Numbers; k: Numbers; v: Numbers },
  headDim: number,
): { output: Float64Array; lse: Float64Array } {
  const { q, k, v } = tensors;
  const count = q.length / headDim;
  const output = new Float64Array(count * headDim);
  const lse = new Float64Array(count);
  const logits = new Float64Array(count);
  const scale = 1 / Math.sqrt(headDim);
  for (let i = 0; i < count; i++) {
    let most = -Infinity;
    for (let j = 0; j <= i; j++) {
      let dot = 0;
      for (let c = 0; c < headDim; c++) dot += q[i * headDim + c] * k[j * headDim + c];
      logits[j] = dot * scale;
      most = Math.max(most, logits[j]);
    }
    let sum = 0;
    for (let j = 0; j <= i; j++) {
      const weight = Math.exp(logits[j] - most);
      sum += weight;
      for (let c = 0; c < headDim; c++) output[i * headDim + c] += weight * v[j * headDim + c];
    }
    for (let c = 0; c < headDim; c++) output[i * headDim + c] /= sum;
    lse[i] = most + Math.log(sum);
  }
  return { output, lse };
}

/**
 * Adds each gathered row to the base rows that its entry reaches (section 5): `[N, d]`.
 *
 * @throws {RangeError} when the gathered elements do not match the selection, or an index is
 * invalid.
 */
export function scatterReference(
  gathered: Numbers,
  selection: Numbers,
  geometry: LighthouseGeometry,
): Float64Array {
  const action = "scatter reference";
  requireSelection(action, selection, geometry);
  requireNumbers(action, "gathered rows", gathered);
  requireWhole(action, "elements of a gathered row", gathered.length / selection.length);
  const headDim = gathered.length / selection.length;
  const output = new Float64Array(geometry.context * headDim);
  for (let s = 0; s < selection.length; s++) {
    const { level, index } = locateEntry(geometry, selection[s]);
    const window = geometry.pooling ** level;
    const first = window * index + window - 1;
    const end = Math.min(first + window, geometry.context);
    for (let j = first; j < end; j++) {
      for (let c = 0; c < headDim; c++) output[j * headDim + c] += gathered[s * headDim + c];
    }
  }
  return output;
}

/** Base rows that no selected entry reaches. */
export function uncoveredReference(selection: Numbers, geometry: LighthouseGeometry): number[] {
  const ones = new Float64Array(selection.length).fill(1);
  const counts = scatterReference(ones, selection, geometry);
  return [...counts.keys()].filter((j) => counts[j] === 0);
}

/** All intermediate and final results of one head of the layer. */
export interface LighthouseReference {
  /** Squared norms of queries and their window maxima, `[P]`. */
  readonly queryScores: Float64Array;
  /** Squared norms of keys and their window maxima, `[P]`. */
  readonly keyScores: Float64Array;
  /** `[S]`. */
  readonly selection: Int32Array;
  /** `[S, d]` each. */
  readonly gathered: { q: Float64Array; k: Float64Array; v: Float64Array };
  /** Õ, `[S, d]`. */
  readonly attended: Float64Array;
  /** `[S]`. */
  readonly lse: Float64Array;
  /** `[N, d]`. */
  readonly output: Float64Array;
}

/** Options of {@linkcode lighthouseReference}. */
export interface LighthouseReferenceOptions {
  /** d. */
  readonly headDim: number;
  /** Replaces the computed selection, to compare outputs if rounding makes scores tie. */
  readonly selection?: Int32Array;
  /**
   * Rounds pooled and attended rows as storage does, for example `Math.f16round`, so that only
   * arithmetic is compared. Default: no rounding.
   */
  readonly store?: (value: number) => number;
}

/**
 * The norm-scorer layer for one head.
 *
 * @throws {TypeError} when a tensor is missing or not numbers.
 * @throws {RangeError} when tensors or the selection do not fit the geometry.
 */
export function lighthouseReference(
  tensors: { q: Numbers; k: Numbers; v: Numbers },
  geometry: LighthouseGeometry,
  options: LighthouseReferenceOptions,
): LighthouseReference {
  const action = "lighthouse reference";
  requireRecord(action, "tensors", tensors);
  requireRecord(action, "the options", options);
  const { headDim, store } = options;
  const { q, k, v } = tensors;
  requireHead(action, { q, k, v }, { headDim, rows: geometry.context });
  if (options.selection !== undefined) requireSelection(action, options.selection, geometry);
  const queryScores = normScoresReference(tensors.q, geometry, headDim);
  const keyScores = normScoresReference(tensors.k, geometry, headDim);
  const selection = options.selection ?? selectReference(queryScores, keyScores, geometry);
  const stored = (rows: Float64Array) => store ? rows.map(store) : rows;
  const gather = (rows: Numbers) =>
    gatherReference(selection, {
      rows,
      pooled: stored(poolReference(rows, geometry, headDim)),
      context: geometry.context,
      headDim,
    });
  const gathered = { q: gather(tensors.q), k: gather(tensors.k), v: gather(tensors.v) };
  const { output, lse } = attendReference(gathered, headDim);
  const attended = stored(output);
  return {
    queryScores,
    keyScores,
    selection,
    gathered,
    attended,
    lse,
    output: scatterReference(attended, selection, geometry),
  };
}
