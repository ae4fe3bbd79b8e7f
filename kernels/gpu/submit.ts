/**
 * The way to the device: every submission, and everything else that a device may refuse later than
 * the call, stands between error scopes. Nothing that a refused piece of work left is handed out.
 *
 * A refusal is known a moment after the call. Who waits for the device anyway waits for
 * {@linkcode Guarded.settled} too, which is then known already: a scope costs the host microseconds
 * and no further wait. What nobody can wait for (`unattended`: a write that is not part of any
 * submission) is remembered, and later submissions on the same device fail with it.
 *
 * @module
 */
import { type Gpu, requireDevice } from "./device.ts";

/** Out of device memory. */
export class MemoryError extends Error {
  /** Tells this error by name. */
  override readonly name = "MemoryError";
}

/**
 * The device refused a piece of work, or failed at it: what that was to compute was not computed. The
 * message is one line with the device's own words.
 */
export class RefusedError extends Error {
  /** Tells this error by name. */
  override readonly name = "RefusedError";
}

/** What a guarded call gave, and when it is known whether the device took it. */
export interface Guarded<T> {
  readonly value: T;
  /** Rejects with a {@linkcode RefusedError} or a {@linkcode MemoryError}; may be left alone. */
  readonly settled: Promise<void>;
}

/** The reason why nothing computed on a device can be trusted any more, by device. */
const spoilt = new WeakMap<GPUDevice, Promise<void>>();

const FILTERS = ["validation", "out-of-memory", "internal"] as const;

/**
 * Makes calls of the device between error scopes. They must all be made before `work` returns:
 * scopes are the device's, and what happens meanwhile elsewhere must not fall into these.
 *
 * @param action what is done, as errors name it.
 * @throws {DeviceLostError} when the device was lost or destroyed.
 */
export function guard<T>(gpu: Gpu, action: string, work: () => T): Guarded<T> {
  requireDevice(gpu, action);
  const { device } = gpu;
  for (const filter of FILTERS) device.pushErrorScope(filter);
  try {
    const value = work();
    return { value, settled: attended(settle()) };
  } catch (error) {
    attended(settle());
    throw error;
  }

  async function settle(): Promise<void> {
    const popped = FILTERS.map(() => device.popErrorScope());
    // The innermost first.
    const [internal, memory, validation] = await waitFor(gpu, Promise.all(popped), action);
    if (memory) throw new MemoryError(`${action}: ${textOf(memory)}`);
    const refusal = validation ?? internal;
    if (refusal) throw new RefusedError(`${action}: ${textOf(refusal)}`);
  }
}

/** The same, of work that nobody waits for: refused, it spoils what the device computes later. */
export function guardUnattended<T>(gpu: Gpu, action: string, work: () => T): T {
  const { value, settled } = guard(gpu, action, work);
  const before = spoilt.get(gpu.device);
  spoilt.set(gpu.device, attended(before ? before.then(() => settled) : settled));
  return value;
}

/**
 * Submits what an encoder recorded.
 *
 * @returns a promise that is settled when the device has taken or refused it, which is before the work
 * is done. It rejects with a {@linkcode RefusedError} or a {@linkcode MemoryError}.
 * @throws {DeviceLostError} when the device was lost or destroyed.
 */
export function submit(gpu: Gpu, encoder: GPUCommandEncoder, action: string): Promise<void> {
  const { settled } = guard(
    gpu,
    action,
    () => gpu.device.queue.submit([encoder.finish()]),
  );
  const earlier = spoilt.get(gpu.device);
  return earlier ? attended(Promise.all([settled, earlier]).then(() => {})) : settled;
}

/**
 * Waits for a promise of the device.
 *
 * @throws {DeviceLostError} when the device was lost or destroyed before or meanwhile.
 */
export async function waitFor<T>(gpu: Gpu, promise: Promise<T>, action: string): Promise<T> {
  let value: T;
  try {
    value = await promise;
  } catch (error) {
    // A loss is told by promises of its own, maybe after this one.
    await new Promise((resolve) => setTimeout(resolve));
    requireDevice(gpu, action);
    throw new RefusedError(`${action}: ${textOf(error)}`, { cause: error });
  }
  requireDevice(gpu, action);
  return value;
}

/** A promise that may be left alone: whoever waits for it is told, and nobody else. */
function attended<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

function textOf(error: unknown): string {
  const text = error instanceof Error ? error.message : (error as GPUError)?.message ?? `${error}`;
  return text.split("\n", 1)[0].trim() || "the device does not say why";
}
