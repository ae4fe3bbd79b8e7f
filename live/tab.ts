/// <reference lib="dom" />
/**
 * What the tab around a run does: whether it is visible, awake, and the only one that measures.
 *
 * @module
 */

const LOCK = "lighthouse-attention-bench/measuring";

/**
 * The right to measure, which one tab of this origin has at a time.
 *
 * @returns how to give it back; null where another tab has it. Where the browser has no locks, every
 * tab may measure.
 */
export async function lockMeasuring(): Promise<(() => void) | null> {
  const locks = globalThis.navigator?.locks;
  if (!locks) return () => {};
  const granted = Promise.withResolvers<(() => void) | null>();
  locks.request(LOCK, { ifAvailable: true }, (lock) => {
    if (lock === null) {
      granted.resolve(null);
      return;
    }
    const held = Promise.withResolvers<void>();
    granted.resolve(held.resolve);
    return held.promise;
    // A page of an opaque origin, such as some files, has no locks.
  }).catch(() => granted.resolve(() => {}));
  return await granted.promise;
}

/** Asks the browser to leave the screen on; returns how to end that. */
export function keepAwake(): () => void {
  let sentinel: WakeLockSentinel | undefined;
  let ended = false;
  const ask = async () => {
    if (ended || document.visibilityState !== "visible" || sentinel?.released === false) return;
    try {
      sentinel = await navigator.wakeLock?.request("screen");
      if (ended) await sentinel?.release();
    } catch {
      // A battery saver or a policy says no: the run goes on.
    }
  };
  // The browser takes it back from a hidden tab.
  document.addEventListener("visibilitychange", ask);
  void ask();
  return () => {
    ended = true;
    document.removeEventListener("visibilitychange", ask);
    sentinel?.release().catch(() => {});
  };
}

/**
 * Tells when the tab is hidden and when it comes back, then with the seconds in between; returns how to
 * end that.
 */
export function watchHidden(tell: (hidden: boolean, seconds: number) => void): () => void {
  let hiddenAt: number | null = null;
  const change = () => {
    if (document.hidden === (hiddenAt !== null)) return;
    const seconds = hiddenAt === null ? 0 : (performance.now() - hiddenAt) / 1e3;
    hiddenAt = document.hidden ? performance.now() : null;
    tell(document.hidden, seconds);
  };
  change();
  document.addEventListener("visibilitychange", change);
  return () => document.removeEventListener("visibilitychange", change);
}
