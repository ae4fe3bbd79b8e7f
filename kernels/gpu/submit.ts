/**
 * Submits work to a device. Every submission, and every other call that a device may refuse after
 * the call returns, is made between error scopes; results of refused work are never returned.
 *
 * A refusal is known shortly after the call. Callers that wait for the device anyway also await
 * {@linkcode Guarded.settled}, which has settled by then: a scope costs the host microseconds and
 * no further wait. A refusal that no caller can wait for (`unattended`: a write that is not part of
 * a submission) is recorded, and later submissions on the same device fail with it.
 *
 * @module
 */
import { startWait } from "./dawn_polling.ts";
import { type Gpu, requireDevice } from "./device.ts";

/** Out of device memory. */
export class MemoryError extends Error {
  /** Identifies this error by name. */
  override readonly name = "MemoryError";
}

/**
 * The device refused a piece of work, or failed during it: its results were not computed. The
 * message is one line with the device's own words.
 */
export class RefusedError extends Error {
  /** Identifies this error by name. */
  override readonly name = "RefusedError";
}

/** The value of a guarded call, and a promise of whether the device accepted it. */
export interface Guarded<T> {
  readonly value: T;
  /** Rejects with a {@linkcode RefusedError} or a {@linkcode MemoryError}; may be left alone. */
  readonly settled: Promise<void>;
}

/** The reason why results of a device can no longer be trusted, by device. */
const refusals = new WeakMap<GPUDevice, Promise<void>>();

const FILTERS = ["validation", "out-of-memory", "internal"] as const;

/**
 * Calls `work` between error scopes. It must make all its calls before it returns: scopes belong to
 * the device, and they must not catch calls made elsewhere in the meantime.
 *
 * @param action the action, for error messages.
 * @throws {DeviceLostError} when the device was lost or destroyed.
 */
export function guard<T>(gpu: Gpu, action: string, work: () => T): Guarded<T> {
  requireDevice(gpu, action);
  const { device } = gpu;
  for (const filter of FILTERS) device.pushErrorScope(filter);
  try {
    const value = work();
    return { value, settled: ignoreRejection(settle()) };
  } catch (error) {
    ignoreRejection(settle());
    throw error;
  }

  async function settle(): Promise<void> {
    const popped = FILTERS.map(() => device.popErrorScope());
    // Innermost scope first.
    const [internal, memory, validation] = await waitFor(gpu, Promise.all(popped), action);
    if (memory) throw new MemoryError(`${action}: ${textOf(memory)}`);
    const refusal = validation ?? internal;
    if (refusal) throw new RefusedError(`${action}: ${textOf(refusal)}`);
  }
}

/**
 * The same for work that no caller waits for: if it is refused, later submissions fail with its
 * reason.
 */
export function guardUnattended<T>(gpu: Gpu, action: string, work: () => T): T {
  const { value, settled } = guard(gpu, action, work);
  const before = refusals.get(gpu.device);
  refusals.set(gpu.device, ignoreRejection(before ? before.then(() => settled) : settled));
  return value;
}

/**
 * Submits the commands of an encoder.
 *
 * @returns a promise that settles when the device has accepted or refused it, which is before the
 * work is done. It rejects with a {@linkcode RefusedError} or a {@linkcode MemoryError}.
 * @throws {DeviceLostError} when the device was lost or destroyed.
 */
export function submit(gpu: Gpu, encoder: GPUCommandEncoder, action: string): Promise<void> {
  const { settled } = guard(
    gpu,
    action,
    () => gpu.device.queue.submit([encoder.finish()]),
  );
  const earlier = refusals.get(gpu.device);
  return earlier ? ignoreRejection(Promise.all([settled, earlier]).then(() => {})) : settled;
}

/**
 * Waits for a promise of the device.
 *
 * @throws {DeviceLostError} when the device was lost or destroyed before or during the wait.
 */
export async function waitFor<T>(gpu: Gpu, promise: Promise<T>, action: string): Promise<T> {
  let value: T;
  startWait();
  try {
    value = await promise;
  } catch (error) {
    // A loss has its own promise, which may settle later than this one.
    await new Promise((resolve) => setTimeout(resolve));
    requireDevice(gpu, action);
    throw new RefusedError(`${action}: ${textOf(error)}`, { cause: error });
  }
  requireDevice(gpu, action);
  return value;
}

/** A promise whose rejection is ignored unless a caller awaits it. */
function ignoreRejection<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

function textOf(error: unknown): string {
  const text = error instanceof Error ? error.message : (error as GPUError)?.message ?? `${error}`;
  return text.split("\n", 1)[0].trim() || "the device gave no reason";
}
