/// <reference lib="dom" />
/**
 * Wires the page: its state, its worker, its files and what the browser says meanwhile.
 *
 * The bundle is one script, in the page and in the worker: a page from a file may not load a second
 * one, but it may start a worker from its own text.
 *
 * @module
 */
import { render } from "preact";
import { putOnClipboard } from "../reports/html/client/copy.ts";
import { save } from "../reports/html/client/save.ts";
import { plainText } from "../suites/result/plain_text.ts";
import { parseResult } from "../suites/result/read_result.ts";
import type { Result } from "../suites/result/result_schema.ts";
import { readAddress } from "./address.ts";
import { exportResult, resultJson } from "./exports.ts";
import { type Actions, LivePage } from "./page.tsx";
import type { PublishedDevice } from "./page_html.ts";
import { drawPicture } from "./picture.ts";
import type { Answer, Request } from "./protocol.ts";
import {
  firstState,
  type Happening,
  isBusy,
  nextState,
  type PageState,
  type ShownResult,
} from "./state.ts";
import { keepAwake, lockMeasuring, watchHidden } from "./tab.ts";

/** Files of more than this are no result of this suite. */
const MOST_FILE_BYTES = 64 * 2 ** 20;

/** Results that one comparison shows. */
const MOST_FILES = 4;

/** How long a button says that it copied. */
const CONFIRMED_MILLISECONDS = 1500;

/** Where the last run is kept, from its first case on, so that a reload does not lose it. */
const KEPT_KEY = "lighthouse-attention-bench/partial";

/** What automation sees of the page, as `globalThis.lighthouse`. */
export interface PageHandle {
  /** The state, as it is now. */
  readonly state: () => PageState;
  /** Sends the worker something. */
  readonly post: (request: Request) => void;
}

