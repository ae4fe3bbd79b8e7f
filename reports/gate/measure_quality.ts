/**
 * The quality of the gate between two files; `deno task gate-quality` writes it to
 * `fixtures/gate/quality.json`.
 *
 * @module
 */
import recorded from "../../fixtures/gate/software_runs.json" with { type: "json" };
import {
  measureQuality,
  MODELS,
  pairUp,
  type QualityRow,
  recordedRuns,
  synthesizePairs,
} from "./_quality.ts";

/** Pairs of synthetic runs of twelve cases each. */
const PAIRS = 40;

/** Earlier runs of the baseline in the rows that have them. */
const HISTORY = 5;

/** A row with its name. */
export interface NamedRow extends QualityRow {
  readonly noise: string;
  /** Earlier runs of the baseline that the gate was given. */
  readonly history: number;
}

/** All rows, in the order of the table in GATE.md. */
export function allRows(): NamedRow[] {
  const rows: NamedRow[] = [];
  for (const [name, model] of Object.entries(MODELS)) {
    for (const history of [0, HISTORY]) {
      const pairs = synthesizePairs(model, { pairs: PAIRS, history });
      rows.push({
        noise: `synthetic: ${name}`,
        history,
        ...measureQuality(pairs, { slowed: "dense" }),
      });
    }
  }
  const runs = recordedRuns(recorded);
  for (const history of [0, runs.length - 2]) {
    const pairs = pairUp(runs, { history: history > 0 });
    rows.push({
      noise: "recorded: busy software adapter",
      history,
      ...measureQuality(pairs, { slowed: "dense" }),
    });
  }
  return rows;
}
