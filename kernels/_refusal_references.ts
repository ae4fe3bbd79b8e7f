/**
 * Bad arguments of the float64 references and of pure functions.
 *
 * @module
 */
import * as kernels from "./mod.ts";
import {
  badElements,
  type Entry,
  type Given,
  LIGHTHOUSE,
  NO_COUNT,
  NO_DTYPE,
  NO_INDEX,
  NO_NUMBERS,
  NO_QUANTITY,
} from "./_refusal_world.ts";

export function referenceEntries(): Entry[] {
  const geometry = kernels.planGeometry(256, LIGHTHOUSE);
  const headDim = 4;
  const rows = Float32Array.from({ length: 256 * headDim }, (_, i) => Math.cos(i));
  const scores = new Float32Array(geometry.entries);
  const selection = kernels.selectReference(scores, scores, geometry);
  const few = rows.subarray(0, 6 * headDim);
  const bad = [...badElements(6 * headDim), undefined];
  const whole = [...badElements(256 * headDim), undefined];
  const dims = NO_COUNT;
  const badScores = badElements(geometry.entries);
  const badSelection = [
    ...NO_NUMBERS,
    new Int32Array(0),
    selection.map(() => -1),
    selection.map(() => geometry.entries),
  ];
  const entry = (name: string, good: Given, bad: Entry["bad"], call: Entry["call"]): Entry => ({
    name,
    good,
    bad,
    call,
    pure: true,
  });
  const types = { dtype: NO_DTYPE, weights: NO_DTYPE };
  const head = { q: few, k: few, v: few, headDim };
  const layer = { q: rows, k: rows, v: rows, headDim };
  return [
    entry(
      "denseAttentionReference",
      { ...head, dtype: "f32", weights: "f32" },
      { q: bad, k: bad, v: bad, headDim: dims, scale: NO_QUANTITY, ...types },
      ({ dtype, weights, ...inputs }) =>
        kernels.denseAttentionReference(inputs as never, { dtype, weights }),
    ),
    entry(
      "denseAttentionRow",
      { ...head, row: 2, dtype: "f32", weights: "f32" },
      {
        q: NO_NUMBERS,
        k: bad,
        v: bad,
        headDim: dims,
        row: [...NO_INDEX, 6],
        scale: NO_QUANTITY,
        ...types,
      },
      ({ row, dtype, weights, ...inputs }) =>
        kernels.denseAttentionRow(inputs as never, row, { dtype, weights }),
    ),
    entry(
      "denseBackwardReference",
      { ...head, outputGradient: few, dtype: "f32", weights: "f32" },
      {
        q: bad,
        k: bad,
        v: bad,
        outputGradient: bad,
        headDim: dims,
        scale: NO_QUANTITY,
        ...types,
      },
      ({ dtype, weights, ...inputs }) =>
        kernels.denseBackwardReference(inputs as never, { dtype, weights }),
    ),
    entry(
      "lighthouseReference",
      { ...layer, selection },
      { q: whole, k: whole, v: whole, headDim: dims, selection: badSelection },
      ({ q, k, v, ...options }) =>
        kernels.lighthouseReference({ q, k, v }, geometry, options as never),
    ),
    entry(
      "lighthouseBackwardReference",
      { ...layer, outputGradient: rows, selection, dtype: "f32" },
      {
        q: whole,
        k: whole,
        v: whole,
        outputGradient: whole,
        headDim: dims,
        selection: [...badSelection, undefined],
        dtype: NO_DTYPE.filter((value) => value !== null),
      },
      ({ q, k, v, outputGradient, ...options }) =>
        kernels.lighthouseBackwardReference(
          { q, k, v, outputGradient },
          geometry,
          options as never,
        ),
    ),
    entry(
      "selectReference",
      { queryScores: scores, keyScores: scores },
      { queryScores: [...badScores, undefined], keyScores: [...badScores, undefined] },
      ({ queryScores, keyScores }) => kernels.selectReference(queryScores, keyScores, geometry),
    ),
    entry(
      "maximaReference",
      { base: scores },
      { base: [...badScores, undefined] },
      ({ base }) => kernels.maximaReference(base, geometry),
    ),
    entry(
      "scatterReference",
      { gathered: new Float32Array(selection.length * headDim), selection },
      {
        gathered: [...NO_NUMBERS, undefined, new Float32Array(1), new Float32Array(0)],
        selection: [...badSelection, undefined],
      },
      ({ gathered, selection }) => kernels.scatterReference(gathered, selection, geometry),
    ),
    entry(
      "glaScoresReference",
      { q: few, k: few, v: few, gates: new Float32Array(6), headDim, dilation: 2 },
      {
        q: bad,
        k: bad,
        v: bad,
        gates: [...badElements(6), undefined],
        headDim: dims,
        dilation: NO_COUNT,
      },
      ({ headDim, dilation, ...tensors }) =>
        kernels.glaScoresReference(tensors as never, { headDim, dilation }),
    ),
    entry(
      "worstRatio",
      { got: few, want: few, tolerance: few },
      { got: bad, want: bad, tolerance: bad },
      ({ got, want, tolerance }) => kernels.worstRatio(got, want, tolerance),
    ),
  ];
}
