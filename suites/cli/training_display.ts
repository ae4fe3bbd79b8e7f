/**
 * What a training run shows on stderr: one line that is rewritten on a terminal, a line every ten
 * seconds elsewhere, and a line for each finished unit.
 *
 * @module
 */
import { formatPercent, formatSeconds } from "../../reports/text/format.ts";
import { cellsOf, evaluationOf } from "../../reports/data/experiment_data.ts";
import type { ExperimentHooks } from "../experiments/run_experiment.ts";
import type { CaseRecord, Result } from "../result/result_schema.ts";
import { formatLeft, type ProgressStream } from "./progress.ts";

type Progress = Parameters<NonNullable<ExperimentHooks["onProgress"]>>[0];

/** Milliseconds between lines where nothing is rewritten. */
const LINE_MILLISECONDS = 10_000;

/** Turns progress into lines. */
export class TrainingDisplay {
  readonly #stream: ProgressStream;
  readonly #now: () => number;
  #shown = 0;
  #last = -Infinity;

  /** @param options `now`: a clock in milliseconds; for tests. */
  constructor(stream: ProgressStream, { now = () => performance.now() } = {}) {
    this.#stream = stream;
    this.#now = now;
  }

  /** Takes one report. */
  show(progress: Progress): void {
    const text = describeProgress(progress);
    if (this.#stream.isTerminal) {
      this.#rewrite(text.slice(0, Math.max(20, this.#stream.columns - 1)));
    } else if (this.#now() - this.#last >= LINE_MILLISECONDS) {
      this.#last = this.#now();
      this.#stream.write(`${text}\n`);
    }
  }

  /** A unit is finished. */
  finished(record: CaseRecord, result: Result): void {
    this.end();
    this.#stream.write(`${describeUnit(record, result)}\n`);
  }

  /** Clears the line that is rewritten. */
  end(): void {
    if (this.#stream.isTerminal) this.#rewrite("");
  }

  #rewrite(text: string): void {
    const blank = " ".repeat(Math.max(0, this.#shown - text.length));
    this.#stream.write(`\r${text}${blank}${text === "" ? "\r" : ""}`);
    this.#shown = text.length;
  }
}

/** `[3/20] norm, seed 1: step 450 of 1200, loss 3.214, 12 ms a step, 9 s left`. */
export function describeProgress(
  { unit, done, total, steps, training, text }: Progress,
): string {
  const what = `[${done + 1}/${total}] ${unit.arm.name}, seed ${unit.seed}`;
  if (text !== undefined) return `${what}: ${text}`;
  if (!training) return what;
  const { step, loss, secondsPerStep } = training;
  return `${what}: step ${step} of ${steps}, loss ${loss.toFixed(3)}, ` +
    `${formatSeconds(secondsPerStep)} a step, ${formatLeft((steps - step) * secondsPerStep)}`;
}

/** One line about a finished unit. */
export function describeUnit(record: CaseRecord, { experiment }: Result): string {
  const unit = experiment?.units.find((one) => one.case === record.id);
  if (!unit) return `${record.status} ${record.id}${record.reason ? `: ${record.reason}` : ""}`;
  const end = evaluationOf(unit, "end");
  const heldOut = end?.heldOut ?? [];
  const loss = heldOut.reduce((sum, one) => sum + one, 0) / heldOut.length;
  const answered = (["one-needle", "keyed-needles"] as const).flatMap((measure) => {
    const cells = end ? cellsOf(end, measure) : [];
    const trials = cells.reduce((sum, { trials }) => sum + trials, 0);
    const correct = cells.reduce((sum, { correct }) => sum + correct, 0);
    return trials > 0 ? [formatPercent(correct / trials)] : [];
  });
  const seconds = unit.seconds.first + unit.seconds.resume;
  return [
    `ok ${record.id}: held-out loss ${loss.toFixed(4)}`,
    ...(answered.length > 0 ? [`answered ${answered.join(" and ")}`] : []),
    formatSeconds(seconds),
  ].join(", ");
}
