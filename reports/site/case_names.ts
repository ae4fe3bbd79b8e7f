/**
 * Readable names of cases, for pages that would otherwise print their ids.
 *
 * @module
 */
import type { CaseRecord } from "../../suites/result/result_schema.ts";
import { type Described, describedBy, type SeriesStyle, styleOf } from "../charts/palette.ts";
import { DIRECTION_NAMES } from "../data/analysis.ts";
import { formatContext, formatCount } from "../text/format.ts";
import type { Site } from "./runs.ts";

/** The fields that a name is made from. */
export type NamedCase = Pick<
  CaseRecord,
  | "id"
  | "suite"
  | "implementation"
  | "direction"
  | "shape"
  | "options"
  | "contextParallel"
  | "training"
>;

/**
 * An implementation in words: `Dense`, `Lighthouse norm`, `torch-fa2`.
 *
 * @example
 * ```ts
 * import { implementationName } from "./case_names.ts";
 * import assert from "node:assert/strict";
 * assert.equal(implementationName("lighthouse-norm"), "Lighthouse norm");
 * assert.equal(implementationName("peer:torch-fa2"), "torch-fa2");
 * ```
 */
export function implementationName(implementation: string): string {
  if (implementation.startsWith("peer:")) return implementation.slice("peer:".length);
  const name = implementation.replace(/^lighthouse-/, "Lighthouse ");
  return name.charAt(0).toUpperCase() + name.slice(1);
}

/** The main part of a case's name: `Lighthouse norm, 64K, forward`. */
export function caseTitle({ suite, implementation, direction, shape }: NamedCase): string {
  const parts = [
    implementationName(implementation),
    formatContext(shape.context),
    DIRECTION_NAMES[direction] ?? direction,
  ];
  return suite === "latency" ? parts.join(", ") : `${parts.join(", ")} · ${suite}`;
}

/** The rest of it: `H = 8, d = 128, f16, L = 3, p = 4, k = 1,024`. */
export function caseSetting(
  { shape, options = {}, contextParallel, training }: NamedCase,
): string {
  const { heads, headDim, dtype } = shape;
  const letters: Record<string, string> = { levels: "L", pooling: "p", dilation: "δ" };
  return [
    `H = ${formatCount(heads)}`,
    `d = ${formatCount(headDim)}`,
    dtype,
    ...Object.entries(options).map(([name, value]) =>
      `${letters[name] ?? name} = ${formatCount(value)}`
    ),
    ...(contextParallel === undefined
      ? []
      : [`W = ${formatCount(contextParallel.shards)}, ${contextParallel.partition}`]),
    ...(training === undefined ? [] : [
      `${formatCount(training.layers)} layers of width ${formatCount(training.width)}`,
      `V = ${formatCount(training.vocabulary)}`,
      `recompute ${training.recompute}`,
    ]),
  ].join(", ");
}

/** Cases of a site by id, each as recorded by any of its runs. */
export class CaseNames {
  readonly #records = new Map<string, CaseRecord>();
  readonly #titles = new Map<string, string>();
  readonly #described: Described;

  constructor(site: Pick<Site, "runs">) {
    this.#described = describedBy(site.runs.map(({ result }) => result));
    for (const { result } of site.runs) {
      for (const record of result.cases) {
        if (!this.#records.has(record.id)) this.#records.set(record.id, record);
      }
    }
    for (const alike of Map.groupBy(this.#records.values(), caseTitle).values()) {
      const owners = new Map<string, number>();
      const settings = alike.map((record) => [...new Set(caseSetting(record).split(", "))]);
      for (const part of settings.flat()) owners.set(part, (owners.get(part) ?? 0) + 1);
      alike.forEach((record, i) => {
        const own = settings[i].filter((part) => owners.get(part)! < alike.length);
        this.#titles.set(record.id, [caseTitle(record), ...own].join(", "));
      });
    }
  }

  /** The record; undefined for an id that no run has. */
  record(id: string): CaseRecord | undefined {
    return this.#records.get(id);
  }

  /** The title, with what distinguishes it from equal titles; the id if no run has the case. */
  title(id: string): string {
    return this.#titles.get(id) ?? id;
  }

  /** The setting, or nothing. */
  setting(id: string): string {
    const record = this.#records.get(id);
    return record === undefined ? "" : caseSetting(record);
  }

  /** The style of its implementation, the same on every page. */
  style(id: string): SeriesStyle {
    return styleOf(this.#records.get(id)?.implementation ?? id, this.#described);
  }

  /** Title and setting in one line. */
  full(id: string): string {
    const record = this.#records.get(id);
    return record === undefined ? id : `${caseTitle(record)}, ${caseSetting(record)}`;
  }
}
