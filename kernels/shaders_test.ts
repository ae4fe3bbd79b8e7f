import assert from "node:assert/strict";
import { KERNEL_CATALOG } from "./_kernel_catalog.ts";
import { recordEntry } from "./gpu/_catalog_entry.ts";
import { digestShaders, expectDigests, expectSnapshot, indentShader } from "./_shader_fixtures.ts";
import { expectUniforms } from "./_uniform_layouts.ts";
import type { RecordedShader } from "./gpu/_recording_device.ts";

const recorded = new Map<string, readonly RecordedShader[]>();
for (const entry of KERNEL_CATALOG) {
  assert.ok(!recorded.has(entry.name), `${entry.name} is in the catalog twice`);
  recorded.set(entry.name, await recordEntry(entry));
}

Deno.test("every shader is the same to the byte as its digest in fixtures/shaders says", () => {
  const digests: Record<string, string> = {};
  for (const [name, shaders] of recorded) Object.assign(digests, digestShaders(name, shaders));
  expectDigests("kernels.json", digests);
});

Deno.test("every uniform has the fields of its shader's struct, in their order", () => {
  const without = [...recorded].filter(([name, shaders]) =>
    expectUniforms(name, shaders) === 0 && shaders.some(({ code }) => code.includes("<uniform>"))
  );
  // Entries that only compile, without binding.
  const compiling = /^(compiled ahead, |dense backward portable (query|key-value) )/;
  assert.deepEqual(without.map(([name]) => name).filter((name) => !compiling.test(name)), []);
});

