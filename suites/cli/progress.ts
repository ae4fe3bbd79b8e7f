/**
 * What a run shows on stderr while it goes on: one line that is rewritten on a terminal, one line
 * for each finished case elsewhere.
 *
 * @module
 */
import { formatSeconds } from "../../reports/text/format.ts";
import type { ProgressEvent } from "../run/runner.ts";
import { standardError } from "./streams.ts";

/** Where progress is written. */
export interface ProgressStream {
  readonly isTerminal: boolean;
  /** Columns of the terminal. */
  readonly columns: number;
  readonly write: (text: string) => void;
}

/** This process's own stderr. */
export function stderrStream(): ProgressStream {
  const isTerminal = Deno.stderr.isTerminal();
  return { isTerminal, columns: (isTerminal && columns()) || 80, write: standardError.write };
}

/** Columns of the terminal; 0 where it does not tell, or was closed. */
function columns(): number {
  try {
    return Deno.consoleSize().columns;
  } catch {
    return 0;
  }
}

/** Turns progress events into lines. */
export class ProgressDisplay {
  readonly #stream: ProgressStream;
  #shown = 0;

  constructor(stream: ProgressStream) {
    this.#stream = stream;
  }

  /** Takes one event. */
  show(event: ProgressEvent): void {
    if (event.kind === "case") this.#line(describeCase(event));
    else if (event.kind === "note") this.#line(`note: ${event.text}`);
    if (!this.#stream.isTerminal) return;
    const left = event.remainingSeconds === null ? "" : `, ${formatLeft(event.remainingSeconds)}`;
    const what = event.kind === "step" ? ` ${event.text}` : "";
    const text = `[${event.done}/${event.total}${left}]${what}`;
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

/** `1 min 20 s left`. */
export function formatLeft(seconds: number): string {
  const whole = Math.ceil(seconds);
  const minutes = Math.floor(whole / 60);
  return minutes === 0 ? `${whole} s left` : `${minutes} min ${whole % 60} s left`;
}

/** One line about a finished case. */
export function describeCase({ case: record, done, total }: ProgressEvent): string {
  if (!record) return "";
  const count = `${String(done).padStart(String(total).length)}/${total}`;
  const time = record.statistic ? ` ${formatSeconds(record.statistic.median)}` : "";
  const reason = record.reason ? `: ${record.reason}` : "";
  const mark = {
    ok: "ok     ",
    skipped: "skipped",
    failed: "FAILED ",
    inconclusive: "unclear",
  }[record.status];
  return `${count} ${mark} ${record.id}${time}${reason}`;
}
