/**
 * What a run shows on stderr while it runs: one line that is rewritten on a terminal, one line for
 * each finished case elsewhere.
 *
 * @module
 */
import { reasonText } from "../../reports/data/reasons.ts";
import { formatSeconds } from "../../reports/text/format.ts";
import { ansi } from "../../reports/text/verdict_color.ts";
import type { ProgressEvent } from "../run/runner.ts";
import { terminalWidth, useColor } from "./color.ts";
import { standardError } from "./streams.ts";

/** Where progress is written. */
export interface ProgressStream {
  readonly isTerminal: boolean;
  /** Columns of the terminal. */
  readonly columns: number;
  /** Whether states are coloured; false by default. */
  readonly color?: boolean;
  readonly write: (text: string) => void;
}

/** This process's own stderr. */
export function stderrStream(): ProgressStream {
  const isTerminal = Deno.stderr.isTerminal();
  const columns = terminalWidth(Deno.stderr) ?? 80;
  return { isTerminal, columns, color: useColor(Deno.stderr), write: standardError.write };
}

/** Turns progress events into lines. */
export class ProgressDisplay {
  readonly #stream: ProgressStream;
  readonly #left = new TimeLeft();
  #shown = 0;

  constructor(stream: ProgressStream) {
    this.#stream = stream;
  }

  /** Takes one event. */
  show(event: ProgressEvent): void {
    if (event.kind === "case") this.#line(describeCase(event, this.#stream));
    else if (event.kind === "note") this.#line(`note: ${event.text}`);
    if (!this.#stream.isTerminal) return;
    const { done, total } = event;
    if (total === 0 && event.kind !== "step") return;
    const left = event.remainingSeconds && done < total
      ? `, ${this.#left.describe(event.remainingSeconds)}`
      : "";
    const what = event.kind === "step" ? ` ${event.text}` : "";
    const text = `${total > 0 ? `[${done}/${total}${left}]` : ""}${what}`;
    this.#rewrite(text.slice(0, Math.max(20, this.#stream.columns - 1)));
  }

  /** Clears the line that is rewritten. */
  finish(): void {
    if (this.#stream.isTerminal) this.#rewrite("");
  }

  #line(text: string): void {
    if (this.#stream.isTerminal) this.#rewrite("");
    this.#stream.write(`${text}\n`);
  }

  #rewrite(text: string): void {
    const blank = " ".repeat(Math.max(0, this.#shown - text.length));
    this.#stream.write(`\r${text}${blank}${text === "" ? "\r" : ""}`);
    this.#shown = text.length;
  }
}

/**
 * The time left as it is shown: it never rises. The run estimates what the cases still to come take
 * as planned, at most the rest of the budget. Where an estimate turns out to have been too low,
 * what was shown stays, as `over 35 s left`, until the work has caught up.
 *
 * @example
 * ```ts
 * import { TimeLeft } from "./progress.ts";
 * import assert from "node:assert/strict";
 * const left = new TimeLeft();
 * assert.deepEqual(
 *   [50, 35, 64, 30].map((seconds) => left.describe(seconds)),
 *   ["50 s left", "35 s left", "over 35 s left", "30 s left"],
 * );
 * ```
 */
export class TimeLeft {
  #least = Infinity;

  /** Text for an estimate in seconds. */
  describe(seconds: number): string {
    const over = Math.ceil(seconds) > Math.ceil(this.#least);
    this.#least = Math.min(this.#least, seconds);
    return `${over ? "over " : ""}${formatLeft(this.#least)}`;
  }
}

/** `1 min 20 s left`. */
export function formatLeft(seconds: number): string {
  const whole = Math.ceil(seconds);
  const minutes = Math.floor(whole / 60);
  return minutes === 0 ? `${whole} s left` : `${minutes} min ${whole % 60} s left`;
}

const MARKS = {
  ok: ["ok     ", "green"],
  skipped: ["skipped", "yellow"],
  failed: ["FAILED ", "red"],
  inconclusive: ["unclear", "yellow"],
} as const;

/** One line about a finished case. */
export function describeCase(
  { case: record, done, total }: ProgressEvent,
  { color = false }: { color?: boolean } = {},
): string {
  if (!record) return "";
  const count = `${String(done).padStart(String(total).length)}/${total}`;
  const time = record.statistic ? ` ${formatSeconds(record.statistic.median)}` : "";
  const reason = record.reason ? `: ${reasonText(record)}` : "";
  const [mark, style] = MARKS[record.status];
  return `${count} ${color ? ansi(style, mark) : mark} ${record.id}${time}${reason}`;
}