/** Snapshots: an entry of the catalog, and one of its shaders. */
const SNAPSHOTS: Readonly<Record<string, readonly [entry: string, label: string]>> = {
  dense_forward_portable: [
    "dense forward portable 32/32/8/8/16 d=32 f16 subgroups",
    "dense attention rows d=32 f16",
  ],
  dense_squared_norms_portable: [
    "dense squared norms portable 32/32/8/8/16 d=32 f16 no subgroups",
    "dense attention squared-norms d=32 f16",
  ],
  dense_backward_delta: [
    "dense backward portable query 32/32/8/8/16 d=32 f16",
    "dense attention backward, delta, d=32 f16",
  ],
  dense_backward_query_portable: [
    "dense backward portable query 32/32/8/8/16 d=32 f16",
    "dense attention backward, queries, d=32 f16",
  ],
  dense_backward_key_value_portable: [
    "dense backward portable key-value 32/32/8/8/16 d=32 f16",
    "dense attention backward, keys and values, d=32 f16",
  ],
  dense_naive: ["dense naive d=32 f16", "naive dense attention d=32 f16"],
  ring_attention: [
    "ring attention 32/32/8/8/16 d=32 f16 subgroups",
    "ring attention d=32 f16",
  ],
  dense_forward_matrix_two_stages: [
    "dense forward matrix 8/32/2/2 d=64",
    "dense attention rows on matrix units d=64",
  ],
  dense_forward_matrix_one_stage: [
    "dense forward matrix 4/32/1/1 d=64",
    "dense attention rows on matrix units d=64",
  ],
  dense_squared_norms_matrix: [
    "dense squared norms matrix 4/32/1/1 d=64 δ=4",
    "dense attention squared-norms on matrix units d=64",
  ],
  dense_backward_query_matrix: [
    "dense backward matrix 4/32/1/1 and 4/32/1/1 d=64 gradients f16",
    "dense attention backward, queries on matrix units, d=64 f16",
  ],
  dense_backward_query_columns: [
    "dense backward matrix 4/64/1/2 columns 8 and 4/32/1/1 d=64 gradients f16",
    "dense attention backward, queries on matrix units, d=64 f16",
  ],
  dense_backward_key_value_matrix: [
    "dense backward matrix 4/32/1/1 and 4/32/1/1 d=64 gradients f16",
    "dense attention backward, keys and values on matrix units, d=64 f16",
  ],
  dense_backward_key_value_two_blocks: [
    "dense backward matrix 4/32/1/1 and 8/64/1/2 d=64 gradients f16",
    "dense attention backward, keys and values on matrix units, d=64 f16",
  ],
  dense_backward_key_value_matrix_f32_gradients: [
    "dense backward matrix 4/32/1/1 and 4/32/1/1 d=64 gradients f32",
    "dense attention backward, keys and values on matrix units, d=64 f16, gradients f32",
  ],
  dense_backward_gradient_scales: [
    "dense backward matrix 4/32/1/1 and 4/32/1/1 d=64 gradients f32",
    "dense attention backward, delta and scaled output gradients, d=64 f16, gradients f32",
  ],
  sliding_window_forward_matrix: [
    "sliding window forward matrix 4/32/1/1 d=64",
    "sliding window attention rows on matrix units d=64",
  ],
  sliding_window_backward_key_value_portable: [
    "sliding window portable d=32 f16",
    "sliding window attention backward, keys and values, d=32 f16",
  ],
  block_lists_backward_query_matrix: [
    "blocks of tiles backward matrix 4/32/1/1 and 8/32/1/1 d=64 gradients f16",
    "blocks of tiles attention backward, queries on matrix units, d=64 f16",
  ],
  sums_of_parts: [
    "sliding window backward matrix 4/32/1/1 and 8/32/1/1 d=64 gradients f16",
    "sliding window attention backward, sums of parts, d=64 f16",
  ],
  gathered_queries_forward_matrix: [
    "moba matrix blocks of 128 d=64 f16",
    "gathered queries attention rows on matrix units d=64",
  ],
  gathered_queries_short_blocks_matrix: [
    "nsa matrix d=64 f16",
    "gathered queries attention rows of short blocks on matrix units d=64",
  ],
  gathered_queries_backward_key_value_matrix: [
    "moba matrix d=64 f16",
    "gathered queries backward, keys and values on matrix units, d=64 f16",
  ],
  gathered_queries_backward_query_portable: [
    "moba portable d=32 f16",
    "gathered queries backward, queries, d=32 f16",
  ],
  gathered_queries_turn_backward_key_value_portable: [
    "moba portable in turns d=64 f16",
    "gathered queries backward, keys and values, d=64 f16",
  ],
  turn_sums: ["moba portable in turns d=64 f16", "dK or dV of a turn: finish"],
  compressed_keys_forward_matrix: [
    "nsa matrix d=64 f16",
    "compressed keys attention rows on matrix units d=64",
  ],
  window_of_keys_backward_key_value_matrix: [
    "nsa matrix d=64 f16",
    "window of keys backward, keys and values on matrix units, d=64 f16",
  ],
  probabilities_of_windows: [
    "nsa portable d=32 f16",
    "probabilities of windows d=32 f16",
  ],
  merge_branches: ["nsa portable d=32 f16", "merge branches"],
  merge_outputs: ["moba portable d=32 f16", "merge outputs of entries"],
  block_scores: ["moba portable d=32 f16", "scores of blocks d=32 f16"],
  dense_grouped_backward_key_value_portable: [
    "dense portable 8 heads on 2 d=64 f32",
    "dense attention backward, keys and values, d=64 f32",
  ],
  sums_of_groups: [
    "dense matrix 8 heads on 2 d=64 f16",
    "dense attention backward, sums of parts, d=64 f16",
  ],
  importance_matrix: [
    "nsa matrix d=64 f16",
    "importance of blocks on matrix units d=64",
  ],
  candidate_scores_matrix: [
    "hisa 2 heads on 2 d=64 f16 indexHeads=2 indexDim=32 topk=40 indexBlock=16 indexBlocks=4 " +
    "matrix units",
    "candidate scores on matrix units J=2 c=32",
  ],
  top_tokens: [
    "dsa 2 heads on 2 d=32 f16 indexHeads=4 indexDim=64 topk=40",
    "top tokens",
  ],
  index_scores: [
    "dsa 2 heads on 2 d=32 f16 indexHeads=4 indexDim=64 topk=40",
    "index scores c=64 f16",
  ],
  index_scores_matrix: [
    "dsa 2 heads on 2 d=64 f16 indexHeads=1 indexDim=32 topk=40 matrix units",
    "index scores on matrix units J=1 c=32",
  ],
  candidate_scores: [
    "hisa 2 heads on 2 d=64 f16 indexHeads=4 indexDim=64 topk=40 indexBlock=16 indexBlocks=4",
    "candidate scores J=4 c=64 f16",
  ],
  gathered_tokens: [
    "dsa 8 heads on 1 d=64 f16 indexHeads=4 indexDim=64 topk=40",
    "gathered tokens G=8 d=64 f16",
  ],
  gathered_tokens_matrix: [
    "dsa 4 heads on 1 d=64 f16 indexHeads=4 indexDim=64 topk=40 matrix units",
    "gathered tokens on matrix units G=4 d=64 f16",
  ],
  gathered_tokens_backward_query: [
    "dsa 8 heads on 1 d=64 f16 indexHeads=4 indexDim=64 topk=40",
    "gathered tokens backward, queries, G=8 d=64 f16",
  ],
  gathered_tokens_backward_key_value: [
    "dsa 8 heads on 1 d=64 f16 indexHeads=4 indexDim=64 topk=40",
    "gathered tokens backward, keys and values, G=8 d=64 f16",
  ],
  pyramid: ["pyramid scored N=2048 L=3 p=4 d=32 f16", "lighthouse pyramid"],
  pyramid_merged: [
    "pyramid merged scored N=2048 L=3 p=4 d=32 f16",
    "lighthouse pyramid of Q, K and V",
  ],
  gather_merged: ["gather merged N=2048 L=3 p=4 d=32 f16", "lighthouse gather of Q, K and V"],
  scatter_merged: [
    "scatter gradient merged N=2048 L=3 p=4 d=32 f16",
    "lighthouse scatter of gradients of Q, K and V",
  ],
  gla_states_matrix: ["gla scores d=64 f16 on matrix units", "gla states on matrix units d=64"],
  gla_scores_matrix: ["gla scores d=64 f16 on matrix units", "gla scores on matrix units d=64"],
  select_cached: ["select N=2048 L=3 p=4 cached", "lighthouse select"],
  select_and_gather: [
    "select N=2048 L=3 p=4 cached, 4 workgroups a tile, gathers",
    "lighthouse select and gather",
  ],
  gather: ["gather N=2048 L=3 p=4 d=32 f16", "lighthouse gather"],
  gather_gradient: ["gather gradient N=2048 L=3 p=4 d=32 f16", "lighthouse gather gradient"],
  scatter_forward: ["scatter forward N=2048 L=3 p=4 d=32 f16", "lighthouse scatter"],
  scatter_gradient: ["scatter gradient N=2048 L=3 p=4 d=32 f16", "lighthouse scatter"],
  score_maxima: ["score maxima N=2048 L=3 p=4", "lighthouse score maxima"],
  gla_states: ["gla scores d=32 f16 C=64 16384 bytes", "gla states d=32 f16"],
  gla_scan: ["gla scores d=32 f16 C=64 16384 bytes", "gla scan d=32"],
  gla_scores: ["gla scores d=32 f16 C=64 16384 bytes", "gla scores d=32 f16"],
  last_row_all_rows: ["last row all rows N=2048 L=3 p=4 d=32 f16", "last row"],
  last_row_gathered: ["last row gathered N=2048 L=3 p=4 d=32 f16", "last row"],
  weighted_rows: ["weighted rows d=32 f16", "weighted rows"],
  relative_noise: ["relative noise", "relative noise"],
  subnormals: ["subnormals", "subnormals"],
  product_portable: [
    "product NT f16 rope 32/64/16/8×8",
    "matrix product NT f16 rope portable",
  ],
  product_matrix: [
    "product TN f16 accumulate 64/64/32/2×2",
    "matrix product TN f16 accumulate matrix units",
  ],
  sum_partials: ["product TN f16 accumulate 64/64/32/2×2", "sum partials"],
  rms_norm: ["rms norm 64 f16", "rms norm f16"],
  rms_norm_backward: ["rms norm backward 64 f16", "rms norm backward f16"],
  rope_backward: ["rope backward d=32 f16", "rope backward f16"],
  swiglu_backward: ["swiglu backward f16", "swiglu backward f16"],
  cross_entropy: ["cross-entropy V=256 f16", "cross-entropy f16"],
  embedding: ["embedding V=256", "embedding"],
  embedding_place_pairs: ["embedding backward V=256", "sort tokens: place pairs 0"],
  sum_losses: ["sum losses", "sum losses"],
  finish_gradients: ["finish gradients", "finish gradients"],
  adamw: ["adamw with a copy", "adamw with a copy"],
  sample_batch: ["sample batch", "sample batch"],
  draw_stream: ["draw stream", "draw stream"],
  round_weights: ["round weights", "round weights"],
  transpose_weights: ["transpose weights", "transpose weights"],
};

