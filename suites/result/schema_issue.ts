/**
 * Why a schema refuses a document, in one line.
 *
 * @module
 */

/** What is read of an issue of zod. */
interface Issue {
  readonly path: readonly PropertyKey[];
  readonly message: string;
  readonly code?: string;
  readonly format?: string;
}

/** Letters of a value that a line shows. */
const MOST_LETTERS = 40;

/**
 * The first issue, as place and reason, and how many more there are.
 *
 * @param value the document.
 * @example
 * ```ts
 * import { issueLine } from "./schema_issue.ts";
 * import assert from "node:assert/strict";
 * import { z } from "zod";
 * const schema = z.object({ arms: z.array(z.object({ kind: z.literal("dense") })) });
 * const value = { arms: [{ kind: "sparse" }] };
 * assert.equal(
 *   issueLine(schema.safeParse(value).error!.issues, value),
 *   'arms[0].kind: expected "dense", found "sparse"',
 * );
 * ```
 */
export function issueLine(issues: readonly Issue[], value: unknown): string {
  const [{ path, message, code, format }] = issues;
  const reason = code === "invalid_format" && format === "datetime"
    ? `${shownAt(value, path)} is not a time like 2026-11-30T17:00:00.000Z`
    : message.replace(/\s+/g, " ").replace(/^Invalid (?:input|option): /, "");
  const found = code === "invalid_value" ? `, found ${shownAt(value, path)}` : "";
  const more = issues.length > 1 ? ` (and ${issues.length - 1} more)` : "";
  return `${formatPath(path)}: ${reason}${found}${more}`;
}

/** The start of the value at a path; `nothing` where there is none. */
function shownAt(value: unknown, path: readonly PropertyKey[]): string {
  let found = value;
  for (const key of path) found = (found as Record<PropertyKey, unknown> | undefined)?.[key];
  return found === undefined ? "nothing" : JSON.stringify(found).slice(0, MOST_LETTERS);
}

function formatPath(path: readonly PropertyKey[]): string {
  const text = path.map((part, i) =>
    typeof part === "number" ? `[${part}]` : `${i === 0 ? "" : "."}${String(part)}`
  ).join("");
  return text === "" ? "the whole file" : text.slice(0, 200);
}
