/**
 * The unrolled half of `dense_attention.wgsl`: register declarations and the functions that touch
 * them. Registers are named scalars, not arrays, so that no driver is tempted to put them in memory.
 *
 * @module
 */
import type { DType } from "../gpu/buffers.ts";

/** How the kernel is tiled; a plan chooses it, every choice computes the same function. */
export interface DenseTiling {
  /** Query rows of one workgroup; a multiple of 4 * threadsY. */
  readonly tileRows: number;
  /** Keys of one tile; a multiple of 4 * threadsX. */
  readonly tileKeys: number;
  readonly threadsX: number;
  readonly threadsY: number;
  /** Elements of d staged at a time for the first product; divides d, a multiple of 8. */
  readonly chunk: number;
}

/** Numbers that follow from a tiling, a head dimension and an element type. */
export interface DenseLayout {
  readonly rowsPerThread: number;
  readonly keysPerThread: number;
  readonly columnGroups: number;
  readonly chunks: number;
  /** Vectors of four f32 in one of the two stages. */
  readonly stageVectors: number;
  readonly workgroupBytes: number;
}

/**
 * Lays a tiling out.
 *
 * @throws {RangeError} when the tiling does not divide evenly.
 */
export function layOut(tiling: DenseTiling, headDim: number): DenseLayout {
  const { tileRows, tileKeys, threadsX, threadsY, chunk } = tiling;
  const whole = (name: string, value: number) => {
    if (!Number.isInteger(value) || value < 1) {
      throw new RangeError(`plan dense attention: ${name} = ${value} is not a whole number`);
    }
    return value;
  };
  const rowsPerThread = 4 * whole("tileRows / (4 * threadsY)", tileRows / (4 * threadsY));
  const keysPerThread = 4 * whole("tileKeys / (4 * threadsX)", tileKeys / (4 * threadsX));
  const columnGroups = whole("headDim / (4 * threadsX)", headDim / (4 * threadsX));
  const chunks = whole("headDim / chunk", headDim / chunk);
  whole("chunk / 8", chunk / 8);
  whole("chunks / 2", chunks / 2); // stages alternate: every tile must begin with stage 0
  const first = chunk * (tileRows + tileKeys) / 4;
  const second = threadsX * headDim / 4 + threadsX * (tileRows / 4 + 1);
  const reduction = tileRows * threadsX / 4;
  const stageVectors = Math.max(first, second, reduction);
  return {
    rowsPerThread,
    keysPerThread,
    columnGroups,
    chunks,
    stageVectors,
    workgroupBytes: 2 * 16 * stageVectors,
  };
}

