/**
 * Probes: the shader of a product with one part left out or changed. Results of most are wrong; the
 * time shows what the part costs.
 *
 * @module
 */
import { type MatrixProductTiling, productTilingName } from "./product_tilings.ts";

/** A shader that is timed without a check. */
export interface ProductProbe {
  /** What is done to the shader: "without staging". */
  readonly what: string;
  /** The tiling whose shader is changed. */
  readonly matrixTiling: MatrixProductTiling;
  /** Does it to the shader. */
  readonly change: (code: string) => string;
}

/** Changes the text inside the loop over the depth. */
function inLoop(code: string, change: (loop: string) => string): string {
  const begin = code.indexOf("for (var k0 =");
  const end = code.indexOf("\n  }\n", begin);
  return code.slice(0, begin) + change(code.slice(begin, end)) + code.slice(end);
}

const withoutFetches = (loop: string) =>
  loop.replace(/^ *(left|right)\d+b? = (left|right)\[.*\];$/gm, "");
const withoutPuts = (loop: string) => loop.replace(/\{ scratch\[.*\] = .*; \}/g, "");

/** Leaves out what follows the loop, at a condition that no compiler knows. */
function withoutEpilogue(code: string): string {
  const loop = code.indexOf("for (var k0 =");
  const end = code.indexOf("\n  }\n", loop) + "\n  }\n".length;
  const close = code.lastIndexOf("}");
  return `${code.slice(0, end)}if (params.context == 0xffffffffu) {\n${
    code.slice(end, close)
  }}\n}\n`;
}

/** Walks a few steps of the depth again and again. */
function withSteps(code: string, steps: number): string {
  return inLoop(code, (loop) =>
    loop.replace(
      /let start = min\((.*), end - (\d+)u\);/g,
      (_, from, depth) => `let start = begin + ((${from} - begin) & ${(steps - 1) * depth}u);`,
    ));
}

/** Takes 40 KiB of workgroup memory, so that one workgroup runs on a multiprocessor at a time. */
function withOneAtATime(code: string): string {
  return code.replace(/(scratch: array<vec4u, )\d+/, "$12560");
}

const PARTS: Readonly<Record<string, (code: string) => string>> = {
  "without loads of device memory": (code) => inLoop(code, withoutFetches),
  "without staging": (code) => inLoop(code, (loop) => withoutPuts(withoutFetches(loop))),
  "without staging and barriers": (code) =>
    inLoop(
      code,
      (loop) => withoutPuts(withoutFetches(loop)).replaceAll("workgroupBarrier();", ""),
    ),
  // A multiprocessor's cache holds the first, the device's the second.
  "with loads of 2 steps alone": (code) => withSteps(code, 2),
  "with loads of 16 steps alone": (code) => withSteps(code, 16),
  "one workgroup at a time": withOneAtATime,
  "without three of four operands": (code) =>
    inLoop(code, (loop) => loop.replace(/(own(?:Row|Column) \+ )\d+u/g, "$10u")),
  "without the epilogue": withoutEpilogue,
  "with halves as the device rounds": (code) =>
    code.replace("let x = nearestHalf(value);", "let x = value;"),
};

/** The shaders of a tiling, each without one part. */
export function probesOf(matrixTiling: MatrixProductTiling): ProductProbe[] {
  return Object.entries(PARTS).map(([what, change]) => ({ what, matrixTiling, change }));
}

/** Name of a probe. */
export function probeName(
  { what, matrixTiling }: Pick<ProductProbe, "what" | "matrixTiling">,
): string {
  return `${productTilingName(matrixTiling)}; ${what}`;
}
