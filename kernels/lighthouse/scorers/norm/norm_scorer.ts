/**
 * The norm scorer (specification, section 3): norms of the rows of Q and K, and their maxima over
 * the windows of the pyramid.
 *
 * It has no pass of its own: the pyramid pass writes norm scores while it pools Q and K.
 *
 * @module
 */
import type { Scorer } from "../scorer.ts";

/** Norms of the rows of Q and K. */
export const normScorer: Scorer = {
  name: "norm",
  exactSelection: true,
  style: { color: { light: "#0072b2", dark: "#56b4e9" }, mark: "square" },
};
