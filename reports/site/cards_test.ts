import assert from "node:assert/strict";
import type { Result } from "../../suites/result/result_schema.ts";
import { sampleResult } from "../../suites/result/_sample_result.ts";
import { UNTOLD_PROCESSOR } from "../../suites/result/device_record.ts";
import { collectCards } from "./cards.ts";

/** A run of an H100 on a machine, under a stack, with or without a UUID. */
function run(
  { cpu = "Xeon A", cores = 26, uuid, stack = "deno", model = "NVIDIA H100" }: {
    cpu?: string;
    cores?: number;
    uuid?: string;
    stack?: Result["stack"];
    model?: string;
  },
): Result {
  const result = sampleResult({ contexts: [8192] });
  result.stack = stack;
  Object.assign(result.environment, { cpu, cores, device: { name: model, uuid } });
  return result;
}

function keysOf(results: Result[]): (string | null)[] {
  const cards = collectCards(results);
  return results.map((result) => cards.get(result)!.key);
}

Deno.test("collectCards: one card under two stacks is one, under any names", () => {
  const [a, b] = keysOf([
    run({ stack: "dawn", model: "nvidia-h100" }),
    run({ stack: "deno", model: "NVIDIA H100" }),
  ]);
  assert.equal(a, b);
});

Deno.test("collectCards: cards of one model in two machines are two, and named apart", () => {
  const results = [
    run({ cpu: "Xeon A" }),
    run({ cpu: "EPYC B" }),
    run({ cpu: "Xeon A", cores: 8 }),
  ];
  assert.equal(new Set(keysOf(results)).size, 3);
  const cards = collectCards(results);
  const names = results.map((result) => cards.get(result)!.apart);
  assert.deepEqual(names, ["Xeon A, 26 cores", "EPYC B, 26 cores", "Xeon A, 8 cores"]);
  for (const card of cards.values()) assert.match(card.doubt!, /do not all record the card’s UUID/);
});

Deno.test("collectCards: a software adapter in a browser is named without a processor", () => {
  const result = run({ cpu: UNTOLD_PROCESSOR, stack: "browser", model: "Two busy cores" });
  result.environment.adapter.software = true;
  assert.equal(collectCards([result]).get(result)!.name, "Two busy cores");
});

Deno.test("collectCards: a UUID distinguishes cards of one machine with certainty", () => {
  const results = [run({ uuid: "GPU-1111aaaa-2222" }), run({ uuid: "GPU-3333bbbb-4444" })];
  const cards = collectCards(results);
  assert.deepEqual(results.map((result) => cards.get(result)!.apart), [
    "GPU-1111aaaa",
    "GPU-3333bbbb",
  ]);
  assert.ok([...cards.values()].every(({ doubt }) => doubt === null));
});

Deno.test("collectCards: a run without a UUID belongs to the one known card of its machine", () => {
  const told = run({ uuid: "GPU-1111aaaa-2222" });
  const silent = run({ stack: "dawn" });
  for (const results of [[told, silent], [silent, told]]) {
    const [a, b] = keysOf(results);
    assert.equal(a, b);
  }
  // With two known cards it may belong to either.
  const three = [told, run({ uuid: "GPU-3333bbbb-4444" }), silent];
  assert.equal(new Set(keysOf(three)).size, 3);
  assert.match(collectCards(three).get(silent)!.apart!, /card not told$/);
});

Deno.test("collectCards: another driver is the same card", () => {
  const results = [run({}), run({})];
  results[1].environment.driver = "another 2.0";
  assert.equal(new Set(keysOf(results)).size, 1);
});
