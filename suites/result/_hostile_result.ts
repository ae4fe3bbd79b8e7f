/** A malicious result file, for tests of everything that shows one. */
import { type Result, resultSchema } from "./result_schema.ts";
import { sampleRetrieval } from "./_sample_retrieval.ts";
import { type SampleOptions, sampleResult } from "./_sample_result.ts";

/** HTML, script, path, template, terminal and formula attacks in one text. */
export const ATTACK =
  `"'></script></style></title></textarea><script>globalThis.pwned=1;alert(1)</script>` +
  `<img src=x onerror="globalThis.pwned=1"><svg onload=alert(1)><base href="https://example.org/">` +
  `<a href="javascript:globalThis.pwned=1">x</a>{{x}}\${x}<!--]]>\u202e\u0000\u001b[31m` +
  `../../../../etc/passwd\\..\\..\\con.%2e%2e%2f://example.org/?a=b&lt;script&gt;=cmd|'/C calc'!A0`;

// Enumerations and dates must stay valid so that the file can be read.
const FIXED = new Set([
  "startedAt",
  "finishedAt",
  "dtype",
  "status",
  "suite",
  "direction",
  "flag",
  "clock",
  "method",
  "partition",
  "stack",
  "sweep",
  "quantity",
  "light",
  "dark",
]);

/** A valid result with {@linkcode ATTACK} in every string and in the keys of open records. */
export function hostileResult(options: SampleOptions = {}): Result {
  const clean: Result = {
    ...sampleResult({ extras: true, sweeps: true, variants: true, ...options }),
    retrieval: sampleRetrieval(),
  };
  const spoiled = spoil(clean) as Result;
  spoiled.environment.packages[ATTACK] = ATTACK;
  spoiled.environment.limits[ATTACK] = 1;
  spoiled.configuration[ATTACK] = { [ATTACK]: ATTACK };
  // Implementations and stages keep a valid start, so that every chart draws them.
  for (const [i, record] of spoiled.cases.entries()) {
    record.sweeps = [...clean.cases[i].sweeps ?? [], ATTACK];
    if (i % 2 === 0) {
      const { implementation, family, scorer } = clean.cases[i];
      Object.assign(record, { implementation, family, ...(scorer && { scorer }) });
    }
    record.stages.forEach((stage, j) =>
      stage.name = clean.cases[i].stages[j].name + (j === 1 ? ATTACK : "")
    );
    if (record.check) record.check.method = ATTACK;
  }
  return resultSchema.parse(JSON.parse(JSON.stringify(spoiled)));
}

function spoil(value: unknown, key = ""): unknown {
  if (typeof value === "string") {
    if (FIXED.has(key) || key === "name" && value === "lighthouse-attention-bench") return value;
    return value + ATTACK;
  }
  if (Array.isArray(value)) return value.map((item) => spoil(item, key));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [name, spoil(inner, name)]),
  );
}
