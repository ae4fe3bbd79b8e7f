/**
 * Why cases have no time, with cases of the same reason grouped.
 *
 * @module
 */
import type { CaseRecord, Result } from "../../suites/result/result_schema.ts";
import { formatCount, formatInterval, formatSeconds, formatSignificant } from "../text/format.ts";

/** Cases that share a state and a reason, up to its numbers. */
export interface MissingGroup {
  state: "skipped" | "failed" | "inconclusive";
  /** The reason, with the range of each number that differs. */
  reason: string;
  cases: CaseRecord[];
}

/** Whether a case has no time, or one that must not be shown because of its check. */
export function isMissing(record: CaseRecord): boolean {
  return record.status !== "ok" || record.check?.passed === false;
}

/** The reason of a case in plain words. */
export function reasonText({ reason }: Pick<CaseRecord, "reason">): string {
  return (reason ?? "no reason recorded")
    .replace(/\b0(\.0+)? s of the budget are left/, "nothing of the budget was left")
    .replace(
      /\bleaves (\d+) coarsest entries a tile, at least (\d+) are needed/,
      "gives each tile $1 entries of the pyramid's coarsest level, at least $2 are needed",
    );
}

/** Cases without a time by state and reason: failures first, then the larger groups. */
export function missingGroups(result: Pick<Result, "cases">): MissingGroup[] {
  const groups = new Map<string, MissingGroup & { texts: string[] }>();
  for (const record of result.cases) {
    if (!isMissing(record)) continue;
    const state = record.status === "skipped" || record.status === "inconclusive"
      ? record.status
      : "failed";
    const text = reasonText(record);
    // The rest of a budget is not a separate reason, whether zero or small.
    const key = `${state} ${
      text.replace(NUMBER, "#").replace(/nothing of the budget was/, "# s of the budget are")
    }`;
    const group = groups.get(key) ?? { state, reason: "", cases: [], texts: [] };
    groups.set(key, group);
    group.cases.push(record);
    group.texts.push(text);
  }
  const order = (group: MissingGroup) => ["failed", "inconclusive", "skipped"].indexOf(group.state);
  return [...groups.values()]
    .map(({ texts, ...group }) => ({ ...group, reason: joinReasons(texts) }))
    .sort((a, b) => order(a) - order(b) || b.cases.length - a.cases.length);
}

const NUMBER = /(?<![\w.])\d[\d,]*(?:\.\d+)?(?![\w.]*[A-Za-z])/g;

/** A number, with the unit of seconds where it has that one. */
const SECONDS_OR_NUMBER = new RegExp(`${NUMBER.source}( s\\b)?`, "g");

/** Joins texts that differ only in numbers: `predicted 3 s` and `predicted 9 s` give `predicted 3–9 s`. */
function joinReasons(texts: readonly string[]): string {
  const all = texts.map((text) =>
    text.replace("nothing of the budget was left", "0 s of the budget are left")
  );
  const values = all.map((text) =>
    [...text.matchAll(NUMBER)].map(([number]) => Number(number.replaceAll(",", "")))
  );
  let at = 0;
  const joined = all[0].replace(SECONDS_OR_NUMBER, (whole, unit?: string) => {
    const number = whole.slice(0, whole.length - (unit?.length ?? 0));
    const own = values.map((row) => row[at]);
    at++;
    const [low, high] = [Math.min(...own), Math.max(...own)];
    // Small fractions of a second are read in their own unit.
    if (unit !== undefined && low > 0 && low < 0.1) {
      return low === high ? formatSeconds(low) : formatInterval([low, high], formatSeconds);
    }
    const format = own.every(Number.isInteger) ? formatCount : formatSignificant;
    return (low === high ? number : `${format(low)}–${format(high)}`) + (unit ?? "");
  });
  return joined.replace(/\b0 s of the budget are left/, "nothing of the budget was left");
}
