/**
 * Runs pure functions on slices of work, in worker threads where they can be had, else in this
 * thread. The results are the same either way, bit for bit: a slice never shares a sum with
 * another.
 *
 * There is one pool for the process. It starts a worker when a slice finds none idle and stops all
 * of them when the last holder lets go.
 *
 * @module
 */
import { freeSharedArrays } from "./shared_arrays.ts";
import { runTask, type TaskInput, type TaskName, type TaskOutput } from "./tasks.ts";

/** A worker takes about 15 MB, and few checks have more long rows than this. */
const MOST_WORKERS = 32;

/** What a worker is asked. */
export interface WorkerRequest {
  readonly task: TaskName;
  readonly input: unknown;
}

/** What a worker answers: what the function returned, or what it threw. */
export type WorkerAnswer = { readonly output: unknown } | { readonly error: unknown };

interface Job extends WorkerRequest {
  readonly signal?: AbortSignal;
  readonly resolve: (output: unknown) => void;
  readonly reject: (error: unknown) => void;
}

let holders = 0;
let pool: Pool | undefined;

/** Options of {@linkcode holdWorkers}. */
export interface HoldOptions {
  /**
   * How many threads at most; 0 for none. Default: one less than the processor has cores, for the
   * thread that feeds the device, but two where it has two.
   */
  readonly workers?: number;
  /**
   * Starts a thread that serves checks. Default: from this project's file, where it may be read.
   */
  readonly start?: () => Worker;
}

/**
 * Keeps the workers of the process between checks, until the returned object is disposed of.
 * Holders may nest; the first one decides.
 *
 * @example
 * ```ts
 * import { holdWorkers } from "./worker_pool.ts";
 * {
 *   using _workers = holdWorkers();
 *   // Checks in here share their workers.
 * }
 * ```
 */
export function holdWorkers({ workers, start }: HoldOptions = {}): Disposable {
  if (holders++ === 0) {
    pool = new Pool(workers ?? defaultWorkers(start !== undefined), start ?? startFromFile);
  }
  let held = true;
  return {
    [Symbol.dispose]() {
      if (!held) return;
      held = false;
      if (--holders > 0) return;
      pool?.stop();
      pool = undefined;
      freeSharedArrays();
    },
  };
}

/** Into how many slices work is worth cutting: 1 where everything runs in this thread. */
export function sliceCount(): number {
  return Math.max(1, pool?.size ?? defaultWorkers());
}

/**
 * Runs a function on each of some slices.
 *
 * @param options `here`: in this thread, for little work.
 * @returns what it returned, in the order of the slices.
 * @throws what the function threw first, or the signal's reason.
 */
export async function onCores<T extends TaskName>(
  task: T,
  slices: readonly TaskInput<T>[],
  options: { signal?: AbortSignal; here?: boolean } = {},
): Promise<TaskOutput<T>[]> {
  const { signal, here } = options;
  signal?.throwIfAborted();
  if (here) return slices.map((input) => runTask(task, input) as TaskOutput<T>);
  using _held = holdWorkers();
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal!.reason);
  signal?.addEventListener("abort", abort, { once: true });
  try {
    const results = slices.map((input) => pool!.run({ task, input, signal }));
    return await Promise.race([Promise.all(results), aborted.promise]) as TaskOutput<T>[];
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

/** Deals items out into at most {@linkcode sliceCount} slices of nearly the same cost. */
export function deal<I>(items: readonly I[], costOf: (item: I) => number): I[][] {
  const most = sliceCount();
  const slices: { items: I[]; cost: number }[] = [];
  const priced = items.map((item) => ({ item, cost: costOf(item) }));
  for (const { item, cost } of priced.sort((a, b) => b.cost - a.cost)) {
    const least = slices.length < most
      ? undefined
      : slices.reduce((a, b) => b.cost < a.cost ? b : a);
    if (least) {
      least.items.push(item);
      least.cost += cost;
    } else slices.push({ items: [item], cost });
  }
  return slices.map(({ items }) => items);
}

class Pool {
  readonly #workers = new Map<Worker, Job | undefined>();
  readonly #queue: Job[] = [];
  #size: number;

  readonly #startWorker: () => Worker;

  constructor(size: number, start: () => Worker) {
    this.#startWorker = start;
    // A single worker computes no faster than this thread.
    this.#size = size < 2 ? 0 : Math.min(size, MOST_WORKERS);
  }

  get size(): number {
    return this.#size;
  }

  run(request: WorkerRequest & { signal?: AbortSignal }): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ ...request, resolve, reject });
      this.#next();
    });
  }

  stop(): void {
    for (const worker of this.#workers.keys()) worker.terminate();
    this.#workers.clear();
    this.#queue.length = 0;
  }

  #next(): void {
    while (this.#queue.length > 0) {
      const worker = this.#size > 0 ? this.#idle() : undefined;
      if (this.#size > 0 && !worker) return;
      const job = this.#queue.shift()!;
      // Nobody waits for it any more.
      if (job.signal?.aborted) job.reject(job.signal.reason);
      else if (worker) this.#send(worker, job);
      else runHere(job);
    }
  }

  #idle(): Worker | undefined {
    for (const [worker, job] of this.#workers) if (!job) return worker;
    return this.#workers.size < this.#size ? this.#start() : undefined;
  }

  /** Undefined where none can be had: what there is to do is done in this thread from then on. */
  #start(): Worker | undefined {
    let worker: Worker;
    try {
      worker = this.#startWorker();
    } catch {
      this.#giveUp();
      return undefined;
    }
    this.#workers.set(worker, undefined);
    worker.onmessage = ({ data }: MessageEvent<WorkerAnswer>) => {
      const job = this.#workers.get(worker);
      this.#workers.set(worker, undefined);
      if ("error" in data) job?.reject(data.error);
      else job?.resolve(data.output);
      this.#next();
    };
    worker.onerror = (event) => {
      event.preventDefault();
      this.#giveUp();
    };
    return worker;
  }

  #send(worker: Worker, job: Job): void {
    this.#workers.set(worker, job);
    worker.postMessage({ task: job.task, input: job.input } satisfies WorkerRequest);
  }

  /** Workers cannot be loaded, or died: functions are pure, so what they had is computed here. */
  #giveUp(): void {
    const lost = [...this.#workers.values()].filter((job) => job !== undefined);
    for (const worker of this.#workers.keys()) worker.terminate();
    this.#workers.clear();
    this.#size = 0;
    this.#queue.unshift(...lost);
    this.#next();
  }
}

function runHere(job: Job): void {
  try {
    job.resolve(runTask(job.task, job.input));
  } catch (error) {
    job.reject(error);
  }
}

/** Not a constant: a bundle in one script has no address. */
function workerUrl(): URL {
  return new URL("./worker.ts", import.meta.url);
}

function startFromFile(): Worker {
  return new Worker(workerUrl(), { type: "module" });
}

function defaultWorkers(given = false): number {
  const cores = navigator.hardwareConcurrency;
  if (cores < 2 || !given && !workersAllowed()) return 0;
  return Math.max(2, cores - 1);
}

/**
 * Whether this program may load the worker's module without a question to its user. A bundle for
 * the browser has no such module.
 */
function workersAllowed(): boolean {
  if (typeof Deno === "undefined") return false;
  const url = workerUrl();
  const permission: Deno.PermissionDescriptor = url.protocol === "file:"
    ? { name: "read", path: url }
    : { name: "import", host: url.host };
  return Deno.permissions.querySync(permission).state === "granted";
}
