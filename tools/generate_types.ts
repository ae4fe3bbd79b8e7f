/**
 * Generates files from the project's zod schemas, so that a field is declared and described once: the
 * TypeScript types of its file formats, and the JSON Schema of profiles, which editors read. `deno task
 * generate` runs it; tests fail if its output is out of date.
 *
 * The types are written out rather than inferred, because the package's documentation and its users'
 * type checkers read the declarations.
 *
 * @module
 */
import { z } from "zod";
import {
  baselineCaseSchema,
  forwardCaseSchema,
  selectionCaseSchema,
} from "../suites/check/golden.ts";
import { profileSchema } from "../suites/plan/profile.ts";
import { resultSchema } from "../suites/result/result_schema.ts";
import { SUITES } from "../suites/suites.ts";

type JsonSchema = z.core.JSONSchema.BaseSchema;

/** A file of generated types. */
export interface TypesFile {
  /** From the root of the repository. */
  readonly path: string;
  /** First sentences of its documentation. */
  readonly what: string;
  /** Path from the file to `open_record.ts`. */
  readonly openRecord: string;
  /** Schemas with an id; schemas inside them that have an id get a type as well. */
  readonly schemas: readonly z.ZodType[];
}

/** All files of generated types. */
export const TYPES_FILES: readonly TypesFile[] = [
  {
    path: "suites/result/result.ts",
    what: "What a result file says, as types. Units are SI and stand in a field's name or " +
      "description. Unknown fields are kept, so that a newer version's file survives a round trip " +
      "through an older tool.",
    openRecord: "./open_record.ts",
    schemas: [resultSchema],
  },
  {
    path: "suites/check/golden_types.ts",
    what: "Cases of golden vectors, as types.",
    openRecord: "../result/open_record.ts",
    schemas: [selectionCaseSchema, forwardCaseSchema, baselineCaseSchema],
  },
];

/** Where the JSON Schema of profiles is, from the root of the repository. */
export const PROFILE_SCHEMA = "fixtures/profiles/profile.schema.json";

/** The JSON Schema of a profile with the sections of all suites. */
export async function generateProfileSchema(): Promise<string> {
  const suites = await Promise.all(SUITES.map(async ({ load }) => (await load()).suite));
  return `${JSON.stringify(z.toJSONSchema(profileSchema(suites)), null, 2)}\n`;
}

const LINE_WIDTH = 100;

/**
 * The text of a file of types, formatted as `deno fmt` does.
 *
 * @throws {Error} for a schema that has no TypeScript type here, with its place.
 */
export async function generateTypes({ what, openRecord, schemas }: TypesFile): Promise<string> {
  const types = new Map<string, string>();
  for (const schema of schemas) {
    for (const [name, definition] of Object.entries(z.toJSONSchema(schema).$defs ?? {})) {
      types.set(name, declarationOf(name, definition));
    }
  }
  const header = comment(
    [what, "`deno task generate` writes this file from the schemas: edit them instead.", "@module"],
    "",
  );
  return await format(
    `${header}\nimport type { OpenRecord } from "${openRecord}";\n\n${
      [...types.values()].join("\n")
    }`,
  );
}

function declarationOf(name: string, schema: JsonSchema): string {
  if (schema.type !== "object" || !isOpen(schema)) {
    throw new Error(`${name}: only open objects can have an id, found ${JSON.stringify(schema)}`);
  }
  const doc = comment([descriptionOf(schema, name)], "");
  return `${doc}\nexport interface ${name} extends OpenRecord {\n${fieldsOf(schema, name, 1)}}\n`;
}

function fieldsOf(schema: JsonSchema, path: string, depth: number): string {
  return Object.entries(schema.properties ?? {}).map(([name, child]) => {
    const own = `${path}.${name}`;
    if (typeof child === "boolean") throw new Error(`${own}: no type`);
    const optional = schema.required?.includes(name) ? "" : "?";
    const doc = comment([descriptionOf(child, own)], "  ".repeat(depth));
    return `${doc}\n${name}${optional}: ${typeOf(child, own, depth)};\n`;
  }).join("");
}

function typeOf(schema: JsonSchema, path: string, depth: number): string {
  if (schema.$ref !== undefined) return schema.$ref.replace("#/$defs/", "");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum !== undefined) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  if (schema.anyOf !== undefined) {
    return schema.anyOf.map((one) => typeOf(one as JsonSchema, path, depth)).join(" | ");
  }
  const { type, items, properties, additionalProperties: others } = schema;
  if (Array.isArray(type)) return type.map((type) => typeOf({ type }, path, depth)).join(" | ");
  if (type === "array") {
    const item = typeOf(items as JsonSchema, `${path}[]`, depth);
    return !item.startsWith("{") && item.includes(" | ") ? `(${item})[]` : `${item}[]`;
  }
  if (type === "object") {
    const other = isOpen(schema) ? "unknown" : typeOf(others as JsonSchema, `${path}.*`, depth);
    if (properties === undefined) return `Record<string, ${other}>`;
    const key = isOpen(schema) ? "unknown" : "name";
    return `{\n${fieldsOf(schema, path, depth + 1)}[${key}: string]: ${other};\n}`;
  }
  if (type === "integer") return "number";
  if (type === "string" || type === "number" || type === "boolean" || type === "null") return type;
  throw new Error(`${path}: no TypeScript type for ${JSON.stringify(schema)}`);
}

/** Whether an object may have fields of any type in addition to its own. */
function isOpen({ additionalProperties: others }: JsonSchema): boolean {
  return typeof others === "object" && Object.keys(others).length === 0;
}

function descriptionOf({ description }: JsonSchema, path: string): string {
  if (description) return description;
  throw new Error(`${path}: the schema has no description`);
}

/** Paragraphs as a documentation comment, on one line if they fit. */
function comment(paragraphs: readonly string[], indent: string): string {
  const line = `${indent}/** ${paragraphs[0]} */`;
  if (paragraphs.length === 1 && line.length <= LINE_WIDTH) return line;
  const lines = paragraphs.flatMap((text, i) => {
    const own = i === 0 ? [] : [""];
    let last = "";
    for (const word of text.split(" ")) {
      if (last !== "" && `${indent} * ${last} ${word}`.length > LINE_WIDTH) {
        own.push(last);
        last = word;
      } else last = last === "" ? word : `${last} ${word}`;
    }
    return [...own, last];
  });
  return `${indent}/**\n${
    lines.map((text) => `${indent} * ${text}`.trimEnd()).join("\n")
  }\n${indent} */`;
}

async function format(code: string): Promise<string> {
  const deno = new Deno.Command("deno", {
    args: ["fmt", "--quiet", "--ext=ts", "-"],
    cwd: new URL("..", import.meta.url),
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const writer = deno.stdin.getWriter();
  await writer.write(new TextEncoder().encode(code));
  await writer.close();
  const { success, stdout } = await deno.output();
  if (!success) throw new Error("deno fmt fails on the generated types");
  return new TextDecoder().decode(stdout);
}

if (import.meta.main) {
  for (const file of TYPES_FILES) {
    const place = new URL(`../${file.path}`, import.meta.url);
    await Deno.writeTextFile(place, await generateTypes(file));
  }
  await Deno.writeTextFile(
    new URL(`../${PROFILE_SCHEMA}`, import.meta.url),
    await generateProfileSchema(),
  );
}
