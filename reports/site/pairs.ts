/**
 * Which runs are compared with each other, and the gate's verdicts on them.
 *
 * @module
 */
import type { CaseRecord } from "../../suites/result/result_schema.ts";
import { isCheck } from "../../suites/result/suite_records.ts";
import { compareResults } from "../gate/compare_results.ts";
import { GateInputError } from "../gate/gate_config.ts";
import { countVerdicts, type GateCase, type GateReport } from "../gate/gate_report.ts";
import { largest } from "../data/extremes.ts";
import { formatPlural } from "../text/format.ts";
import { leadRun, type Site, type SiteRun } from "./runs.ts";
import { verdictWord } from "./verdict_words.ts";

/** Most devices that are compared with each other, those with the newest runs. */
export const MOST_DEVICES = 8;
/** Most earlier runs that are searched for one that measured the same. */
const MOST_BACK = 40;

/** Two runs with a page of their own. */
export interface RunPair {
  readonly before: SiteRun;
  readonly after: SiteRun;
  readonly path: string;
  readonly kind: "consecutive" | "first and newest" | "devices";
  /** Null for devices, whose times are not judged, and if the gate refuses a file. */
  readonly report: GateReport | null;
  /** Why there is no verdict. */
  readonly refusal: string | null;
}

/**
 * The pairs of a site: on each device every run and the previous one that measured the same, and
 * the newest and the first such; for two devices the runs that represent them.
 */
export function planPairs(site: Site): RunPair[] {
  const pairs: RunPair[] = [];
  const add = (before: SiteRun, after: SiteRun, kind: RunPair["kind"]) => {
    const judged = kind === "devices" ? { report: null, refusal: null } : judge(before, after);
    pairs.push({
      before,
      after,
      kind,
      path: `compare/${after.slug}.${before.slug}.html`,
      ...judged,
    });
  };
  for (const { runs } of site.devices) {
    const like = new Likeness(runs);
    runs.forEach((run, i) => {
      const before = like.before(i);
      if (before !== undefined) add(before, run, "consecutive");
    });
    const newest = runs.length - 1;
    const first = like.first(newest);
    if (first !== undefined && first !== like.before(newest)) {
      add(first, runs[newest], "first and newest");
    }
  }
  const leads = site.devices.slice(0, MOST_DEVICES).map(leadRun);
  leads.forEach((after, i) =>
    leads.slice(i + 1).forEach((before) => add(before, after, "devices"))
  );
  return pairs;
}

/** The pair of a run and the previous one; undefined if there is none. */
export function consecutiveOf(pairs: readonly RunPair[]): Map<SiteRun, RunPair> {
  return new Map(
    pairs.filter(({ kind }) => kind === "consecutive").map((pair) => [pair.after, pair]),
  );
}

/** The relative change that a case without one is judged by. */
export function toleranceOf({ tolerance, minimum }: GateCase): number {
  return Math.max(tolerance, minimum);
}

/** What a comparison says, in a few words: `2 slower`, `1 faster`, `no change above 10 %`. */
export function pairWord({ report, refusal }: RunPair): string {
  if (refusal !== null) return "cannot be compared";
  if (report === null) return "times differ by device";
  if (report.outcome === "not comparable") return "not comparable";
  // A case without a time on both sides is no part of the number that the sentence names.
  const timed = report.cases.filter(({ time }) => time !== undefined);
  const { faster, slower, inconclusive } = countVerdicts(timed);
  const failing = report.cases.filter(({ fails }) => fails);
  const differing = failing.filter(({ verdict }) => verdict !== "slower" && verdict !== "missing");
  const missing = failing.filter(({ verdict }) => verdict === "missing").length;
  const parts = [
    slower > 0 && `${slower} slower`,
    differing.length > 0 && `${differing.length} with another result`,
    missing > 0 && `${missing} missing`,
    faster > 0 && `${faster} faster`,
    inconclusive > 0 && `${inconclusive} undecided`,
  ].filter((part) => part !== false);
  if (parts.length > 0) return parts.join(", ");
  if (report.identicalCode) return verdictWord("same", { tolerance: null });
  return timed.length === 0
    ? "nothing timed in both"
    : verdictWord("same", { tolerance: largest(timed.map(toleranceOf)) });
}

/** The result of a comparison, in a sentence. */
export function pairSentence(pair: RunPair): string {
  const { report, refusal, kind } = pair;
  if (refusal !== null) return `${refusal.charAt(0).toUpperCase()}${refusal.slice(1)}.`;
  if (report === null) {
    return kind === "devices" ? "Ratios and slopes; times are not judged." : "Not judged.";
  }
  if (report.outcome === "not comparable") return report.sentence;
  const timed = report.cases.filter(({ time }) => time !== undefined).length;
  const word = pairWord(pair);
  const text = `${word.charAt(0).toUpperCase()}${word.slice(1)}`;
  return `${text}, in ${formatPlural(timed, "case")} that both runs timed.`;
}

/** Share of either run's cases that the other must have for the two to be compared. */
const LIKE_FROM = 0.5;

/** Which runs of a device measured the same: a single suite does not succeed a whole run. */
class Likeness {
  readonly #runs: readonly SiteRun[];
  readonly #ids: readonly ReadonlySet<string>[];
  readonly #measured: readonly (readonly string[])[];

  constructor(runs: readonly SiteRun[]) {
    this.#runs = runs;
    this.#ids = runs.map(({ result }) => new Set(result.cases.map(({ id }) => id)));
    this.#measured = runs.map((run) => measuredCases(run).map(({ id }) => id));
  }

  /** The newest of the runs before a run that measured the same. */
  before(index: number): SiteRun | undefined {
    for (let i = index - 1; i >= Math.max(0, index - MOST_BACK); i--) {
      if (this.#isLike(i, index)) return this.#runs[i];
    }
    return undefined;
  }

  /** The oldest of them. */
  first(index: number): SiteRun | undefined {
    for (let i = 0; i < Math.min(index, MOST_BACK); i++) {
      if (this.#isLike(i, index)) return this.#runs[i];
    }
    return undefined;
  }

  /** Whether a later run had most of what an earlier one measured. */
  #isLike(before: number, after: number): boolean {
    const measured = this.#measured[before];
    const common = measured.filter((id) => this.#ids[after].has(id)).length;
    return measured.length > 0 && common >= LIKE_FROM * measured.length;
  }
}

/**
 * The purpose of a run. Runs of different suites and contexts check the same small layers
 * first, so checks only count in a run of checks alone.
 */
function measuredCases({ result: { cases } }: SiteRun): readonly CaseRecord[] {
  const beyondChecks = cases.filter((record) => !isCheck(record));
  if (beyondChecks.length === 0) return cases;
  return beyondChecks.filter(({ status }) => status === "ok" || status === "inconclusive");
}

function judge(before: SiteRun, after: SiteRun): Pick<RunPair, "report" | "refusal"> {
  try {
    const names = { baseline: before.slug, candidate: after.slug };
    return { report: compareResults(before.result, after.result, { names }), refusal: null };
  } catch (error) {
    if (!(error instanceof GateInputError)) throw error;
    return { report: null, refusal: error.message };
  }
}
