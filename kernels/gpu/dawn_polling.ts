/**
 * Paces the polling of Dawn's add-on.
 *
 * While one of its promises is pending, the add-on asks the device at each turn of the event loop
 * whether the work is done, through `setImmediate` and with a new function each time: 10,000 to
 * 100,000 a second. Deno frees such functions in time that grows with the square of their number.
 * After half a second of waiting, the next garbage collection stopped the program: for 2 to 20 s on
 * a host with an H200, in the middle of what was being timed.
 *
 * So the pause between two questions grows with the wait, and functions are freed between
 * executions, before there are many.
 *
 * @module
 */

/** Milliseconds of a wait without pauses. */
const EAGER_MILLISECONDS = 0.2;

/** Later, the share of the wait so far that a pause takes: a wait is overrun by less. */
const PAUSE_SHARE = 1 / 32;

/** Longest pause, milliseconds. */
const LONGEST_PAUSE = 10;

/**
 * From this on, milliseconds, a pause leaves the event loop free: its timers count in milliseconds.
 */
const LEAST_TIMER = 1;

/** Questions after which functions are worth freeing: 40 ms of work, most of it quadratic. */
const MANY_POLLS = 4000;

/** `setImmediate`, whose result the add-on does not use. */
type Immediate = (callback: () => void, ...rest: unknown[]) => unknown;

/** Where `setImmediate` is, and what is needed to pace it; replaced by tests. */
export interface PollingHost {
  /** Holds `setImmediate`, which is replaced. */
  readonly scope: { setImmediate?: Immediate };
  /** Milliseconds. */
  readonly now: () => number;
  /** Stops this thread, milliseconds. */
  readonly stop: (milliseconds: number) => void;
  /** Calls back later, milliseconds. */
  readonly later: (callback: () => void, milliseconds: number) => unknown;
}

/**
 * What {@linkcode PollingHost.stop} waits on. A browser, which never waits so, may have no such
 * memory.
 */
let cell: Int32Array<SharedArrayBuffer> | undefined;

const HOST: PollingHost = {
  scope: globalThis as PollingHost["scope"],
  now: () => performance.now(),
  stop: (milliseconds) =>
    void Atomics.wait(cell ??= new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds),
  later: (callback, milliseconds) => setTimeout(callback, milliseconds),
};

let installed = false;
let waitingSince = 0;
let polls = 0;

/** Native functions come from the add-on; those of programs have text of their own. */
function isNative(callback: () => void): boolean {
  return /\{\s*\[native code\]\s*\}$/.test(Function.prototype.toString.call(callback));
}

/** Milliseconds until a device is asked again, after a wait of so many. */
export function pollPause(waited: number): number {
  return waited < EAGER_MILLISECONDS ? 0 : Math.min(waited * PAUSE_SHARE, LONGEST_PAUSE);
}

/** Paces the `setImmediate` of this process for native callers; once. */
export function paceDawnPolling(): void {
  if (installed) return;
  installed = true;
  find = findCollector;
  paceImmediates(HOST);
}

/** {@linkcode paceDawnPolling} on a given host. */
export function paceImmediates({ scope, now, stop, later }: PollingHost): void {
  const immediate = scope.setImmediate;
  if (!immediate) return;
  waitingSince = now();
  scope.setImmediate = (callback, ...rest) => {
    if (!isNative(callback)) return immediate(callback, ...rest);
    polls++;
    const pause = pollPause(now() - waitingSince);
    if (pause >= LEAST_TIMER) return later(callback, pause);
    if (pause > 0) stop(pause);
    return immediate(callback, ...rest);
  };
}

/** Says that a wait begins: the device is asked eagerly again. */
export function startWait(): void {
  if (installed) waitingSince = HOST.now();
}

let collect: (() => void) | null | undefined;

/** Set where it is needed, so that bundles for browsers leave out what names modules of Node.js. */
let find: typeof findCollector | undefined;

/** V8's `gc`, where this process can reach it. */
function findCollector(): (() => void) | null {
  try {
    const { process } = globalThis as unknown as {
      process: { getBuiltinModule: (name: string) => unknown };
    };
    const v8 = process.getBuiltinModule("node:v8") as { setFlagsFromString(flag: string): void };
    const vm = process.getBuiltinModule("node:vm") as { runInNewContext(code: string): unknown };
    v8.setFlagsFromString("--expose-gc");
    const found = vm.runInNewContext("gc");
    return typeof found === "function" ? found as () => void : null;
  } catch {
    return null;
  }
}

/** Frees the functions of past questions, if there are many. Call it while nothing is timed. */
export function freePolls(): void {
  if (polls < MANY_POLLS) return;
  polls = 0;
  collect ??= find?.();
  collect?.();
}
