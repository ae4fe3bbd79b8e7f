/**
 * Upgrades result files of earlier versions of the format to the current one when they are read.
 *
 * Version 2 replaced `lighthouse: { levels, pooling, k, scorer, dilation, kRule }` of a case by
 * `family`, `scorer`, `options` and `rules`, which fit every kind of implementation, and added the
 * descriptors of all implementations of a run, and the device separate from its stack.
 *
 * @module
 */

import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import { deviceRecord } from "./device_record.ts";
import { implementationRecords } from "./implementation_record.ts";
import { environmentSchema } from "./environment_schema.ts";
import type { ImplementationRecord } from "./result_schema.ts";

type Json = Record<string, unknown>;

/**
 * Upgrades a parsed file of any known version to the current one; others are returned unchanged.
 */
export function upgradeResult(file: unknown): unknown {
  if (!isObject(file)) return file;
  if (file.schemaVersion === 2) return complete(file);
  if (file.schemaVersion !== 1) return file;
  const cases = Array.isArray(file.cases) ? file.cases.map(upgradeCase) : file.cases;
  const implementations = Array.isArray(cases) ? describe(cases) : [];
  const environment = withDevice(file.environment);
  return { ...file, schemaVersion: 2, implementations, environment, cases };
}

/**
 * A file of version 2 with what some of them were written without: the device, and descriptors of
 * cases.
 */
function complete(file: Json): Json {
  const { environment, implementations, cases } = file;
  const withoutDevice = isObject(environment) && !("device" in environment);
  const named = new Set(
    Array.isArray(implementations) ? implementations.map((one) => isObject(one) && one.name) : [],
  );
  const lacking = Array.isArray(implementations) && Array.isArray(cases)
    ? describe(cases).filter(({ name }) => !named.has(name))
    : [];
  if (!withoutDevice && lacking.length === 0) return file;
  return {
    ...file,
    ...withoutDevice && { environment: withDevice(environment) },
    ...lacking.length > 0 && { implementations: [...implementations as Json[], ...lacking] },
  };
}

/** An environment with its device, as far as the adapter identifies it. */
function withDevice(environment: unknown): unknown {
  const parsed = environmentSchema.safeParse(
    isObject(environment) ? { ...environment, device: { name: "" } } : environment,
  );
  return parsed.success ? { ...parsed.data, device: deviceRecord(parsed.data) } : environment;
}

/**
 * Descriptors of the implementations of the cases: this version's, and those of peers from their
 * cases.
 */
function describe(cases: readonly unknown[]): ImplementationRecord[] {
  const found = new Map<string, ImplementationRecord>();
  for (const record of cases.filter(isObject)) {
    const { implementation: name, family, scorer, suite } = record;
    if (typeof name !== "string" || typeof family !== "string" || suite === "retrieval") continue;
    if (found.has(name)) continue;
    const known = IMPLEMENTATIONS.find((one) => one.name === name);
    const like = IMPLEMENTATIONS.find((one) =>
      one.family === family && (one.scorer === undefined || one.scorer.name === scorer)
    );
    const [own] = implementationRecords([
      known ?? {
        name,
        title: name.replace(/^peer:/, ""),
        family,
        ...(like?.scorer && { scorer: like.scorer }),
        options: like?.options ?? [],
        peer: true,
      },
    ]);
    found.set(name, own);
  }
  return [...found.values()];
}

function upgradeCase(record: unknown): unknown {
  if (!isObject(record)) return record;
  const { lighthouse, ...rest } = record;
  if (!isObject(lighthouse)) {
    const needle = rest.suite === "retrieval";
    return { ...rest, family: needle ? "needle" : "dense" };
  }
  const { scorer, kRule, ...options } = lighthouse;
  return {
    ...rest,
    family: "lighthouse",
    scorer,
    options,
    ...(typeof kRule === "string" && { rules: { k: kRule } }),
  };
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