for (const [file, [entry, label]] of Object.entries(SNAPSHOTS)) {
  Deno.test(`fixtures/shaders/${file}.wgsl shows what its generator writes`, () => {
    const shader = recorded.get(entry)?.find((shader) => shader.label === label);
    assert.ok(shader, `${entry} compiles no shader "${label}"`);
    expectSnapshot(`${file}.wgsl`, { name: `${label}: ${entry}`, code: shader.code });
  });
}

Deno.test("every file that generates shaders has a snapshot", () => {
  const files = [...sourceFiles()].filter((path) => path.endsWith(".wgsl"));
  const plain = new Set(files.map(readSource));
  const generators = [...recorded.values()].flat().filter(({ code }) => !plain.has(code));
  const shown = new Set(
    Object.values(SNAPSHOTS).map(([entry, label]) =>
      recorded.get(entry)!.find((shader) => shader.label === label)!.caller
    ),
  );
  // A shader that another file compiles ahead belongs to the file that generates it.
  const labels = new Set(generators.filter((s) => shown.has(s.caller)).map(({ label }) => label));
  const missing = generators.filter(({ caller, label }) =>
    !shown.has(caller) && !labels.has(label)
  );
  assert.deepEqual([...new Set(missing.map(({ caller }) => caller))], []);
});

