/**
 * Valid results that no run would produce, for a property test of everything that shows one: optional
 * fields missing, lists empty, numbers at their limits, cases twice, in other orders.
 *
 * @module
 */
import fc from "fast-check";
import { sampleRetrieval } from "../suites/result/_sample_retrieval.ts";
import { sampleResult } from "../suites/result/_sample_result.ts";
import { type Result, resultSchema } from "../suites/result/result_schema.ts";

/** One change of a result: which field, where, and its new value. */
interface Change {
  /** Index into the names of fields. */
  readonly field: number;
  /** Index into the places of that name; undefined means all of them. */
  readonly place: number | undefined;
  readonly how: number;
}

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** New values that the schema allows. */
const ENDS: readonly ((value: Json) => Json | undefined)[] = [
  () => undefined,
  (value) => Array.isArray(value) ? [] : typeof value === "string" ? "" : 0,
  (value) =>
    Array.isArray(value) ? value.slice(0, 1) : typeof value === "number" ? Number.MAX_VALUE : null,
  (value) =>
    Array.isArray(value) ? [...value, ...value] : typeof value === "number" ? Number.MIN_VALUE : "",
  (value) => Array.isArray(value) ? value.toReversed() : typeof value === "number" ? -value : "x",
  (value) => typeof value === "number" ? 1 : typeof value === "boolean" ? !value : "failed",
  () => "skipped",
  () => "inconclusive",
  () => "backward",
  () => "correctness",
];

const BASES: readonly (() => Result)[] = [
  () => sampleResult({ contexts: [8192, 16_384] }),
  () => sampleResult({ contexts: [8192, 16_384], extras: true, software: true }),
  () => ({
    ...sampleResult({ contexts: [524_288], variants: true, samples: 2 }),
    retrieval: sampleRetrieval(),
    keepWarm: {
      means: ["nvidia-smi"],
      clockMHz: { count: 3, lowest: 345, median: 1980, highest: 1980, limit: 1980 },
      powerWatts: { count: 3, median: 300, highest: 700, limit: 700, atLimit: 1 },
    },
    peers: [{
      asked: "torch-fa2",
      implementation: "peer:onnxruntime-web",
      computes: "dense",
      versions: { torch: "2.11.0" },
      device: null,
      timing: "CUDA events",
    }] as Result["peers"],
  }),
  () => sampleResult({ contexts: [98_304], sweeps: true, samples: 2 }),
];

/** Valid results, each a base with some changes that the schema allows. */
export function spoiledResult(): fc.Arbitrary<Result> {
  const change: fc.Arbitrary<Change> = fc.record({
    field: fc.nat(),
    place: fc.oneof(fc.constant(undefined), fc.nat()),
    how: fc.nat(ENDS.length - 1),
  });
  return fc.tuple(fc.nat(BASES.length - 1), fc.array(change, { minLength: 1, maxLength: 6 }))
    .map(([base, changes]) => {
      let result = BASES[base]();
      for (const one of changes) {
        const spoiled = structuredClone(result) as unknown as { [name: string]: Json };
        spoil(spoiled, one);
        const parsed = resultSchema.safeParse(spoiled);
        if (parsed.success) result = parsed.data;
      }
      return result;
    });
}

/** Makes one change in place. */
function spoil(root: { [name: string]: Json }, { field, place, how }: Change): void {
  const places = new Map<string, { [name: string]: Json }[]>();
  const walk = (value: Json) => {
    if (Array.isArray(value)) return value.forEach(walk);
    if (typeof value !== "object" || value === null) return;
    for (const [name, inner] of Object.entries(value)) {
      const found = places.get(name) ?? [];
      found.push(value);
      places.set(name, found);
      walk(inner);
    }
  };
  walk(root);
  const names = [...places.keys()];
  const name = names[field % names.length];
  const all = places.get(name)!;
  for (const parent of place === undefined ? all : [all[place % all.length]]) {
    const next = ENDS[how](parent[name]);
    if (next === undefined) delete parent[name];
    else parent[name] = next;
  }
}
