/**
 * What Dawn's native library writes to stderr by itself, for example of an adapter that it refuses:
 * a warning with a stack of C++ sources. The package has no option against it, and no callback.
 *
 * @module
 */

/** `Warning: Vulkan shaderUniform*ArrayDynamicIndexing required.` */
const WARNING = /^Warning: (.+)$/;
/** The lines after it. */
const CONTEXT = /^( - While | {4}at )/;

/**
 * Turns each warning of Dawn into one line, or into none.
 *
 * @example
 * ```ts
 * import { DawnWarnings } from "./dawn_warnings.ts";
 * import assert from "node:assert/strict";
 * const lines = ["Warning: no.", " - While x", "    at y.cpp:1", "1/2 ok"];
 * assert.deepEqual(new DawnWarnings({ quiet: false }).keep(lines), ["dawn: no.", "1/2 ok"]);
 * assert.deepEqual(new DawnWarnings({ quiet: true }).keep(lines), ["1/2 ok"]);
 * ```
 */
export class DawnWarnings {
  readonly #quiet: boolean;
  #inside = false;

  /** `quiet`: nothing of a warning is kept. */
  constructor({ quiet }: { quiet: boolean }) {
    this.#quiet = quiet;
  }

  /** The lines to show, of the next ones that a command wrote. */
  keep(lines: readonly string[]): string[] {
    return lines.flatMap((line) => {
      const warning = WARNING.exec(line)?.[1];
      if (warning !== undefined) {
        this.#inside = true;
        return this.#quiet ? [] : [`dawn: ${warning}`];
      }
      if (this.#inside && CONTEXT.test(line)) return [];
      this.#inside = false;
      return [line];
    });
  }
}
