import assert from "node:assert/strict";
import { z } from "zod";
import { PROFILE_NAMES, profileSchema } from "../suites/plan/profile.ts";
import { LOADED } from "../suites/run/_planned.ts";
import {
  generateProfileSchema,
  generateTypes,
  PROFILE_SCHEMA,
  TYPES_FILES,
} from "./generate_types.ts";

for (const file of TYPES_FILES) {
  Deno.test(`${file.path} is what deno task generate writes from the schemas`, async () => {
    const written = await Deno.readTextFile(new URL(`../${file.path}`, import.meta.url));
    assert.ok(written === await generateTypes(file), "out of date: run deno task generate");
  });
}

Deno.test("the JSON Schema of profiles is up to date, and every profile follows it", async () => {
  const read = (path: string) => Deno.readTextFile(new URL(`../${path}`, import.meta.url));
  assert.ok(
    await read(PROFILE_SCHEMA) === await generateProfileSchema(),
    "out of date: run deno task generate",
  );
  const schema = profileSchema(LOADED);
  for (const name of PROFILE_NAMES) {
    const profile = JSON.parse(await read(`fixtures/profiles/${name}.json`));
    assert.deepEqual(schema.parse(profile), profile);
    // A field that no suite reads is a typing error.
    assert.equal(schema.safeParse({ ...profile, retreival: {} }).success, false);
    assert.equal(schema.safeParse({ ...profile, suites: ["nope"] }).success, false);
    const section = { ...profile.retrieval, trails: 1 };
    assert.equal(schema.safeParse({ ...profile, retrieval: section }).success, false);
  }
});

const generate = (...schemas: z.ZodType[]) =>
  generateTypes({ path: "", what: "Test.", openRecord: "./open_record.ts", schemas });

Deno.test("generateTypes: every kind of field, with its description", async () => {
  const inner = z.looseObject({ a: z.int().positive().describe("A.") })
    .meta({ id: "TestInner", description: "Inner." });
  const outer = z.looseObject({
    one: inner.optional().describe("One."),
    some: z.array(inner.nullable()).describe("Some."),
    map: z.record(z.string(), z.union([z.number(), z.string()])).describe("Map."),
    plain: z.looseObject({ b: z.enum(["x", "y"]).nullable().describe("B.") }).describe("Plain."),
    known: z.looseObject({ c: inner.describe("C.") }).catchall(inner).describe("Known."),
    more: z.literal(2).describe("Word ".repeat(25).trim()),
  }).meta({ id: "TestOuter", description: "Outer." });
  const code = await generate(outer);
  assert.equal(
    code.slice(code.indexOf("/** Outer")),
    `/** Outer. */
export interface TestOuter extends OpenRecord {
  /** One. */
  one?: TestInner;
  /** Some. */
  some: (TestInner | null)[];
  /** Map. */
  map: Record<string, number | string>;
  /** Plain. */
  plain: {
    /** B. */
    b: "x" | "y" | null;
    [unknown: string]: unknown;
  };
  /** Known. */
  known: {
    /** C. */
    c: TestInner;
    [name: string]: TestInner;
  };
  /**
   * ${"Word ".repeat(19).trim()}
   * ${"Word ".repeat(6).trim()}
   */
  more: 2;
}

/** Inner. */
export interface TestInner extends OpenRecord {
  /** A. */
  a: number;
}
`,
  );
});

Deno.test("generateTypes refuses a field without a description or a type, with its place", async () => {
  const of = (field: z.ZodType, id: string) =>
    generate(z.looseObject({ field }).meta({ id, description: "Test." }));
  await assert.rejects(
    of(z.string(), "TestMute"),
    /TestMute\.field: the schema has no description/,
  );
  await assert.rejects(
    of(z.tuple([z.string()]).describe("A pair."), "TestTuple"),
    /TestTuple\.field/,
  );
});
