/**
 * The page as a function of its state.
 *
 * @module
 */
import type { JSX } from "preact";
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
  { state, actions, at, published }: {
    state: PageState;
    actions: Actions;
    at: number;
    published: readonly PublishedDevice[];
  },
): JSX.Element {
  const { device, running, training, shown, error } = state;
  return (
    <>
      {error !== null && <p class="notice failed" role="alert">{error}</p>}
      {device.state === "looking" && <p role="status">Looking for a WebGPU device …</p>}
      {device.state === "missing" && <NoDevice reason={device.reason} />}
      {device.state === "found" && (
        <DevicePanel
          found={device.found}
          name={state.deviceName}
          disabled={isBusy(state)}
          onName={actions.nameDevice}
        />
      )}
      {device.state === "found" && running === null && (
        <StartPanel state={state} actions={actions} software={device.found.adapter.software} />
      )}
      {running !== null && <RunPanel running={running} at={at} onStop={actions.stop} />}
      {state.kept !== null && running === null && <Kept state={state} actions={actions} />}
      {device.state === "found" && (running === null || training !== null) && (
        <TrainingPanel
          facts={device.found.training}
          training={training}
          busy={running !== null || state.otherTab}
          at={at}
          onTrain={actions.train}
          onStop={actions.stop}
        />
      )}
      {shown.length > 0 && <ResultPanel shown={shown} published={published} actions={actions} />}
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
                  {memoryBytes / 2 ** 30} GiB of device memory.
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

/** What a reload cut short. */
function Kept({ state, actions }: { state: PageState; actions: Actions }): JSX.Element {
  const { result } = state.kept!;
  return (
    <p class="notice" role="note">
      A run of this tab was cut short; {result.cases.length} of its cases are kept.{" "}
      <button type="button" onClick={actions.showKept}>Show them</button>{" "}
      <button type="button" onClick={actions.dropKept}>Discard</button>
    </p>
  );
}

/** The place for anybody's result files. */
function OpenFiles({ onFiles }: { onFiles: Actions["openFiles"] }): JSX.Element {
  return (
    <section class="open" aria-labelledby="open-title">
      <h2 id="open-title">Look at a result file</h2>
      <p>
        Drop one <code>result.json</code>{" "}
        anywhere on this page to view it, or up to four to compare them. Nothing leaves this
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
