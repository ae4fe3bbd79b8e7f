/**
 * Compares a layer that brings its own float64 reference: output, log-sum-exp of its branches,
 * selected blocks, and gradients.
 *
 * @module
 */
import type { Gpu } from "../../kernels/gpu/device.ts";
import { range } from "../../kernels/gpu/wgsl.ts";
import type { RankedBlocks, ReferenceResult } from "../../kernels/implementation.ts";
import { type Layer, readStoredRows, type Rows } from "../plan/measurable.ts";
import { maxDifference } from "./attention_rows.ts";
import type { CheckOptions } from "./check_options.ts";
import { leewayOf, type Part, partOf } from "./check_parts.ts";
import { CHUNK_ROWS, type HeadSample, readSampled } from "./head_samples.ts";
import { compareList } from "./list_check.ts";
import { chunksOf } from "./stream.ts";

/** Sampled rows of the query heads of one key head. */
export async function checkReference(
  gpu: Gpu,
  prepared: Layer,
  options: CheckOptions & { sample: HeadSample; lists: Int32Array; halves: boolean },
): Promise<Part[]> {
  const { implementation: { reference, selector }, problem, inputs, sample, lists } = options;
  const { branches, gradients } = prepared.outputs;
  if (!reference || !selector || !branches) {
    throw new TypeError("check outputs: the implementation returns no branches");
  }
  const { context, heads } = problem.shape;
  const { rows } = sample;
  const keyHeads = inputs.k.heads;
  const group = heads / keyHeads;
  const keyHead = Math.floor(sample.head / group);
  const members = range(group).map((member) => keyHead * group + member);
  const whole = options.extent === "whole" && rows.length === context;
  const read = (tensor: Rows) =>
    Promise.all(members.map((head) => readSampled(gpu, tensor, { head, rows })));
  const [queries, gates, given] = await Promise.all([
    read(inputs.q),
    read(branches.gates),
    gradients && read(inputs.outputGradient!),
  ]);
  const width = selector.width(problem);
  const listOf = (row: number) => {
    const first = (keyHead * context + row) * width;
    return lists.subarray(first, first + width);
  };
  const ranked: [number, RankedBlocks][] = [];
  const found = reference({
    problem,
    rows,
    group,
    keys: await readHead(gpu, inputs.k, { head: keyHead, rows: context, signal: options.signal }),
    values: await readHead(gpu, inputs.v, { head: keyHead, rows: context, signal: options.signal }),
    query: (member, at) => queries[member][at],
    outputGradient: given && ((member, at) => given[member][at]),
    gates: (member, at) => Array.from(gates[member][at], (x) => x / 8 + 0.5),
    list: listOf,
    ranked: (row, blocks) => ranked.push([row, blocks]),
    halves: options.halves,
    keyGradients: gradients !== undefined && whole,
  });
  const selection = partOf(
    "selection",
    ranked.map(([row, blocks]) => ({
      label: `key head ${keyHead}, row ${row}`,
      ...compareList(listOf(row), blocks),
    })),
  );
  return [
    selection,
    ...await compareRows(gpu, prepared, { found, members, rows }),
    ...found.keyGradients && gradients
      ? await Promise.all((["k", "v"] as const).map(async (name) => {
        const have = await readSampled(gpu, gradients[name], { head: keyHead, rows });
        return partOf(
          `gradient of ${{ k: "keys", v: "values" }[name]}`,
          found.keyGradients![name].map(({ gradient, tolerance }, row) => ({
            label: `key head ${keyHead}, row ${row}`,
            error: maxDifference(have[row], gradient),
            tolerance: leewayOf(prepared) * tolerance,
          })),
        );
      }))
      : [],
  ];
}

/** All rows of one head. */
async function readHead(
  gpu: Gpu,
  tensor: Parameters<typeof readStoredRows>[1],
  { head, rows, signal }: {
    readonly head: number;
    readonly rows: number;
    readonly signal?: AbortSignal;
  },
): Promise<Float32Array> {
  const data = new Float32Array(rows * tensor.dim);
  for (const part of chunksOf(0, rows, CHUNK_ROWS)) {
    signal?.throwIfAborted();
    data.set(await readStoredRows(gpu, tensor, { head, ...part }), part.first * tensor.dim);
  }
  return data;
}

/** Output, log-sum-exp, dQ and gradients of gates of rows of some query heads. */
async function compareRows(
  gpu: Gpu,
  prepared: Layer,
  { found, members, rows }: {
    readonly found: ReferenceResult;
    readonly members: readonly number[];
    readonly rows: readonly number[];
  },
): Promise<Part[]> {
  const { output, branches, gradients } = prepared.outputs;
  const leeway = leewayOf(prepared);
  const parts = await Promise.all(members.map(async (head, member) => {
    const label = (at: number) => `head ${head}, row ${rows[at]}`;
    const read = (tensor: Rows) => readSampled(gpu, tensor, { head, rows });
    const wanted = found.rows.map((row) => row[member]);
    const [outputs, lse, gateGradients, queries] = await Promise.all([
      read(output),
      Promise.all(branches!.lse.map(read)),
      branches!.gateGradients && Promise.all(branches!.gateGradients.map(read)),
      gradients && read(gradients.q),
    ]);
    const logs = wanted.flatMap((row, at) =>
      row.lse.map((want, branch) => ({
        label: `${label(at)}, branch ${branch}`,
        error: want === lse[branch][at][0] ? 0 : Math.abs(want - lse[branch][at][0]),
        tolerance: leeway * row.lseTolerance[branch],
      }))
    );
    return [
      partOf(
        "output",
        wanted.map((row, at) => ({
          label: label(at),
          error: maxDifference(outputs[at], row.output),
          tolerance: leeway * row.outputTolerance,
        })),
      ),
      partOf("log-sum-exp", logs),
      ...queries
        ? [partOf(
          "gradient of queries",
          wanted.map((row, at) => ({
            label: label(at),
            error: maxDifference(queries[at], row.queryGradient!),
            tolerance: leeway * row.queryTolerance!,
          })),
        )]
        : [],
      ...gateGradients
        ? [partOf(
          "gradient of gates",
          wanted.flatMap((row, at) =>
            row.gateGradients!.map((want, branch) => ({
              label: `${label(at)}, branch ${branch}`,
              error: Math.abs(gateGradients[branch][at][0] - want),
              tolerance: leeway * row.gateTolerances![branch],
            }))
          ),
        )]
        : [],
    ];
  }));
  return parts.flat();
}