/** Generated text to append to `dense_attention.wgsl`. */
export function generateDense(
  options: { tiling: DenseTiling; headDim: number; dtype: DType; subgroups: boolean },
): string {
  const { tiling, headDim, dtype, subgroups } = options;
  const { tileRows, tileKeys, threadsX, threadsY, chunk } = tiling;
  const layout = layOut(tiling, headDim);
  const { rowsPerThread, keysPerThread, columnGroups, chunks, stageVectors } = layout;
  const threads = threadsX * threadsY;
  const perVector = dtype === "f16" ? 8 : 4; // elements in 16 bytes
  const keyGroups = keysPerThread / 4;
  const rows = range(rowsPerThread);
  const groups = range(columnGroups);
  const out: string[] = [];
  const emit = (...lines: string[]) => out.push(...lines);

  emit(
    `const THREADS_X = ${threadsX}u;`,
    `const THREADS_Y = ${threadsY}u;`,
    `const TILE_ROWS = ${tileRows}u;`,
    `const TILE_KEYS = ${tileKeys}u;`,
    `const CHUNKS = ${chunks}u;`,
    `const KEYS_PER_THREAD = ${keysPerThread}u;`,
    `const STAGE_VEC4 = ${stageVectors}u;`,
    `alias OutputVector = ${dtype === "f16" ? "vec2u" : "vec4f"};`,
  );

  // Registers: s scores, o outputs, m running maxima, l running sums of this thread's own keys.
  for (const r of rows) {
    for (const g of range(keyGroups)) emit(`var<private> s${r}_${g}: vec4f;`);
    for (const g of groups) emit(`var<private> o${r}_${g}: vec4f;`);
    emit(`var<private> m${r}: f32;`, `var<private> l${r}: f32;`);
  }
  emit("fn clearRows() {");
  for (const r of rows) {
    emit(`m${r} = MASKED; l${r} = 0.0;`);
    for (const g of groups) emit(`o${r}_${g} = vec4f();`);
  }
  emit("}", "fn clearScores() {");
  for (const r of rows) for (const g of range(keyGroups)) emit(`s${r}_${g} = vec4f();`);
  emit("}");

  // --- First product: stage chunk c of Q and K transposed, then rank-1 updates. ---
  const pieces = chunk / perVector; // 16-byte vectors of one row's chunk
  const rowVectors = headDim / perVector;
  const fetchQuery = split(tileRows * pieces, threads);
  const fetchKey = split(tileKeys * pieces, threads);
  fetchQuery.forEach((_, i) => emit(`var<private> fq${i}: vec4u;`));
  fetchKey.forEach((_, i) => emit(`var<private> fk${i}: vec4u;`));
  // Slot of a staged key: a thread's keys lie side by side, logical key = e * THREADS_X + tx.
  emit(
    "fn keyOfSlot(slot: u32) -> u32 {",
    `  return ((slot / ${
      4 * threadsX
    }u) * 4u + (slot & 3u)) * ${threadsX}u + (slot / 4u) % ${threadsX}u;`,
    "}",
    "fn fetchQueryKey(k0: u32, c: u32) {",
  );
  const fetch = (register: string, buffer: string, row: string, column: string) =>
    `  { let n = ${row}; ${register} = vec4u(); ` +
    `if (n < params.rows) { ${register} = ${buffer}[(headRow + n) * ${rowVectors}u + ${column}]; } }`;
  for (const [i, unit] of fetchQuery.entries()) {
    emit(
      guard(
        unit,
        fetch(
          `fq${i}`,
          "queries",
          `q0 + u % ${tileRows}u`,
          `c * ${pieces}u + u / ${tileRows}u`,
        ),
      ),
    );
  }
  for (const [i, unit] of fetchKey.entries()) {
    emit(
      guard(
        unit,
        fetch(
          `fk${i}`,
          "keys",
          `k0 + keyOfSlot(u % ${tileKeys}u)`,
          `c * ${pieces}u + u / ${tileKeys}u`,
        ),
      ),
    );
  }
  emit("}");
  const stageRow = (tileRows + tileKeys) / 4; // vectors of one staged d index
  emit("fn storeQueryKey(base: u32) {");
  const scatter = (
    register: string,
    slot: string,
    first: number,
    modulus: number,
    scale: string,
  ) => {
    const lines = [
      `  { let slot = ${slot}; let at = base + (u / ${modulus}u) * ${
        perVector * stageRow
      }u + ${first}u + slot / 4u; let lane = slot & 3u;`,
    ];
    if (dtype === "f16") {
      for (const w of range(4)) {
        lines.push(`  let p${w} = unpack2x16float(${register}.${"xyzw"[w]})${scale};`);
        lines.push(`  stage[at + ${2 * w * stageRow}u][lane] = p${w}.x;`);
        lines.push(`  stage[at + ${(2 * w + 1) * stageRow}u][lane] = p${w}.y;`);
      }
    } else {
      lines.push(`  let p = bitcast<vec4f>(${register})${scale};`);
      for (const w of range(4)) {
        lines.push(`  stage[at + ${w * stageRow}u][lane] = p.${"xyzw"[w]};`);
      }
    }
    lines.push("  }");
    return lines.join("\n");
  };
  for (const [i, unit] of fetchQuery.entries()) {
    emit(guard(unit, scatter(`fq${i}`, `u % ${tileRows}u`, 0, tileRows, " * params.scale")));
  }
  for (const [i, unit] of fetchKey.entries()) {
    emit(guard(unit, scatter(`fk${i}`, `u % ${tileKeys}u`, tileRows / 4, tileKeys, "")));
  }
  emit("}");
  emit(
    "fn multiplyQueryKey(base: u32) {",
    `  let qa = base + ty * ${rowsPerThread / 4}u;`,
    `  let ka = base + ${tileRows / 4}u + tx;`,
  );
  for (const kk of range(chunk)) {
    emit("  {");
    for (const i of range(rowsPerThread / 4)) {
      emit(`  let q${i} = stage[qa + ${kk * stageRow + i}u];`);
    }
    for (const g of range(keyGroups)) {
      emit(`  let k${g} = stage[ka + ${kk * stageRow + g * threadsX}u];`);
    }
    for (const r of rows) {
      for (const g of range(keyGroups)) {
        emit(`  s${r}_${g} = fma(vec4f(q${r >> 2}.${"xyzw"[r & 3]}), k${g}, s${r}_${g});`);
      }
    }
    emit("  }");
  }
  emit("}");

  // --- Softmax ---
  emit("fn maskScores(k0: u32) {", `  let row = q0 + ty * ${rowsPerThread}u;`);
  for (const g of range(keyGroups)) {
    emit(
      `  let key${g} = vec4u(k0 + tx) + vec4u(${
        range(4).map((e) => `${(4 * g + e) * threadsX}u`).join(", ")
      });`,
    );
  }
  for (const r of rows) {
    for (const g of range(keyGroups)) {
      emit(
        `  s${r}_${g} = select(s${r}_${g}, vec4f(MASKED), key${g} > vec4u(row + ${r}u));`,
      );
    }
  }
  emit("}");
  const reduce = (name: string, combine: (a: string, b: string) => string) => {
    // Reduces one value per row over the THREADS_X threads that share it, for all rows at once.
    if (subgroups) {
      for (let step = 1; step < threadsX; step *= 2) {
        for (const r of rows) {
          emit(
            `  ${name}${r} = ${
              combine(`${name}${r}`, `subgroupShuffleXor(${name}${r}, ${step}u)`)
            };`,
          );
        }
      }
      return;
    }
    // The stage that the coming step fills is free: its readers passed the last barrier.
    const base = (chunks % 2) * stageVectors;
    emit(
      `  { let lane = tx & 3u; let at = ${base}u + ty * ${
        rowsPerThread * threadsX / 4
      }u + tx / 4u;`,
    );
    for (const r of rows) emit(`  stage[at + ${r * threadsX / 4}u][lane] = ${name}${r};`);
    emit("  workgroupBarrier();", `  let begin = at - tx / 4u;`);
    for (const r of rows) {
      emit(`  { var all = stage[begin + ${r * threadsX / 4}u];`);
      for (const i of range(threadsX / 4).slice(1)) {
        emit(`  all = ${combine("all", `stage[begin + ${r * threadsX / 4 + i}u]`)};`);
      }
      emit(`  ${name}${r} = ${combine(combine("all.x", "all.y"), combine("all.z", "all.w"))}; }`);
    }
    emit("  workgroupBarrier(); }");
  };
  const max = (a: string, b: string) => `max(${a}, ${b})`;
  const add = (a: string, b: string) => `(${a} + ${b})`;
  emit("fn updateRows() {");
  for (const r of rows) {
    const all = range(keyGroups).map((g) => `s${r}_${g}`).reduce(max);
    emit(`  let v${r} = ${all}; var t${r} = max(max(v${r}.x, v${r}.y), max(v${r}.z, v${r}.w));`);
  }
  reduce("t", max);
  for (const r of rows) {
    emit(
      `  t${r} = max(t${r}, m${r}); let a${r} = exp2(m${r} - t${r}); m${r} = t${r};`,
    );
    for (const g of range(keyGroups)) emit(`  s${r}_${g} = exp2(s${r}_${g} - t${r});`);
    const sum = range(keyGroups).map((g) => `s${r}_${g}`).reduce(add);
    emit(
      `  let w${r} = ${sum}; l${r} = fma(l${r}, a${r}, (w${r}.x + w${r}.y) + (w${r}.z + w${r}.w));`,
    );
    for (const g of groups) emit(`  o${r}_${g} *= a${r};`);
  }
  emit("}");

  // --- Second product: one key of every thread a step. ---
  const fetchV = split(threadsX * headDim / perVector, threads);
  fetchV.forEach((_, i) => emit(`var<private> fv${i}: vec4u;`));
  emit("fn fetchValue(k0: u32, e: u32) {");
  for (const [i, unit] of fetchV.entries()) {
    emit(
      guard(
        unit,
        fetch(
          `fv${i}`,
          "values",
          `k0 + e * ${threadsX}u + u / ${rowVectors}u`,
          `u % ${rowVectors}u`,
        ),
      ),
    );
  }
  emit("}", "fn storeValue(base: u32) {");
  for (const [i, unit] of fetchV.entries()) {
    const r = `fv${i}`;
    emit(guard(
      unit,
      dtype === "f16"
        ? `  stage[base + 2u * u] = vec4f(unpack2x16float(${r}.x), unpack2x16float(${r}.y));\n` +
          `  stage[base + 2u * u + 1u] = vec4f(unpack2x16float(${r}.z), unpack2x16float(${r}.w));`
        : `  stage[base + u] = bitcast<vec4f>(${r});`,
    ));
  }
  const valueVectors = threadsX * headDim / 4;
  const padded = tileRows / 4 + 1;
  emit("}", "fn storeProbabilities(base: u32, e: u32) {");
  emit(`  let at = base + ${valueVectors}u + tx * ${padded}u + ty * ${rowsPerThread / 4}u;`);
  // Selection by comparison, since a run-time index into a register would go through memory.
  emit("  let odd = (e & 1u) == 1u; let high = (e & 2u) == 2u;");
  if (keyGroups > 1) emit("  let group = e / 4u;");
  const pick = (r: number) => {
    let s = `s${r}_0`;
    for (const g of range(keyGroups).slice(1)) s = `select(${s}, s${r}_${g}, group == ${g}u)`;
    return `{ let x = ${s}; p.${
      "xyzw"[r & 3]
    } = select(select(x.x, x.y, odd), select(x.z, x.w, odd), high); }`;
  };
  for (const i of range(rowsPerThread / 4)) {
    emit("  { var p: vec4f;");
    for (const j of range(4)) emit(`  ${pick(4 * i + j)}`);
    emit(`  stage[at + ${i}u] = p; }`);
  }
  emit(
    "}",
    "fn multiplyValue(base: u32) {",
    `  let va = base + tx;`,
    `  let pa = base + ${valueVectors}u + ty * ${rowsPerThread / 4}u;`,
  );
  for (const kk of range(threadsX)) {
    emit("  {");
    for (const i of range(rowsPerThread / 4)) {
      emit(`  let p${i} = stage[pa + ${kk * padded + i}u];`);
    }
    for (const g of groups) {
      emit(`  let v${g} = stage[va + ${kk * headDim / 4 + g * threadsX}u];`);
    }
    for (const r of rows) {
      for (const g of groups) {
        emit(`  o${r}_${g} = fma(vec4f(p${r >> 2}.${"xyzw"[r & 3]}), v${g}, o${r}_${g});`);
      }
    }
    emit("  }");
  }
  emit("}");

  // --- Results ---
  emit("fn finishRows() {");
  reduce("l", add);
  emit(`  let row = q0 + ty * ${rowsPerThread}u;`);
  for (const r of rows) {
    emit(`  if (row + ${r}u < params.rows) {`);
    emit(`  let at = (headRow + row + ${r}u) * ${headDim / 4}u + tx; let inverse = 1.0 / l${r};`);
    for (const g of groups) {
      const value = `o${r}_${g} * inverse`;
      emit(
        dtype === "f16"
          ? `  { let x = ${value}; output[at + ${
            g * threadsX
          }u] = vec2u(pack2x16float(x.xy), pack2x16float(x.zw)); }`
          : `  output[at + ${g * threadsX}u] = ${value};`,
      );
    }
    emit(
      `  if (tx == 0u) { logSumExp[headRow + row + ${r}u] = (m${r} + log2(l${r})) * LN2; }`,
      "  }",
    );
  }
  emit("}");
  return out.join("\n") + "\n";
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

/** Work units of each thread: `start` of each round, and how many of its units exist. */
function split(
  units: number,
  threads: number,
): { start: number; guarded: boolean; units: number }[] {
  return range(Math.ceil(units / threads)).map((i) => ({
    start: i * threads,
    guarded: (i + 1) * threads > units,
    units,
  }));
}

function guard(unit: { start: number; guarded: boolean; units: number }, body: string): string {
  const head = `  { let u = local + ${unit.start}u;`;
  return unit.guarded
    ? `${head} if (u < ${unit.units}u) {\n${body}\n  } }`
    : `${head}\n${body}\n  }`;
}
