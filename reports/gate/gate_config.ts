/**
 * The gate's configuration: thresholds for all cases and for some of them, in one small JSON file.
 *
 * @module
 */
import { whyAmbiguous } from "../../suites/result/repeated_key.ts";
import { issueLine } from "../../suites/result/schema_issue.ts";
import { z } from "zod";
import { errorLine } from "../../suites/errors.ts";
import { readInput } from "../../suites/result/read_input.ts";
import { plainText } from "../../suites/result/plain_text.ts";
import { EXACT_PARTS } from "./gate_report.ts";

/** A bad input of the gate: one line, exit code 2. */
export class GateInputError extends Error {
  override readonly name = "GateInputError";
  readonly exitCode = 2;
}

/** Largest configuration file that is read. */
export const CONFIG_LIMIT_BYTES = 2 ** 20;

const fraction = z.number().min(0).max(10);

const thresholds = {
  minimum: fraction.optional().describe(
    "Slowdowns below this are ignored, for example 0.02 for 2 %.",
  ),
  tolerance: fraction.optional().describe(
    "The smallest slowdown that must be found: if noise could hide it, the case is " +
      "inconclusive.",
  ),
  noise: fraction.optional().describe(
    "Relative noise between runs, instead of the estimate from the data.",
  ),
};

/** A configuration file. */
export const gateConfigSchema = z.strictObject({
  $schema: z.string().optional().describe("Address of this schema, for editors."),
  confidence: z.number().min(0.5).max(0.9999).optional().describe("Confidence of the intervals."),
  ...thresholds,
  cases: z.array(z.strictObject({
    match: z.string().min(1).max(500).describe("Ids of cases; `*` stands for any text."),
    ...thresholds,
    times: z.enum(["gate", "ignore"]).optional().describe(
      "`ignore`: the verdict on the time is shown and fails nothing.",
    ),
    accept: z.array(z.enum(EXACT_PARTS)).optional().describe(
      "Parts whose change is intended: shown, but fails nothing.",
    ),
    mayVanish: z.boolean().optional().describe("The case may vanish."),
  })).max(1000).default([]).describe("Settings of cases whose id matches. Later entries win."),
});

/** A configuration as read. */
export type GateConfig = z.infer<typeof gateConfigSchema>;

/** Settings that apply to one case. */
export interface CaseSettings {
  readonly minimum: number;
  readonly tolerance: number;
  readonly noise?: number;
  readonly times: "gate" | "ignore";
  readonly accept: readonly string[];
  readonly mayVanish: boolean;
}

/** Settings without a configuration. */
export const DEFAULTS = { confidence: 0.99, minimum: 0.02, tolerance: 0.1 } as const;

/**
 * Settings of one case.
 *
 * @example
 * ```ts
 * import { parseGateConfig, settingsOf } from "./gate_config.ts";
 * import assert from "node:assert/strict";
 * const config = parseGateConfig('{"cases": [{"match": "latency/dense/*", "tolerance": 0.3}]}', "x");
 * assert.equal(settingsOf("latency/dense/forward/N64-H1-d8-f32", config).tolerance, 0.3);
 * assert.equal(settingsOf("latency/lighthouse-norm/forward/N64", config).tolerance, 0.1);
 * ```
 */
export function settingsOf(id: string, config: GateConfig): CaseSettings {
  let settings: CaseSettings = {
    minimum: config.minimum ?? DEFAULTS.minimum,
    tolerance: config.tolerance ?? DEFAULTS.tolerance,
    ...(config.noise !== undefined && { noise: config.noise }),
    // A peer's time does not depend on this project: it is shown.
    times: id.split("/")[1]?.startsWith("peer:") ? "ignore" : "gate",
    accept: [],
    mayVanish: false,
  };
  for (const { match, ...own } of config.cases) {
    if (!matchesPattern(id, match)) continue;
    const given = Object.entries(own).filter(([, value]) => value !== undefined);
    settings = { ...settings, ...Object.fromEntries(given) };
  }
  return settings;
}

/** Whether a text matches a pattern in which `*` stands for any text. Linear in the lengths' product. */
export function matchesPattern(text: string, pattern: string): boolean {
  // Greedy matching with a single backtracking point: no pattern can make it exponential.
  let [at, star, resume, i] = [0, -1, 0, 0];
  while (i < text.length) {
    if (pattern[at] === "*") [star, resume] = [at++, i];
    else if (pattern[at] === text[i]) [at, i] = [at + 1, i + 1];
    else if (star >= 0) [at, i] = [star + 1, ++resume];
    else return false;
  }
  while (pattern[at] === "*") at++;
  return at === pattern.length;
}

/**
 * The configuration in a JSON text; `path` names the file in errors.
 *
 * @throws {GateInputError} one line.
 */
export function parseGateConfig(text: string, path: string): GateConfig {
  const refuse = (reason: string) =>
    new GateInputError(`cannot use gate configuration ${plainText(path)}: ${plainText(reason)}`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw refuse(`not JSON (${(error as Error).message})`);
  }
  const ambiguous = whyAmbiguous(text);
  if (ambiguous) throw refuse(ambiguous);
  const parsed = gateConfigSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw refuse(issueLine(parsed.error.issues, value).slice(0, 300));
}

/**
 * Reads a configuration file.
 *
 * @throws {GateInputError} when it is missing, too large, or does not match the schema.
 */
export async function readGateConfig(path: string): Promise<GateConfig> {
  let text: string;
  try {
    text = await readInput(path, { limitBytes: CONFIG_LIMIT_BYTES });
  } catch (error) {
    throw new GateInputError(
      `cannot use gate configuration ${plainText(path)}: ${plainText(errorLine(error))}`,
    );
  }
  return parseGateConfig(text, path);
}