Deno.test("indentShader changes nothing but the spaces around lines", () => {
  assert.equal(
    indentShader("fn f(\na: u32,\n) {\nif (a > 1u) { // {\n  g();\n} else {\n\n\n\nh(); } }\n"),
    "fn f(\n  a: u32,\n) {\n  if (a > 1u) { // {\n    g();\n  } else {\n\n    h(); } }\n",
  );
  const words = (code: string) => code.split(/\s+/).join(" ").trim();
  for (const [entry, label] of Object.values(SNAPSHOTS)) {
    const { code } = recorded.get(entry)!.find((shader) => shader.label === label)!;
    const indented = indentShader(code);
    assert.ok(words(indented) === words(code));
    assert.doesNotMatch(indented, /^ +(fn|struct|@group|@compute)\b/m, "brackets are balanced");
  }
});

/** Files under a folder, by their path from `kernels/`. */
function* sourceFiles(folder = ""): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(new URL(folder || ".", import.meta.url))) {
    const path = `${folder}${name}`;
    if (isDirectory) yield* sourceFiles(`${path}/`);
    else if (!/^_|_test\.ts$/.test(name)) yield path;
  }
}

function readSource(path: string): string {
  return Deno.readTextFileSync(new URL(path, import.meta.url));
}

Deno.test("the catalog holds every kernel: all files that compile a pipeline, all .wgsl files", () => {
  const shaders = [...recorded.values()].flat();
  const callers = new Set(shaders.map(({ caller }) => caller.replace(/^kernels\//, "")));
  const codes = [...new Set(shaders.map(({ code }) => code))];
  const compiles = /(?<!function )\bcreate(Pipeline|Pass)\b(<\w+>)?\(/;
  const missing = [...sourceFiles()].filter((path) =>
    path.endsWith(".wgsl")
      ? !codes.some((code) => code.includes(readSource(path)))
      : path !== "lighthouse/passes/pass.ts" && compiles.test(readSource(path)) &&
        !callers.has(path)
  );
  assert.deepEqual(missing, [], "add these to kernels/_kernel_catalog.ts");
});
