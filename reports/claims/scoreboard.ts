/**
 * How many claims of the paper a run could judge, and with which verdicts.
 *
 * @module
 */
import type { ClaimRow, Verdict } from "./claim.ts";

/** The claims of a run by verdict. */
export interface Scoreboard {
  /** Claims that this suite can measure. */
  judgeable: number;
  /** Of those, the number by verdict; verdicts without a claim are left out. */
  verdicts: { verdict: Verdict; count: number }[];
  /** Claims of the paper that need training runs. */
  beyond: number;
}

const ORDER: readonly Verdict[] = ["reproduced", "partly", "not reproduced", "not run"];

/** Counts the rows of a claims table. */
export function scoreboardOf(rows: readonly ClaimRow[]): Scoreboard {
  const own = rows.filter(({ command }) => command !== null);
  return {
    judgeable: own.length,
    verdicts: ORDER.map((verdict) => ({
      verdict,
      count: own.filter((row) => row.verdict === verdict).length,
    })).filter(({ count }) => count > 0),
    beyond: rows.filter(({ command, verdict }) => command === null && verdict === "not run").length,
  };
}

/**
 * The scoreboard as one line: `4 of 7 claims reproduced, 1 partly, 2 not run`.
 *
 * @example
 * ```ts
 * import { scoreboardLine } from "./scoreboard.ts";
 * import assert from "node:assert/strict";
 * const verdicts = [{ verdict: "reproduced" as const, count: 4 }, { verdict: "not run" as const, count: 3 }];
 * assert.equal(
 *   scoreboardLine({ judgeable: 7, verdicts, beyond: 4 }),
 *   "4 of 7 claims reproduced, 3 not run",
 * );
 * ```
 */
export function scoreboardLine({ judgeable, verdicts }: Scoreboard): string {
  const words = verdicts.filter(({ verdict }) => verdict !== "reproduced")
    .map(({ verdict, count }) => `${count} ${verdict}`);
  const reproduced = verdicts.find(({ verdict }) => verdict === "reproduced")?.count ?? 0;
  return [`${reproduced} of ${judgeable} claims reproduced`, ...words].join(", ");
}
