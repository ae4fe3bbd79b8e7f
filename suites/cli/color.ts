/**
 * How a stream shows text: whether in colours, and how wide.
 *
 * @module
 */

/**
 * By the usual rules: `NO_COLOR` forbids colours where it is not empty; `FORCE_COLOR` asks for them
 * where it is neither empty nor `0` nor `false`, which forbid them; otherwise a terminal gets them.
 * Where both speak, `NO_COLOR` counts.
 *
 * @param read the value of an environment variable; for tests.
 *
 * @example
 * ```ts
 * import { useColor } from "./color.ts";
 * import assert from "node:assert/strict";
 * const pipe = { isTerminal: () => false };
 * assert.ok(useColor(pipe, (name) => name === "FORCE_COLOR" ? "1" : undefined));
 * assert.ok(!useColor(pipe, () => undefined));
 * ```
 */
export function useColor(
  stream: { isTerminal(): boolean },
  read: (name: string) => string | undefined = readVariable,
): boolean {
  if (read("NO_COLOR")) return false;
  const force = read("FORCE_COLOR");
  if (force === undefined || force === "") return stream.isTerminal();
  return force !== "0" && force.toLowerCase() !== "false";
}

/** Columns of the terminal that a stream writes to; undefined where it is none, or was closed. */
export function terminalWidth(stream: { isTerminal(): boolean }): number | undefined {
  try {
    return stream.isTerminal() ? Deno.consoleSize().columns || undefined : undefined;
  } catch {
    return undefined;
  }
}

/** Undefined also without permission for it. */
function readVariable(name: string): string | undefined {
  try {
    return Deno.env.get(name);
  } catch {
    return undefined;
  }
}
