/**
 * A run under way: how far it is, what was checked, and what has been found so far.
 *
 * @module
 */
import type { JSX } from "preact";
import { formatPlural } from "../reports/text/format.ts";
import { Findings } from "./findings.tsx";
import { modeOf } from "./modes.ts";
import { spokenSeconds, spokenStep } from "./spoken.ts";
import { type Running, secondsLeft } from "./state.ts";

/** Lines of finished cases that are visible at once. */
const VISIBLE_LINES = 8;

const SIGNS = { ok: "✓", failed: "✗", skipped: "–", inconclusive: "?" } as const;

function timeLeft(left: number | null): string {
  if (left === null) return "no estimate yet";
  return left < 0.5 ? "this device takes longer than planned" : `about ${spokenSeconds(left)} left`;
}

/** The run's progress. */
export function RunPanel(
  { running, at, onStop }: { running: Running; at: number; onStop: () => void },
): JSX.Element {
  const { moment, progress, finished, notes, hiddenSeconds, stopping, partial, cells } = running;
  const left = secondsLeft(running, at);
  const percent = Math.floor(progress * 100);
  return (
    <section class="running" aria-labelledby="running-title">
      <h2 id="running-title" tabIndex={-1}>{modeOf(running.mode).title} run</h2>
      <div class="bar">
        <progress max={100} value={percent} aria-label="Share of the run that is over" />
        <span class="left">
          {timeLeft(left)}
          {moment !== null && `, ${moment.done} of ${moment.total} cases`}
        </span>
        <button type="button" onClick={onStop} disabled={stopping}>
          {stopping ? "Stopping …" : "Stop and keep what is finished"}
        </button>
      </div>
      <p class="step" role="status">{moment === null ? "Starting …" : spokenStep(moment.text)}</p>
      {hiddenSeconds > 0 && (
        <p class="notice different" role="note">
          This tab was hidden for{" "}
          {spokenSeconds(hiddenSeconds)}. Browsers slow hidden tabs down: keep it in front. The
          result will mention it.
        </p>
      )}
      {partial !== null && <Findings result={partial} cells={cells} />}
      <h3>
        {finished.length === 0 ? "Checks" : `${formatPlural(finished.length, "case")} finished`}
      </h3>
      <ol class="checks">
        {finished.slice(0, VISIBLE_LINES).map(({ id, title, status, text }) => (
          <li key={id} class={status} title={id}>
            <span aria-hidden="true">{SIGNS[status]}</span> <strong>{title}:</strong> {text}
          </li>
        ))}
      </ol>
      {notes.length > 0 && <ul class="notes">{notes.map((note) => <li key={note}>{note}</li>)}</ul>}
    </section>
  );
}
