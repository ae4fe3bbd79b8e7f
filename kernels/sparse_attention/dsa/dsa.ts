/**
 * DSA, the sparse attention of DeepSeek-V3.2-Exp: an index scores every earlier token for a query,
 * and all heads attend to the `topk` best, fewer where fewer come before.
 *
 * I[t, s] = Σ_j w[t, j]·max(0, q[t, j]·k[s]), s ≤ t, in f32; of equal scores the smaller token is
 * first. The published layer shares its keys among all heads (kvHeads = 1); with a key head a head
 * each gathers its own rows. The index is a quarter of dense attention's work at J = H/2, c = d,
 * and quadratic.
 *
 * @module
 */
import type { Implementation } from "../../implementation.ts";
import { INDEX_OPTIONS, indexedImplementation } from "../token_index/indexed_layer.ts";

/** DSA with its published settings, scaled to H = 8, and with as many pairs as Lighthouse has. */
export const dsa: Implementation = indexedImplementation({
  name: "dsa",
  title: "indexed tokens (DSA)",
  descriptors: INDEX_OPTIONS,
  presets: [
    { name: "published", options: { indexHeads: 4, indexDim: 128, topk: 2048 } },
    { name: "matched", options: { indexHeads: 4, indexDim: 128, topk: "9N/512" } },
  ],
  style: { color: { light: "#8a4fbf", dark: "#c79bf2" }, mark: "wye" },
  short: (context) => ({ indexHeads: 4, indexDim: 32, topk: Math.ceil(context / 4) }),
});
