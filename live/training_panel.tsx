/**
 * Two tiny models in training, dense and Lighthouse, side by side.
 *
 * @module
 */
import type { JSX } from "preact";
import { paperModel } from "../kernels/training/model/model_options.ts";
import { formatBytes, formatCount, formatTokenRate } from "../reports/text/format.ts";
import { LossCurve, meanOfLast } from "./loss_curve.tsx";
import { spokenSeconds } from "./spoken.ts";
import type { Training } from "./state.ts";
import { titleOf, type TrainingFacts, type TrainingMoment } from "./tiny_training.ts";

const PAPER = paperModel({ vocabulary: "bytes" });

/** Steps over which the table averages the loss. */
const LAST_STEPS = 5;

/** The section; `busy` while the device measures. */
export function TrainingPanel(
  { facts, training, busy, at, onTrain, onStop }: {
    facts: TrainingFacts;
    training: Training | null;
    busy: boolean;
    /** `performance.now()`. */
    at: number;
    onTrain: () => void;
    onStop: () => void;
  },
): JSX.Element {
  const moment = training?.moment ?? null;
  return (
    <section class="training" aria-labelledby="training-title">
      <h2 id="training-title">Train a tiny model</h2>
      {facts.able
        ? (
          <>
            <Intent facts={facts} />
            <Controls
              facts={facts}
              training={training}
              busy={busy}
              at={at}
              onTrain={onTrain}
              onStop={onStop}
            />
          </>
        )
        : <p>This device cannot train it: {facts.reason}.</p>}
      {moment !== null && moment.arms.some(({ losses }) => losses.length > 0) && (
        <>
          <LossCurve moment={moment} />
          <Standing moment={moment} />
        </>
      )}
    </section>
  );
}

type Able = TrainingFacts & { able: true };

function Intent({ facts }: { facts: Able }): JSX.Element {
  const { layers, context, gathered, steps, tokensPerStep, parameters, bytes, limitSeconds } =
    facts;
  return (
    <>
      <p>
        Two models of {layers} layers and {formatCount(parameters)}{" "}
        parameters learn a made-up text byte by byte, from the same weights and on the same batches:
        one with dense attention, one with Lighthouse attention (norm scorer) in every layer. Each
        takes {steps} steps of {formatCount(tokensPerStep)} tokens. {gathered < context
          ? `Lighthouse gathers ${formatCount(gathered)} of ${formatCount(context)} rows.`
          : `At a context of ${
            formatCount(context)
          } Lighthouse gathers as many rows as there are, ` +
            "and saves nothing."}{" "}
        <span class="facts">
          It ends after {spokenSeconds(limitSeconds)}{" "}
          at the latest, with fewer steps if need be; after two steps it tells how long this device
          takes. It needs {formatBytes(bytes)} of device memory.
        </span>
      </p>
      <p>
        This is a demonstration, not the paper's scale: the paper trains {PAPER.layers}{" "}
        layers of width {formatCount(PAPER.width)} at a context of {formatCount(PAPER.context)}{" "}
        tokens. Which of two tiny models learns faster from one seed neither supports nor
        contradicts it.
      </p>
    </>
  );
}

/** One button, which keeps the keyboard's focus, and how far it is. */
function Controls(
  { facts, training, busy, at, onTrain, onStop }:
    & Omit<Parameters<typeof TrainingPanel>[0], "facts">
    & { facts: Able },
): JSX.Element {
  const underWay = training !== null && training.end === null;
  const stopping = underWay && training.stopping;
  const steps = training?.moment?.arms.map(({ losses }) => losses.length) ?? [];
  const done = steps.length < 2 ? 0 : Math.min(...steps);
  return (
    <>
      <div class="bar">
        <button
          type="button"
          class={underWay ? undefined : "primary"}
          disabled={busy}
          aria-disabled={stopping}
          onClick={({ detail }) => {
            // The second click of a double click would undo the first.
            if (detail > 1 || stopping) return;
            (underWay ? onStop : onTrain)();
          }}
        >
          {stopping ? "Stopping …" : underWay ? "Stop training" : "Train both"}
        </button>
        {underWay && (
          <>
            <progress
              max={facts.steps}
              value={done}
              aria-label="Share of the training that is over"
            />
            <span class="left">
              step {done} of {facts.steps}, {timeLeft(training, at)}
            </span>
          </>
        )}
      </div>
      <p class="training-status" role="status">{training === null ? "" : statusOf(training)}</p>
    </>
  );
}

function timeLeft({ moment, momentAt }: Training, at: number): string {
  if (moment === null || moment.secondsLeft === null) return "no estimate yet";
  return `about ${spokenSeconds(moment.secondsLeft - (at - momentAt) / 1e3)} left`;
}

/** What a reader without eyes on the page should hear: it changes seldom. */
function statusOf({ moment, end }: Training): string {
  switch (end) {
    case null:
      return moment?.text ?? "Starting …";
    case "finished":
      return "Trained.";
    case "limit":
      return "Ended by the time limit, before all steps.";
    case "stopped":
      return "Stopped.";
    case "failed":
      return "It broke off; what was learnt so far is shown.";
  }
}

/** Where the two stand. */
function Standing({ moment }: { moment: TrainingMoment }): JSX.Element {
  return (
    <table class="standing">
      <caption>
        Loss: mean of the last {LAST_STEPS}{" "}
        steps, nats of a byte. Speed: forward and backward pass and update, without the first step.
      </caption>
      <thead>
        <tr>
          <th scope="col">Attention</th>
          <th scope="col" class="number">Steps</th>
          <th scope="col" class="number">Loss</th>
          <th scope="col" class="number">Speed</th>
        </tr>
      </thead>
      <tbody>
        {moment.arms.map(({ name, losses, tokensPerSecond }) => (
          <tr key={name}>
            <th scope="row">{titleOf(name)}</th>
            <td class="number">{losses.length}</td>
            <td class="number">{meanOfLast(losses, LAST_STEPS)?.toFixed(2) ?? "–"}</td>
            <td class="number">
              {tokensPerSecond === null ? "–" : formatTokenRate(tokensPerSecond)}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