/** Starts the page in an element; `startWorker` gives it a fresh worker. */
export function startPage(
  root: HTMLElement,
  { startWorker, search, published }: {
    startWorker: () => Worker;
    search: string;
    published: readonly PublishedDevice[];
  },
): PageHandle {
  const asked = readAddress(search);
  let state = firstState(asked);
  let worker = listen(startWorker());
  let ends: (() => void)[] = [];
  let { autostart } = asked;

  function happen(event: Happening): void {
    const before = state;
    state = nextState(state, event);
    if (isBusy(before) && !isBusy(state)) end();
    const focused = document.activeElement;
    draw();
    // A button that is gone takes the keyboard's focus along.
    if (focused?.isConnected === false) {
      [...root.querySelectorAll<HTMLElement>("h2[tabindex]")].at(-1)?.focus();
    }
    if (event.type === "device" && autostart) {
      autostart = false;
      void start();
    }
    if (event.type === "finished") document.getElementById("result-title")?.focus();
    if (state.error !== null && state.error !== before.error) {
      // The line is at the top, and the person may be anywhere.
      document.querySelector("[role=alert]")?.scrollIntoView({ block: "nearest" });
    }
  }

  function listen(fresh: Worker): Worker {
    fresh.onmessage = ({ data }: MessageEvent<Answer>) => {
      if (data.type === "partial" || data.type === "finished") keep(data.result);
      if (data.type === "moment" || data.type === "training") {
        happen({ ...data, at: performance.now() });
      } else happen(data);
    };
    fresh.onerror = (event) => {
      event.preventDefault();
      happen({ type: "failed", line: `the worker stopped: ${event.message || "no reason given"}` });
      fresh.terminate();
      worker = listen(startWorker());
      post({ type: "find-device" });
    };
    return fresh;
  }

  function post(request: Request): void {
    worker.postMessage(request);
  }

  /** Begins a run, or the training of the tiny models. */
  async function start(what: "start" | "train" = "start"): Promise<void> {
    if (isBusy(state) || state.device.state !== "found") return;
    const release = await lockMeasuring();
    if (release === null) {
      happen({ type: "other-tab", busy: true });
      setTimeout(() => happen({ type: "other-tab", busy: false }), 5000);
      return;
    }
    happen({ type: what, at: performance.now() });
    const ticking = setInterval(() => happen({ type: "tick", at: performance.now() }), 500);
    ends = [
      release,
      keepAwake(),
      watchHidden((hidden, seconds) => {
        if (!hidden) happen({ type: "hidden", seconds });
        post({ type: "hidden", hidden });
      }),
      () => clearInterval(ticking),
    ];
    const { mode, deviceName, seed, budgetSeconds } = state;
    post(
      what === "train"
        ? { type: "train", seed }
        : { type: "run", run: { mode, deviceName, seed, budgetSeconds } },
    );
  }

  function end(): void {
    for (const stop of ends) stop();
    ends = [];
  }

  function keep(result: Result | null): void {
    try {
      if (result === null) sessionStorage.removeItem(KEPT_KEY);
      else sessionStorage.setItem(KEPT_KEY, resultJson(result));
    } catch {
      // Without storage, or without room in it, a reload loses the run.
    }
  }

  const actions: Actions = {
    chooseMode: (mode) => happen({ type: "mode", mode }),
    nameDevice: (deviceName) => happen({ type: "device-name", deviceName }),
    start: () => void start(),
    train: () => void start("train"),
    stop: () => {
      happen({ type: "stopping" });
      post({ type: "stop" });
    },
    openFiles: (files) => void open(files),
    showKept: () => {
      if (state.kept) happen({ type: "opened", results: [state.kept] });
      happen({ type: "kept", kept: null });
    },
    dropKept: () => {
      keep(null);
      happen({ type: "kept", kept: null });
    },
    save: (what, { result }) => void attempt("save the file", () => saveAs(what, result)),
    copy: ({ result }) =>
      void attempt("copy", async () => {
        await copy(resultJson(result));
        happen({ type: "copied", copied: true });
        setTimeout(() => happen({ type: "copied", copied: false }), CONFIRMED_MILLISECONDS);
      }),
    close: () => happen({ type: "closed" }),
  };

  async function attempt(action: string, act: () => Promise<void>): Promise<void> {
    try {
      await act();
      happen({ type: "error", line: null });
    } catch (error) {
      happen({ type: "error", line: `${action}: ${(error as Error).message}` });
    }
  }

  async function saveAs(what: Parameters<Actions["save"]>[0], result: Result): Promise<void> {
    if (what === "picture") {
      const { name, blob } = await drawPicture(result);
      return save(name, blob.type, blob);
    }
    const { name, type, content } = exportResult(what, result);
    save(name, type, content);
  }

  async function open(files: readonly File[]): Promise<void> {
    if (state.running !== null) {
      return happen({
        type: "error",
        line: "cannot open a result file during a run: stop it first",
      });
    }
    try {
      if (files.length > MOST_FILES) {
        throw new Error(
          `cannot compare ${files.length} result files: the limit is ${MOST_FILES}`,
        );
      }
      const results: ShownResult[] = [];
      for (const file of files) {
        if (file.size > MOST_FILE_BYTES) {
          throw new Error(
            `cannot use result file ${plainText(file.name)}: it has ${
              Math.ceil(file.size / 2 ** 20)
            } MiB, the limit is ${MOST_FILE_BYTES / 2 ** 20} MiB`,
          );
        }
        const result = parseResult(await file.text(), file.name);
        results.push({ name: plainText(file.name), result, own: false });
      }
      happen({ type: "opened", results });
      document.getElementById("result-title")?.focus();
    } catch (error) {
      happen({ type: "error", line: (error as Error).message });
    }
  }

  function draw(): void {
    document.documentElement.dataset.state = stateName(state);
    render(
      <LivePage
        state={state}
        actions={actions}
        at={performance.now()}
        published={published}
        userAgent={navigator.userAgent}
      />,
      root,
    );
  }

  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    const files = [...(event as DragEvent).dataTransfer?.files ?? []];
    if (files.length > 0) void open(files);
  });
  addEventListener("beforeunload", (event) => {
    if (isBusy(state) && !asked.autostart) event.preventDefault();
  });

  draw();
  restore();
  post({ type: "find-device" });
  return { state: () => state, post };

  /** Offers the run that was there before a reload. */
  function restore(): void {
    try {
      const text = sessionStorage.getItem(KEPT_KEY);
      if (text === null) return;
      const result = parseResult(text, "the kept run");
      if (result.cases.length === 0) return;
      const name = result.finishedAt === null ? "a run that was cut short" : "the last run";
      happen({ type: "kept", kept: { name, result, own: true } });
    } catch {
      keep(null);
    }
  }
}

/**
 * Puts a text on the clipboard.
 *
 * @throws {Error} where the browser does not allow it.
 */
async function copy(text: string): Promise<void> {
  if (await putOnClipboard(text)) return;
  throw new Error("the browser does not let this page use the clipboard");
}

/** What automation waits for: `looking`, `missing`, `ready`, `running`, `training` or `finished`. */
export function stateName({ device, running, training, shown }: PageState): string {
  if (running !== null) return "running";
  if (isBusy({ running, training })) return "training";
  if (shown.length > 0) return "finished";
  return device.state === "found" ? "ready" : device.state;
}
