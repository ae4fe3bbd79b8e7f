import assert from "node:assert/strict";
import { NAMES } from "./_seeded_inputs.ts";
import { pcgSum4 } from "../gpu/random.ts";
import { lighthouseBackwardReference } from "./lighthouse_backward_reference.ts";
import { type LighthouseGeometry, planGeometry } from "./lighthouse_geometry.ts";
import { lighthouseReference } from "./lighthouse_reference.ts";

Deno.test("lighthouseBackwardReference agrees with finite differences at fixed selection", () => {
  const headDim = 3;
  // Smaller than the kernels allow, to make finite differences of every element possible.
  const geometry: LighthouseGeometry = {
    ...planGeometry(512, { levels: 3, pooling: 2, k: 128 }),
    context: 16,
    levelEntries: [16, 8, 4],
    levelOffsets: [0, 16, 24],
    entries: 28,
    pooledEntries: 12,
    gathered: 10,
  };
  // Includes the last window and the first of every level; some rows have no level-0 entry.
  const selection = Int32Array.of(0, 1, 16, 24, 25, 18, 26, 14, 15, 23);
  const tensors = [1, 2, 3, 4].map((seed) =>
    Float64Array.from({ length: 16 * headDim }, (_, i) => pcgSum4(seed, i))
  );
  const [q, k, v, outputGradient] = tensors;
  const loss = () => {
    const { output } = lighthouseReference({ q, k, v }, geometry, { headDim, selection });
    return output.reduce((sum, value, i) => sum + value * outputGradient[i], 0);
  };
  const found = lighthouseBackwardReference({ q, k, v, outputGradient }, geometry, {
    headDim,
    selection,
  });
  const step = 1e-5;
  for (const [n, name] of NAMES.entries()) {
    const tensor = tensors[n];
    for (let i = 0; i < tensor.length; i++) {
      const kept = tensor[i];
      tensor[i] = kept + step;
      const up = loss();
      tensor[i] = kept - step;
      const down = loss();
      tensor[i] = kept;
      const difference = (up - down) / (2 * step);
      // Truncation is of the order of step², rounding of 2^-53 · 100 / step.
      const error = Math.abs(difference - found[name].gradient[i]);
      assert.ok(error < 1e-7, `d${name}, element ${i}: off by ${error}`);
    }
    // Rows 12 and 13 are in no selected entry: their entry of level 2, 27, is not selected.
    const rows = found[name].gradient.subarray(12 * headDim, 14 * headDim);
    assert.ok(rows.every((value) => value === 0));
  }
});
