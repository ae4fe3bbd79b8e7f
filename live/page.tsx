/**
 * The page as a function of its state.
 *
 * @module
 */
import type { JSX } from "preact";
import { formatBytes, formatPlural } from "../reports/text/format.ts";
import { DevicePanel, NoDevice } from "./device_panel.tsx";
import { type ModeName, modeOf, MODES, secondsOf } from "./modes.ts";
import type { PublishedDevice } from "./page_html.ts";
import { type ResultActions, ResultPanel } from "./result_panel.tsx";
import { RunPanel } from "./run_panel.tsx";
import { spokenSeconds } from "./spoken.ts";
import { isBusy, type PageState } from "./state.ts";
import { TrainingPanel } from "./training_panel.tsx";

/** What a person can do on the page. */
export interface Actions extends ResultActions {
  readonly chooseMode: (mode: ModeName) => void;
  readonly nameDevice: (name: string) => void;
  readonly start: () => void;
  readonly train: () => void;
  readonly stop: () => void;
  readonly openFiles: (files: readonly File[]) => void;
  readonly showKept: () => void;
  readonly dropKept: () => void;
}

/** Everything below the page's heading. `at` is `performance.now()`. */
export function LivePage(
  { state, actions, at, published, userAgent }: {
    state: PageState;
    actions: Actions;
    at: number;
    published: readonly PublishedDevice[];
    /** The browser's. */
    userAgent: string;
  },
): JSX.Element {
  const { device, running, training, shown, error } = state;
  // A result has the page to itself, until it is closed.
  const choosing = shown.length === 0 && running === null;
  return (
    <>
      {error !== null && <p class="notice failed" role="alert">{error}</p>}
      {state.kept !== null && choosing && <Kept state={state} actions={actions} />}
      {device.state === "looking" && <p role="status">Looking for a WebGPU device …</p>}
      {device.state === "missing" && choosing && (
        <NoDevice reason={device.reason} userAgent={userAgent} />
      )}
      {device.state === "found" && shown.length === 0 && (
        <DevicePanel
          found={device.found}
          name={state.deviceName}
          brief={running !== null}
          disabled={isBusy(state)}
          onName={actions.nameDevice}
        />
      )}
      {device.state === "found" && choosing && (
        <StartPanel state={state} actions={actions} software={device.found.adapter.software} />
      )}
      {running !== null && <RunPanel running={running} at={at} onStop={actions.stop} />}
      {device.state === "found" &&
        (choosing || training !== null && (shown.length === 0 || isBusy(state))) && (
        <TrainingPanel
          facts={device.found.training}
          training={training}
          busy={running !== null || state.otherTab}
          at={at}
          onTrain={actions.train}
          onStop={actions.stop}
        />
      )}
      {shown.length > 0 && (
        <ResultPanel shown={shown} copied={state.copied} published={published} actions={actions} />
      )}
      {running === null && <OpenFiles onFiles={actions.openFiles} />}
    </>
  );
}

function StartPanel(
  { state, actions, software }: { state: PageState; actions: Actions; software: boolean },
): JSX.Element {
  const chosen = modeOf(state.mode);
  const training = isBusy(state);
  return (
    <form
      class="start"
      onSubmit={(event) => {
        event.preventDefault();
        actions.start();
      }}
    >
      <fieldset disabled={training}>
        <legend>What to measure</legend>
        {MODES.map((mode) => {
          const { name, title, covers, memoryBytes } = mode;
          return (
            <label class="mode">
              <input
                type="radio"
                name="mode"
                value={name}
                checked={name === chosen.name}
                onChange={() => actions.chooseMode(name)}
              />
              <span>
                <strong>{title}</strong> {covers}{" "}
                <span class="facts">
                  About {spokenSeconds(secondsOf(mode, { software }))}, at most{" "}
                  {formatBytes(memoryBytes)} of device memory.
                </span>
              </span>
            </label>
          );
        })}
      </fieldset>
      {state.otherTab && (
        <p class="notice different" role="note">
          Another tab of this page is measuring. Two runs at once would disturb each other's times:
          wait for it, or close it.
        </p>
      )}
      <button type="submit" class="primary" disabled={state.otherTab || training}>Measure</button>
    </form>
  );
}

/** A result of this tab that is not shown. */
function Kept({ state, actions }: { state: PageState; actions: Actions }): JSX.Element {
  const { result } = state.kept!;
  const cases = formatPlural(result.cases.length, "case");
  return (
    <div class="notice" role="note">
      <p>
        {result.finishedAt === null
          ? `A run of this tab was cut short; ${cases} finished before that.`
          : `The last run of this tab is kept: ${cases}.`}
      </p>
      <p class="actions">
        <button type="button" onClick={actions.showKept}>Show it</button>
        <button type="button" onClick={actions.dropKept}>Discard it</button>
      </p>
    </div>
  );
}

/** The place for anybody's result files. */
function OpenFiles({ onFiles }: { onFiles: Actions["openFiles"] }): JSX.Element {
  return (
    <section class="open" aria-labelledby="open-title">
      <h2 id="open-title">Look at a result file</h2>
      <p>
        Drop a <code>result.json</code>{" "}
        anywhere on this page to view it, or up to four of them to compare. Nothing leaves this
        computer.
      </p>
      <label class="file">
        Choose files
        <input
          type="file"
          accept=".json,application/json"
          multiple
          onChange={({ currentTarget }) => {
            const files = [...currentTarget.files ?? []];
            currentTarget.value = "";
            if (files.length > 0) onFiles(files);
          }}
        />
      </label>
    </section>
  );
}
