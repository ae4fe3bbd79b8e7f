/**
 * Checks a selection against the specification, tile by tile with float64 scores, so that a sample
 * of tiles can be checked at any context. It separates rounding from mistakes: an entry may differ
 * from the float64 choice only where its score ties with the threshold within rounding.
 *
 * @module
 */
import {
  type LighthouseGeometry,
  locateEntry,
  PARENTS,
  RANKED,
} from "../../kernels/lighthouse/lighthouse_geometry.ts";

/** Scores of the base rows of one tile: `[rows]` each, row 0 is the tile's first base row. */
export interface TileScores {
  readonly query: Float64Array;
  readonly key: Float64Array;
}

/** What a check of one tile found. */
export interface TileVerdict {
  readonly passed: boolean;
  /** Parents that differ from the float64 choice, each a tie within rounding. */
  readonly ties: number;
  /** What is wrong: one line. */
  readonly detail?: string;
}

/** Relative difference of two squared norms below which f32 rounding may order them either way. */
export function tieTolerance(headDim: number): number {
  // A sum of d products in f32, in any order: at most d roundings, each half a unit in the last
  // place of a partial sum that never exceeds the total, on either side of the comparison.
  return 2 * headDim * 2 ** -24;
}

/**
 * Scores below this one are as uncertain as it is: 2^-24 of it is what a device may flush to zero
 * in each of the products that they sum.
 */
export const LEAST_SCORE = 2 ** -102;

/** Base rows under one tile: `first … first + rows - 1`. */
export function tileRows(geometry: LighthouseGeometry, tile: number) {
  const rows = geometry.tileEntries * geometry.windowRows;
  return { first: tile * rows, rows };
}

/**
 * Checks the part of a head's selection that belongs to one tile: which entries are emitted, and in
 * which order.
 *
 * @param emitted pyramid indices of the tile in gathered order, `[S/T]`.
 */
export function checkTile(
  emitted: Int32Array,
  options: {
    geometry: LighthouseGeometry;
    tile: number;
    scores: TileScores;
    tolerance: number;
  },
): TileVerdict {
  const { geometry, tile, scores, tolerance } = options;
  const { levels, pooling, levelOffsets, tileEntries, gatheredPerTile } = geometry;
  if (emitted.length !== gatheredPerTile) {
    return fail(`${emitted.length} entries, ${gatheredPerTile} expected`);
  }
  const byLevel: Set<number>[] = Array.from({ length: levels }, () => new Set());
  for (const entry of emitted) {
    if (entry < 0 || entry >= geometry.entries) {
      return fail(`entry ${entry} is not a pyramid index`);
    }
    const { level, index } = locateEntry(geometry, entry);
    if (byLevel[level].has(index)) return fail(`entry ${entry} appears twice`);
    byLevel[level].add(index);
  }
  let candidates = Array.from({ length: tileEntries }, (_, i) => tile * tileEntries + i);
  const parents = new Set<number>();
  let ties = 0;
  for (let level = levels - 1; level >= 0; level--) {
    const found = byLevel[level];
    const strange = found.size !== candidates.length || candidates.some((i) => !found.has(i));
    if (strange) return fail(`level ${level} does not hold the children of one set of parents`);
    if (level === 0) break;
    const chosen = candidates.filter((i) => byLevel[level - 1].has(i * pooling));
    if (chosen.length !== PARENTS) return fail(`level ${level} has ${chosen.length} parents`);
    const verdict = checkParents(candidates, {
      chosen,
      query: levelScores(scores.query, { geometry, tile, level }),
      key: levelScores(scores.key, { geometry, tile, level }),
      tolerance,
    });
    if (!verdict.passed) return fail(`level ${level}: ${verdict.detail}`);
    ties += verdict.ties;
    chosen.forEach((i) => parents.add(levelOffsets[level] + i));
    candidates = chosen.flatMap((i) => Array.from({ length: pooling }, (_, c) => i * pooling + c));
  }
  const keys = [...emitted].map((entry) => positionKey(entry, { geometry, parents }));
  for (let m = 1; m < keys.length; m++) {
    const [a, b] = [keys[m - 1], keys[m]];
    if (a[0] > b[0] || a[0] === b[0] && a[1] >= b[1]) {
      return fail(`entries ${emitted[m - 1]} and ${emitted[m]} are out of causal order`);
    }
  }
  return { passed: true, ties };
}

function fail(detail: string): TileVerdict {
  return { passed: false, ties: 0, detail };
}

