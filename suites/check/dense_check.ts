/**
 * Compares the output of attention over the context with float64, for any visible keys of a row.
 *
 * @module
 */
import type { Gpu } from "../../kernels/gpu/device.ts";
import { keyHeadOf } from "../../kernels/key_heads.ts";
import { type Layer, readStoredRows } from "../plan/measurable.ts";
import {
  finishAttentionRow,
  HALF_ULP,
  keysSeen,
  maxMagnitude,
  startAttentionRow,
  storingError,
} from "./attention_rows.ts";
import { type CheckOptions, visibleOf } from "./check_options.ts";
import { compareLse, compareOutput, leewayOf, type Part, partOf } from "./check_parts.ts";
import { CHUNK_ROWS, type HeadSample, readSampled } from "./head_samples.ts";
import { countRows, endOf } from "./row_spans.ts";
import { chunksOf, streamPast } from "./stream.ts";

/** Output and log-sum-exp of sampled rows of one head. */
export async function checkDense(
  gpu: Gpu,
  prepared: Layer,
  options: CheckOptions & { sample: HeadSample },
): Promise<Part[]> {
  const { inputs, problem, sample, signal } = options;
  const { dtype } = problem.shape;
  const { head, rows } = sample;
  const keyHead = keyHeadOf(problem.shape, head);
  const seen = rows.map(visibleOf(options, head));
  const queries = await readSampled(gpu, inputs.q, { head, rows });
  const passed = await streamPast(
    "attentionRows",
    queries.map((query, i) => startAttentionRow(query, { spans: seen[i], dtype })),
    {
      ranges: chunksOf(0, endOf(seen), CHUNK_ROWS),
      workOf: keysSeen,
      signal,
      read: async (range, shared) => {
        const [k, v] = await Promise.all(
          [inputs.k, inputs.v].map(async (tensor) =>
            shared.float32(await readStoredRows(gpu, tensor, { head: keyHead, ...range }))
          ),
        );
        return { ...range, k, v };
      },
    },
  );
  const finished = passed.map(finishAttentionRow);
  const { output, lse } = prepared.outputs;
  const leeway = leewayOf(prepared);
  const [have, haveLse] = await Promise.all([
    readSampled(gpu, output, { head, rows }),
    lse && readSampled(gpu, lse, { head, rows }),
  ]);
  const comparisons = finished.map((row, i) => ({
    label: `head ${head}, row ${rows[i]}`,
    ...compareOutput(have[i], {
      want: row.output,
      plain: row.plainOutput,
      floor: row.outputFloor + storingError(maxMagnitude(row.output), dtype, options) +
        2 * halfWalk(prepared, countRows(seen[i])) * maxMagnitude(row.output),
      leeway,
    }),
  }));
  if (!haveLse) return [partOf("output", comparisons)];
  const logs = compareLse(finished, { have: haveLse, head, rows, leeway });
  return [partOf("output", comparisons), partOf("log-sum-exp", logs)];
}

/** Relative error of a sum of some terms in f16, for a peer that adds in f16: a random walk. */
function halfWalk({ peer }: Layer, terms: number): number {
  return peer?.halfSums ? Math.sqrt(terms) * HALF_ULP.f16 : 0;
}
