/**
 * The unrolled functions of `pyramid.wgsl` and of its norm scores (`norm_scores.wgsl`).
 *
 * @module
 */
import { flatWgsl, range, wgsl } from "../../gpu/wgsl.ts";
import type { LighthouseGeometry } from "../lighthouse_geometry.ts";

/** How the rows of a window are read. */
export interface PyramidWalk {
  /** Rows that a thread loads before it uses the first. */
  readonly rowsInFlight: number;
  /** 16-byte words of a row, one per thread. */
  readonly columns: number;
  /** Whether norm scores are also written. */
  readonly scored: boolean;
}

/**
 * The unrolled part of scoring: `sumColumns()` adds one row in column order, `sumRows()` stores the
 * totals of all rows in flight in `partials`, `most<n>()` is the maximum of n totals.
 */
export function generateSums(
  geometry: LighthouseGeometry,
  { rowsInFlight, columns }: PyramidWalk,
): string {
  const shares = range(Math.ceil(rowsInFlight / columns));
  const windows = [...new Set([...windowsWithin(geometry, rowsInFlight), rowsInFlight])];
  const maximumOf = (rows: number) =>
    wgsl`
    fn most${rows}(place: Place, row: u32) -> u32 {
      var bits = totalOf(place, row);
      ${range(rows).slice(1).map((r) => `bits = max(bits, totalOf(place, row + ${r}u));`)}
      return bits;
    }
  `;
  return wgsl`
    fn sumColumns(first: u32, mask: u32) -> f32 {
      var sum = partials[first + mask];
      ${range(columns).slice(1).map((c) => `sum += partials[first + (${c}u ^ mask)];`)}
      return sum;
    }
    fn sumRows(place: Place, firstRow: u32) {
      workgroupBarrier();
      ${shares.map((n) => `let total${n} = sumRow(place, firstRow, ${n}u);`)}
      workgroupBarrier();
      ${shares.map((n) => `putTotal(place, ${n}u, total${n});`)}
      workgroupBarrier();
    }
    ${windows.map(maximumOf)}

  `;
}

/** Base rows per entry of each level whose windows fit into the rows in flight. */
function windowsWithin({ levels, pooling }: LighthouseGeometry, rowsInFlight: number): number[] {
  return range(levels).slice(1).map((level) => pooling ** level)
    .filter((rows) => rows <= rowsInFlight);
}

/** The options with the levels sorted. */
interface Levels extends PyramidWalk {
  readonly geometry: LighthouseGeometry;
  /** All levels except the base rows, finest first. */
  readonly upper: readonly number[];
  /** Levels whose windows fit into the rows in flight: they are written within a step. */
  readonly within: readonly number[];
  /** The other levels: they are summed over several steps. */
  readonly across: readonly number[];
}

/** The function `walk()`: the rows of one window, `rowsInFlight` per step. */
export function generateWalk(geometry: LighthouseGeometry, walk: PyramidWalk): string {
  const { rowsInFlight, scored } = walk;
  const upper = range(geometry.levels).slice(1);
  const count = windowsWithin(geometry, rowsInFlight).length;
  const levels: Levels = {
    ...walk,
    geometry,
    upper,
    within: upper.slice(0, count),
    across: upper.slice(count),
  };
  const steps = geometry.windowRows / rowsInFlight;
  const work = [
    ...loadRows(levels),
    ...poolWithin(levels),
    ...scored ? scoreWithin(levels) : [],
    ...levels.across.length > 0 ? [poolAcross(levels, 0)] : [],
    // The next step must not overwrite partials before this step's maxima are done.
    ...scored && steps > 1 ? ["workgroupBarrier();"] : [],
  ];
  const body = steps === 1 ? ["const step = 0u;", ...work] : [
    `for (var step = 0u; step < ${steps}u; step++) {`,
    ...work,
    "}",
  ];
  return wgsl`
    fn walk(place: Place, at: u32) {
      ${levels.upper.map((level) => firstEntry(levels, level))}
      ${levels.across.flatMap((level) => declareSum(levels, level))}
      ${body}
    }

  `;
}

/** Base rows per entry of a level. */
function rowsOf({ geometry }: Levels, level: number): number {
  return geometry.pooling ** level;
}

/** WGSL of a number of rows or entries divided by the number per entry of a level. */
function atLevel({ geometry }: Levels, what: string, level: number): string {
  return `(${what} >> ${level * Math.log2(geometry.pooling)}u)`;
}

