/**
 * Keeps the result of a run in progress up to date, saves it after every finished case, and reports
 * it.
 *
 * @module
 */
import type { KeepWarm } from "../device/keep_warm.ts";
import type { Session } from "../measure/session.ts";
import type { Budget } from "../plan/budget.ts";
import { membersOf, type PlannedGroup } from "../plan/planned_case.ts";
import type { CaseRecord, RatioRecord, Result } from "../result/result_schema.ts";
import { scaleStatistic } from "../statistics/statistics.ts";
import type { Store } from "./host.ts";
import type { ProgressEvent, SuiteHooks } from "./progress.ts";
import { rejudgeLive, rejudgeResult } from "./rejudge.ts";

/** Keeps a result. */
export class ResultKeeper {
  readonly result: Result;
  /** Cases whose samples are being taken. */
  readonly live: Session["live"] = new Set();
  /** Set once it exists. */
  budget?: Budget;
  /** Work in progress and still to come; undefined until the plan is started. */
  pending?: readonly PlannedGroup[];
  readonly #total: number;
  readonly #hooks: SuiteHooks;
  readonly #store?: Pick<Store, "save">;
  readonly #keepWarm?: KeepWarm;

  /** @param options `total`: cases planned. */
  constructor(
    result: Result,
    options: {
      total: number;
      hooks: SuiteHooks;
      store?: Pick<Store, "save">;
      keepWarm?: KeepWarm;
    },
  ) {
    this.result = result;
    this.#total = options.total;
    this.#hooks = options.hooks;
    this.#store = options.store;
    this.#keepWarm = options.keepWarm;
  }

  /** The record of a case, if it is finished. */
  finished(id: string): CaseRecord | undefined {
    return this.result.cases.find((record) => record.id === id);
  }

  /** Records a finished case; a later record of the same id replaces the earlier one. */
  async record(record: CaseRecord): Promise<void> {
    const { cases } = this.result;
    const at = cases.findIndex((other) => other.id === record.id);
    if (at < 0) cases.push(record);
    else cases[at] = record;
    await this.save();
    this.say({ kind: "case", text: record.id, case: record });
  }

  /** Records a ratio in the same way. */
  async recordRatio(ratio: RatioRecord): Promise<void> {
    const { ratios } = this.result;
    const same = (other: RatioRecord) =>
      other.numerator === ratio.numerator && other.denominator === ratio.denominator;
    const at = ratios.findIndex(same);
    if (at < 0) ratios.push(ratio);
    else ratios[at] = ratio;
    await this.save();
  }

  /** Calibration ran at a low clock: measurements since then are judged by the right one. */
  rejudge(factor: number): void {
    const result = this.result;
    this.budget?.rebase(factor);
    rejudgeLive(this.live, factor);
    this.note(
      `the clock was down during calibration: the canary's time is ${
        factor.toPrecision(3)
      } times ` +
        "shorter than that, and earlier samples were judged again",
    );
    const { canary } = result.calibration ?? {};
    if (canary) result.calibration!.canary = scaleStatistic(canary, 1 / factor);
    Object.assign(result, rejudgeResult(result, { factor, seed: result.seed }));
  }

  /** Adds a note, once. */
  note(line: string): void {
    if (!this.result.notes.includes(line)) this.result.notes.push(line);
    this.say({ kind: "note", text: line });
  }

  /** Reports what is in progress. */
  step(text: string): void {
    this.say({ kind: "step", text });
  }

  /** Reports to the caller. */
  say(event: Pick<ProgressEvent, "kind" | "text" | "case">): void {
    this.#hooks.onProgress?.({
      ...event,
      done: this.result.cases.length,
      total: this.#total,
      remainingSeconds: this.#remainingSeconds(),
    });
  }

  /**
   * How long the groups still to come would take with all their samples, within the budget. Null
   * until the implementations of half of them have run: on a processor the first predictions are
   * ten times too low, and a time that was too short once never becomes right again.
   */
  #remainingSeconds(): number | null {
    const { budget, pending } = this;
    if (!budget || !pending) return null;
    const known = pending.filter((group) => membersOf(group).every((entry) => budget.knows(entry)));
    if (2 * known.length < pending.length) return null;
    let seconds = 0;
    for (const group of pending) seconds += budget.groupSeconds(group, budget.rounds.most);
    return Math.max(0, Math.min(seconds, budget.left));
  }

  /** Saves the current result. */
  async save(): Promise<void> {
    const warm = this.#keepWarm?.record();
    if (warm) this.result.keepWarm = warm;
    await this.#store?.save(this.result);
  }
}
