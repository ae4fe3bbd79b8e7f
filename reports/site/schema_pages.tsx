/**
 * The formats of the files, as JSON Schema and as pages.
 *
 * @module
 */
import type { JSX } from "preact";
import { z } from "zod";
import { resultSchema, retrievalSchema } from "../../suites/result/result_schema.ts";
import { formatPlural } from "../text/format.ts";
import { gateConfigSchema } from "../gate/gate_config.ts";
import { Table } from "../charts/figure.tsx";
import { type SiteFile, sitePage } from "./site_page.tsx";

/** A format with a page of its own. */
interface Format {
  readonly slug: string;
  readonly title: string;
  readonly what: string;
  readonly schema: z.ZodType;
  /** As written, or as accepted. */
  readonly io: "input" | "output";
}

const FORMATS: readonly Format[] = [
  {
    slug: "result",
    title: "Result file",
    what: "What `deno task bench` writes and every other command reads. Units are SI; unknown " +
      "fields are kept.",
    schema: resultSchema,
    io: "output",
  },
  {
    slug: "retrieval",
    title: "Retrieval record",
    what: "The part `retrieval` of a result file. Counts are trials.",
    schema: retrievalSchema,
    io: "output",
  },
  {
    slug: "gate-config",
    title: "Gate configuration",
    what: "What `deno task gate --config` reads: thresholds, for all cases and for some.",
    schema: gateConfigSchema,
    io: "input",
  },
];

type JsonSchema = z.core.JSONSchema.BaseSchema;

/** The schema of a format as a JSON Schema document, draft 2020-12. */
export function jsonSchemaOf({ title, what, schema, io }: Format): JsonSchema {
  const { $schema, ...rest } = z.toJSONSchema(schema, { io });
  return { $schema, title, description: what.replaceAll("`", ""), ...rest };
}

/** One field of a format. */
interface Field {
  /** `cases[].shape.heads`. */
  path: string;
  type: string;
  required: boolean;
  /** What it means, in words; backticks mark code. */
  description: string;
}

/** The schemas and their pages. */
export function schemaPages(): SiteFile[] {
  return [
    schemaIndex(),
    ...FORMATS.flatMap((format): SiteFile[] => {
      const schema = jsonSchemaOf(format);
      return [
        {
          path: `schema/${format.slug}.schema.json`,
          text: `${JSON.stringify(schema, null, 1)}\n`,
        },
        schemaPage(format, schema),
      ];
    }),
  ];
}

function schemaIndex(): SiteFile {
  return sitePage({
    path: "schema/index.html",
    entry: "Schemas",
    heading: "The formats of the files.",
    title: "Schemas",
    children: (
      <section id="formats">
        <h2 class="visually-hidden">Formats</h2>
        <Table
          whole
          caption="Formats"
          columns={[{ title: "Format" }, { title: "What it is" }, { title: "JSON Schema" }]}
          rows={FORMATS.map(({ slug, title, what }) => [
            <a href={`${slug}.html`}>{title}</a>,
            <Prose text={what} />,
            <a href={`${slug}.schema.json`}>{slug}.schema.json</a>,
          ])}
        />
      </section>
    ),
  });
}

function schemaPage({ slug, title, what }: Format, schema: JsonSchema): SiteFile {
  const fields = fieldsOf(schema);
  return sitePage({
    path: `schema/${slug}.html`,
    entry: "Schemas",
    kicker: "Schema",
    heading: `${title}.`,
    title,
    facts: ["JSON Schema, draft 2020-12", formatPlural(fields.length, "field")],
    children: (
      <section id="fields">
        <p class="lead">
          <Prose text={what} /> For validators:{" "}
          <a href={`${slug}.schema.json`}>{slug}.schema.json</a>.
        </p>
        <h2>Fields</h2>
        <Table
          whole
          caption="Brackets stand for each entry of a list, an asterisk for any name"
          columns={[
            { title: "Field" },
            { title: "Type" },
            { title: "Required" },
            { title: "What it is" },
          ]}
          rows={fields.map(({ path, type, required, description }) => [
            <code>{path}</code>,
            type,
            required ? "yes" : "no",
            <Prose text={description} />,
          ])}
        />
      </section>
    ),
  });
}

/** Text in which backticks mark code. */
function Prose({ text }: { text: string }): JSX.Element {
  return <>{text.split("`").map((part, i) => i % 2 === 1 ? <code>{part}</code> : part)}</>;
}

/** Every field of a schema, parents before their children. */
function fieldsOf(schema: JsonSchema): Field[] {
  const fields: Field[] = [];
  visit(resolve(schema), "");
  return fields;

  function visit(node: JsonSchema, path: string): void {
    for (const [name, child] of Object.entries(node.properties ?? {})) {
      if (typeof child === "boolean") continue;
      const own = path === "" ? name : `${path}.${name}`;
      fields.push({
        path: own,
        type: typeName(child),
        required: node.required?.includes(name) ?? false,
        description: child.description ?? "",
      });
      enter(child, own);
    }
  }

  /** The record that a reference names. */
  function resolve(node: JsonSchema): JsonSchema {
    const name = node.$ref?.replace("#/$defs/", "");
    return name === undefined ? node : schema.$defs![name];
  }

  function enter(given: JsonSchema, path: string): void {
    const node = resolve(given);
    for (const option of node.anyOf ?? []) if (typeof option === "object") enter(option, path);
    visit(node, path);
    const { items, additionalProperties } = node;
    if (items && typeof items === "object" && !Array.isArray(items)) enter(items, `${path}[]`);
    if (
      typeof additionalProperties === "object" && additionalProperties !== null &&
      Object.keys(additionalProperties).length > 0
    ) enter(additionalProperties, `${path}.*`);
  }
}

function typeName(node: JsonSchema): string {
  // Only objects have a name for references.
  if (node.$ref !== undefined) return "object";
  if (node.const !== undefined) return JSON.stringify(node.const);
  if (node.enum !== undefined) return node.enum.map((one) => JSON.stringify(one)).join(", ");
  if (node.anyOf !== undefined) {
    return node.anyOf.map((one) => typeof one === "object" ? typeName(one) : String(one)).join(
      " or ",
    );
  }
  const type = String(node.type ?? "anything");
  if (type === "object") {
    const { additionalProperties: each, properties } = node;
    const open = properties === undefined && typeof each === "object" && each !== null;
    return open ? `map to ${typeName(each)}` : type;
  }
  if (type === "array") {
    const { items } = node;
    return items && typeof items === "object" && !Array.isArray(items)
      ? `list of ${typeName(items)}`
      : "list";
  }
  if (type !== "number" && type !== "integer") return type;
  const limits = [
    node.minimum !== undefined && Math.abs(node.minimum) < 2 ** 53 - 1 ? `≥ ${node.minimum}` : "",
    node.exclusiveMinimum !== undefined ? `> ${node.exclusiveMinimum}` : "",
    node.maximum !== undefined && Math.abs(node.maximum) < 2 ** 53 - 1 ? `≤ ${node.maximum}` : "",
  ].filter(Boolean);
  return [type, ...limits].join(" ");
}