/** The first pooled entry of a level in the thread's window. */
function firstEntry(levels: Levels, level: number): string {
  const before = levels.upper.slice(0, level - 1).map((m) => atLevel(levels, "params.context", m));
  const inWindow = levels.geometry.windowRows / rowsOf(levels, level);
  return `let first${level} = ${[`place.window * ${inWindow}u`, ...before].join(" + ")};`;
}

/** WGSL of the first pooled entry of a level for this step's rows. */
function entryOf(levels: Levels, level: number): string {
  return `first${level} + ${atLevel(levels, "(step * rowsInFlight)", level)}`;
}

/** WGSL of a sum of cells divided by the number of rows of a level. */
function mean(levels: Levels, level: number, cell: string): string {
  return `${cell} * ${1 / rowsOf(levels, level)}f`;
}

function declareSum({ scored }: Levels, level: number): string[] {
  return [`var sum${level} = Cell();`, ...scored ? [`var top${level} = 0u;`] : []];
}

/** All loads come before the first use, so that they are in flight together. */
function loadRows({ rowsInFlight, scored }: Levels): string[] {
  const unpack = (r: number) => [
    `let cell0_${r} = unpackCell(word${r});`,
    ...scored ? [`putPartial(place, ${r}u, squaredNorm(cell0_${r}));`] : [],
  ];
  return [
    ...range(rowsInFlight).map((r) =>
      `let word${r} = base[at + (step * rowsInFlight + ${r}u) * columns];`
    ),
    ...range(rowsInFlight).flatMap(unpack),
  ];
}

/** Sums and stores the entries whose windows lie within a step. */
function poolWithin(levels: Levels): string[] {
  const { rowsInFlight, within, geometry: { pooling } } = levels;
  const pool = (level: number, n: number) => {
    const children = range(pooling).map((child) => `cell${level - 1}_${n * pooling + child}`);
    const cell = `cell${level}_${n}`;
    return [
      `let ${cell} = ${children.join(" + ")};`,
      `storePooled(place, ${entryOf(levels, level)} + ${n}u, ${mean(levels, level, cell)});`,
    ];
  };
  return within.flatMap((level) =>
    range(rowsInFlight / rowsOf(levels, level)).flatMap((n) => pool(level, n))
  );
}

/** Scores of the base rows and of the entries within a step, and `top`, the largest of them. */
function scoreWithin(levels: Levels): string[] {
  const { rowsInFlight, columns, within, across } = levels;
  const store = (level: number) => {
    const rows = rowsOf(levels, level);
    const count = rowsInFlight / rows;
    return range(Math.ceil(count / columns)).map((i) => {
      const entry = i > 0 ? `place.column + ${i * columns}u` : "place.column";
      const score = `most${rows}(place, (${entry}) * ${rows}u)`;
      return wgsl`
        if (${entry} < ${count}u) {
          storeScore(place, params.context + ${entryOf(levels, level)} + ${entry}, ${score});
        }
      `;
    });
  };
  return [
    "sumRows(place, step * rowsInFlight);",
    ...within.flatMap(store),
    ...across.length > 0 ? [`let top = most${rowsInFlight}(place, 0u);`] : [],
  ];
}

/**
 * Adds to the n-th of the levels that are summed over steps. If that completes a window, stores the
 * entry and continues with the next level, which can be complete only then.
 */
function poolAcross(levels: Levels, n: number): string {
  const { rowsInFlight, within, across, scored } = levels;
  const level = across[n];
  const finest = within.length;
  const parts = n > 0
    ? [`sum${level - 1}`]
    : range(rowsInFlight / rowsOf(levels, finest)).map((i) => `cell${finest}_${i}`);
  const top = n > 0 ? `top${level - 1}` : "top";
  const raiseTop = `top${level} = max(top${level}, ${top});`;
  const entry = entryOf(levels, level);
  const storeTop =
    `if (place.column == 0u) { storeScore(place, params.context + ${entry}, top${level}); }`;
  return flatWgsl`
    ${parts.map((part) => `sum${level} = sum${level} + ${part};`)}
    ${scored ? [raiseTop] : []}
    if ((step + 1u) % ${rowsOf(levels, level) / rowsInFlight}u == 0u) {
      storePooled(place, ${entry}, ${mean(levels, level, `sum${level}`)});
      ${scored ? [storeTop] : []}
      ${n + 1 < across.length ? [poolAcross(levels, n + 1)] : []}
      sum${level} = Cell();
      ${scored ? [`top${level} = 0u;`] : []}
    }
  `;
}
