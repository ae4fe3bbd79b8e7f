/**
 * Checks options of layers against the descriptors of an implementation.
 *
 * @module
 */
import { isBeyondWhole } from "./gpu/require.ts";
import type { LayerOptions, OptionDescriptor } from "./implementation.ts";

/**
 * Checks the options of a layer: the implementation declares them all, none is missing, and every
 * value is a whole number within its limits.
 *
 * @param action the action, the first words of an error.
 * @throws {RangeError} one line that names the option, its value and the limit.
 *
 * @example
 * ```ts
 * import { requireOptions } from "./options.ts";
 * import assert from "node:assert/strict";
 * const window = { name: "window", letter: "w", flag: "window", least: 1, initial: 512, help: "" };
 * assert.throws(
 *   () => requireOptions([window], { window: 0 }, "plan window"),
 *   { message: "plan window: window 0 is not a whole number from 1" },
 * );
 * ```
 */
export function requireOptions(
  descriptors: readonly OptionDescriptor[],
  options: LayerOptions,
  action: string,
): void {
  const known = descriptors.map(({ name }) => name);
  for (const name of Object.keys(options)) {
    if (options[name] === undefined || known.includes(name)) continue;
    const list = known.length === 0 ? "there are none" : known.join(", ");
    throw new RangeError(`${action}: ${name} is not an option of this layer: ${list}`);
  }
  for (const { name, least, multipleOf = 1, powerOfTwo, optional } of descriptors) {
    const value = options[name];
    if (value === undefined) {
      if (optional) continue;
      throw new RangeError(`${action}: option ${name} is missing`);
    }
    if (!Number.isSafeInteger(value) || value < least) {
      const end = isBeyondWhole(value) ? ` to ${Number.MAX_SAFE_INTEGER}` : "";
      throw new RangeError(`${action}: ${name} ${value} is not a whole number from ${least}${end}`);
    }
    if (value % multipleOf !== 0) {
      throw new RangeError(`${action}: ${name} ${value} is not a multiple of ${multipleOf}`);
    }
    if (powerOfTwo && !Number.isInteger(Math.log2(value))) {
      throw new RangeError(`${action}: ${name} ${value} is not a power of two`);
    }
  }
}
