/// <reference lib="dom" />
/**
 * The program of the live page: one script that is the page in a window, the suite in a worker, and a
 * helper for float64 checks in that worker's workers. A page from a file may start a worker from its
 * own text and from nothing else.
 *
 * @module
 */
import "./plain_zod.ts";
import { answerRequest } from "../suites/check/answer_request.ts";
import type { WorkerRequest } from "../suites/check/worker_pool.ts";
import { browserParts } from "./browser_run.ts";
import { type PageHandle, startPage } from "./main.tsx";
import type { BuildInfo } from "./page_html.ts";
import type { Request } from "./protocol.ts";
import { serveRequests } from "./worker.ts";

/** What the script finds around itself. */
interface Scope {
  /** The page, for automation. */
  lighthouse?: PageHandle;
  /** What a page gives its worker. */
  lighthouseBuild?: BuildInfo;
  /** Text of this script, for a worker that starts workers of its own. */
  lighthouseProgram?: string;
  postMessage(message: unknown): void;
  onmessage: ((event: MessageEvent) => void) | null;
}

const scope = globalThis as unknown as Scope;

/** Name of a worker that only checks. */
const CHECKER = "checks";

if (typeof document !== "undefined") start();
else if ((globalThis as { name?: string }).name === CHECKER) {
  scope.onmessage = ({ data }: MessageEvent<WorkerRequest>) =>
    scope.postMessage(answerRequest(data));
} else serve();

function toUrl(...parts: string[]): string {
  return URL.createObjectURL(new Blob(parts, { type: "text/javascript" }));
}

function serve(): void {
  // Its own address of the text: one of the page's is of another origin, where the page is a file.
  let checker: string | undefined;
  const answer = serveRequests(browserParts(scope.lighthouseBuild!, {
    post: (message) => scope.postMessage(message),
    startWorker: () => new Worker(checker ??= toUrl(scope.lighthouseProgram!), { name: CHECKER }),
  }));
  scope.onmessage = ({ data }: MessageEvent<Request>) => void answer(data);
}

function start(): void {
  const text = (id: string) => document.getElementById(id)!.textContent!;
  const worker = toUrl(
    `globalThis.lighthouseBuild=${text("build")};\n`,
    `globalThis.lighthouseProgram=${JSON.stringify(text("program"))};\n`,
    text("program"),
  );
  const build: BuildInfo = JSON.parse(text("build"));
  scope.lighthouse = startPage(document.getElementById("page")!, {
    startWorker: () => new Worker(worker),
    search: location.search,
    published: build.baselines,
  });
}