/** Scores of a tile's entries at one level, the maxima over their windows, by entry index. */
function levelScores(
  base: Float64Array,
  options: { geometry: LighthouseGeometry; tile: number; level: number },
): (index: number) => number {
  const { geometry, tile, level } = options;
  const window = geometry.pooling ** level;
  const { first } = tileRows(geometry, tile);
  return (index) => {
    let most = -Infinity;
    const start = index * window - first;
    for (let r = start; r < start + window; r++) most = Math.max(most, base[r]);
    return most;
  };
}

/**
 * 64 by query score, then 64 of the rest by key score. With ties, the split of the chosen entries
 * into the two rankings cannot be seen from the result, so every entry clearly above a threshold
 * must be chosen, and every chosen one must reach a threshold within the tolerance.
 */
function checkParents(
  candidates: readonly number[],
  options: {
    chosen: readonly number[];
    query: (index: number) => number;
    key: (index: number) => number;
    tolerance: number;
  },
): TileVerdict {
  const { chosen, query, key, tolerance } = options;
  const rank = (of: readonly number[], score: (index: number) => number) =>
    of.map((index) => ({ index, score: score(index) }))
      .sort((a, b) => b.score - a.score || a.index - b.index);
  const byQuery = rank(candidates, query);
  const first = new Set(byQuery.slice(0, RANKED).map(({ index }) => index));
  const byKey = rank(candidates.filter((index) => !first.has(index)), key);
  const want = new Set([...first, ...byKey.slice(0, RANKED).map(({ index }) => index)]);
  const have = new Set(chosen);
  const differing = [...want].filter((index) => !have.has(index))
    .concat(chosen.filter((index) => !want.has(index)));
  const near = (value: number, threshold: number) =>
    Math.abs(value - threshold) <= tolerance * Math.max(Math.abs(threshold), LEAST_SCORE);
  const queryThreshold = byQuery[RANKED - 1].score;
  const keyThreshold = byKey[RANKED - 1].score;
  // An entry that a query tie moves from one ranking to the other shifts the key threshold by one
  // rank.
  const queryTie = byQuery.slice(RANKED).some(({ score }) => near(score, queryThreshold));
  const keyReach = queryTie
    ? [byKey[RANKED - 2].score, keyThreshold, (byKey[RANKED] ?? byKey[RANKED - 1]).score]
    : [keyThreshold];
  for (const index of differing) {
    const tied = near(query(index), queryThreshold) ||
      keyReach.some((threshold) => near(key(index), threshold));
    if (!tied) {
      return fail(
        `entry ${index} with scores ${query(index)} and ${key(index)} is ` +
          `${want.has(index) ? "missing" : "chosen"} against thresholds ` +
          `${queryThreshold} and ${keyThreshold}`,
      );
    }
  }
  return { passed: true, ties: differing.length };
}

/**
 * The position key in two parts: base position, then order at that position. A parent comes after
 * everything inside its window, just before its end, inner ones first; any other entry comes at its
 * start.
 */
function positionKey(
  entry: number,
  options: { geometry: LighthouseGeometry; parents: ReadonlySet<number> },
): [number, number] {
  const { geometry, parents } = options;
  const { level, index } = locateEntry(geometry, entry);
  const window = geometry.pooling ** level;
  if (!parents.has(entry)) return [window * index, 0];
  // c·(i+1) - 2^(-ℓ) lies between the last base position of the window and its end.
  return [window * (index + 1) - 1, 1 - 2 ** -level];
}

/** Base rows of one head that no entry covers: rows before the first coarsest entry reaches. */
export function uncoveredRows(selection: Int32Array, geometry: LighthouseGeometry): number[] {
  const { windowRows, levels, pooling, levelOffsets } = geometry;
  const selected = new Set<number>();
  for (const entry of selection) {
    const { level, index } = locateEntry(geometry, entry);
    if (index < windowRows) selected.add(levelOffsets[level] + index);
  }
  const rows: number[] = [];
  // Every coarsest entry is emitted, so only rows before the first one's reach can be uncovered.
  for (let row = 0; row < windowRows - 1; row++) {
    let covered = false;
    for (let level = 0; level < levels; level++) {
      const window = pooling ** level;
      const index = Math.floor((row + 1) / window) - 1;
      if (index >= 0 && selected.has(levelOffsets[level] + index)) covered = true;
    }
    if (!covered) rows.push(row);
  }
  return rows;
}
