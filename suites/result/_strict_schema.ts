/**
 * The schema of result files without room for other fields, for tests of what writes results.
 *
 * @module
 */
import { z } from "zod";
import { resultSchema } from "./result_schema.ts";

const strict = z.fromJSONSchema(
  close(z.toJSONSchema(resultSchema)) as z.core.JSONSchema.JSONSchema,
);

/** A JSON Schema whose objects have the fields that it names and no others; maps stay maps. */
function close(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(close);
  if (typeof node !== "object" || node === null) return node;
  const closed = Object.fromEntries(
    Object.entries(node).map(([key, value]) => [key, close(value)]),
  );
  return "properties" in node && "additionalProperties" in node
    ? { ...closed, additionalProperties: false }
    : closed;
}

/** Fields of a result that its schema does not know, and what else it refuses: one line each. */
export function unknownFields(result: unknown): string[] {
  const { error } = strict.safeParse(JSON.parse(JSON.stringify(result)));
  const lines = (error?.issues ?? []).map((issue) =>
    `${issue.path.filter((part) => typeof part === "string").join(".")}: ${issue.message}`
  );
  return [...new Set(lines)];
}
