/**
 * Objects that one object made, and frees when it is destroyed or could not be made whole.
 *
 * @module
 */

/** Anything that holds device memory. */
interface Destroyable {
  readonly destroy: () => void;
}

/** What {@linkcode collectOwned} returns. */
export interface Owned {
  /** Takes an object over, and returns it. */
  readonly own: <T extends Destroyable>(thing: T) => T;
  /**
   * Takes over what promises give, once all have settled.
   *
   * @throws the first error among them, in their order; what the others gave is taken over.
   */
  readonly ownAll: <T extends readonly Destroyable[]>(
    ...making: { readonly [Index in keyof T]: Promise<T[Index]> }
  ) => Promise<T>;
  /** Frees all objects that were taken over since the last call, the newest first. */
  readonly destroy: () => void;
}

/**
 * An empty collection.
 *
 * @example
 * ```ts
 * import { collectOwned } from "./owned.ts";
 * import assert from "node:assert/strict";
 * const freed: string[] = [];
 * const { own, destroy } = collectOwned();
 * for (const name of ["a", "b"]) own({ destroy: () => freed.push(name) });
 * destroy();
 * destroy();
 * assert.deepEqual(freed, ["b", "a"]);
 * ```
 */
export function collectOwned(): Owned {
  const things: Destroyable[] = [];
  return {
    own: (thing) => {
      things.push(thing);
      return thing;
    },
    ownAll: async (...making) => {
      const settled = await Promise.allSettled(making);
      for (const one of settled) {
        if (one.status === "fulfilled") things.push(one.value as Destroyable);
      }
      const failed = settled.find((one) => one.status === "rejected");
      if (failed) throw failed.reason;
      return settled.map((one) => (one as PromiseFulfilledResult<unknown>).value) as never;
    },
    destroy: () => things.splice(0).reverse().forEach((thing) => thing.destroy()),
  };
}
