/**
 * Template literals for generated WGSL, indented like the surrounding source.
 *
 * @module
 */

/** A value in a template: a piece of text, or lines. */
export type WgslValue = string | number | readonly string[];

/** A line of a template: its indentation, and the text between the values on it. */
interface TemplateLine {
  readonly indent: string;
  readonly texts: readonly string[];
  /** Index of the first value on the line. */
  readonly first: number;
}

const parsed = new WeakMap<TemplateStringsArray, readonly TemplateLine[]>();

/**
 * WGSL without the common indentation of the template's lines. A value that is alone on its line
 * may be several lines, which all get the line's indentation; an empty array removes the line.
 *
 * @example
 * ```ts
 * import { wgsl } from "./wgsl.ts";
 * import assert from "node:assert/strict";
 *
 * const body = ["let x = 1u;", "let y = 2u;"];
 * const code = wgsl`
 *   fn f() {
 *     ${body}
 *     ${[]}
 *     g(${2}u);
 *   }
 * `;
 * assert.equal(code, "fn f() {\n  let x = 1u;\n  let y = 2u;\n  g(2u);\n}");
 * ```
 */
export function wgsl(template: TemplateStringsArray, ...values: readonly WgslValue[]): string {
  return fill(template, values, true);
}

/**
 * The same without any indentation of the template; values stay unchanged. The kernels on matrix
 * units emit their code this way; `fixtures/shaders/` shows it indented.
 */
export function flatWgsl(template: TemplateStringsArray, ...values: readonly WgslValue[]): string {
  return fill(template, values, false);
}

/** Texts that a generator keeps. */
const MOST_KEPT = 64;

/**
 * The same generator, which keeps its latest texts: the plans of one run ask for the same code many
 * times. Its arguments must be data, as JSON shows it whole.
 *
 * @example
 * ```ts
 * import { keepTexts } from "./wgsl.ts";
 * import assert from "node:assert/strict";
 *
 * let made = 0;
 * const code = keepTexts((size: { rows: number }) => `const ROWS = ${size.rows + 0 * made++}u;`);
 * assert.equal(code({ rows: 8 }), code({ rows: 8 }));
 * assert.equal(made, 1);
 * ```
 */
export function keepTexts<A extends readonly unknown[]>(
  generate: (...given: A) => string,
): (...given: A) => string {
  const kept = new Map<string, string>();
  return (...given) => {
    const key = JSON.stringify(given);
    const known = kept.get(key);
    if (known !== undefined) return known;
    const text = generate(...given);
    if (kept.size === MOST_KEPT) kept.delete(kept.keys().next().value!);
    kept.set(key, text);
    return text;
  };
}

/** 0 … count - 1, for unrolling. */
export function range(count: number): number[] {
  const numbers: number[] = [];
  for (let i = 0; i < count; i++) numbers.push(i);
  return numbers;
}

/** Names of the elements of a vector. */
export const XYZW = ["x", "y", "z", "w"] as const;

function fill(
  template: TemplateStringsArray,
  values: readonly WgslValue[],
  indented: boolean,
): string {
  const lines: string[] = [];
  for (const { indent, texts, first } of parse(template)) {
    const prefix = indented ? indent : "";
    if (texts.length === 2 && texts[0] === "" && texts[1] === "") {
      const value = values[first];
      const pieces = typeof value === "object" ? value : [String(value)];
      for (const piece of pieces) lines.push(prefix === "" ? piece : indentLines(piece, prefix));
      continue;
    }
    let line = texts[0];
    for (let i = 1; i < texts.length; i++) {
      const value = values[first + i - 1];
      if (typeof value === "object") throw new TypeError(`lines within a line: ${line}…`);
      line += value + texts[i];
    }
    lines.push(line && prefix + line);
  }
  return lines.join("\n");
}

/** Empty lines stay empty. */
function indentLines(text: string, prefix: string): string {
  const indented = prefix + text.replaceAll("\n", `\n${prefix}`);
  const hasEmpty = text === "" || text.startsWith("\n") || text.endsWith("\n") ||
    text.includes("\n\n");
  return hasEmpty ? indented.replaceAll(/^ +$/gm, "") : indented;
}

function parse(template: TemplateStringsArray): readonly TemplateLine[] {
  const known = parsed.get(template);
  if (known) return known;
  const lines: { texts: string[]; first: number }[] = [{ texts: [""], first: 0 }];
  for (const [i, text] of template.entries()) {
    const [head, ...rest] = text.split("\n");
    const { texts } = lines[lines.length - 1];
    if (i === 0) texts[0] = head;
    else texts.push(head);
    lines.push(...rest.map((line) => ({ texts: [line], first: i })));
  }
  // Excludes the lines of the opening and closing quotes.
  const inner = lines.slice(lines[0].texts.join("") === "" && lines[0].texts.length === 1 ? 1 : 0);
  const last = inner[inner.length - 1];
  if (inner.length > 1 && last.texts.length === 1 && last.texts[0].trim() === "") inner.pop();
  const indentOf = ({ texts }: { texts: string[] }) => texts[0].match(/^ */)![0].length;
  const filled = inner.filter(({ texts }) => texts.length > 1 || texts[0].trim() !== "");
  const shared = Math.min(...filled.map(indentOf));
  const result = inner.map((line) => {
    const { texts: [head, ...others], first } = line;
    const indent = indentOf(line);
    return {
      indent: " ".repeat(Math.max(0, indent - shared)),
      texts: [head.slice(indent), ...others],
      first,
    };
  });
  parsed.set(template, result);
  return result;
}
