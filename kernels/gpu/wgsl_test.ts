import assert from "node:assert/strict";
import { flatWgsl, wgsl } from "./wgsl.ts";

Deno.test("wgsl removes the common indentation, and indents inserted lines", () => {
  const inner = wgsl`
    if (a) {
      b();

      c();
    }
  `;
  assert.equal(inner, "if (a) {\n  b();\n\n  c();\n}");
  const code = wgsl`
    fn f(x: ${"u32"}) {
      ${inner}
      ${["one();", "two();\n  three();"]}
      ${[]}
      ${""}
      g(${1}u, ${2}u);
    }
    ${"const A = 1u;"}
  `;
  assert.equal(
    code,
    "fn f(x: u32) {\n  if (a) {\n    b();\n\n    c();\n  }\n  one();\n  two();\n    three();\n\n" +
      "  g(1u, 2u);\n}\nconst A = 1u;",
  );
});

Deno.test("wgsl of one line, and of values side by side", () => {
  assert.equal(wgsl`let x = ${1}u;`, "let x = 1u;");
  assert.equal(wgsl`${"a"}${"b"}`, "ab");
  assert.equal(wgsl`${["a", "b"]}`, "a\nb");
  assert.throws(() => wgsl`f(${["a", "b"]})`, /lines within a line: f\(/);
});

Deno.test("a reused template takes the new values", () => {
  const line = (i: number) =>
    wgsl`
    { let x = ${i}u;
      ${range(i)}
    }
  `;
  const range = (count: number) => Array.from({ length: count }, (_, i) => `f(${i}u);`);
  assert.equal(line(2), "{ let x = 2u;\n  f(0u);\n  f(1u);\n}");
  assert.equal(line(0), "{ let x = 0u;\n}");
});

Deno.test("flatWgsl removes the indentation of the template, not that of values", () => {
  const code = flatWgsl`
    {
      let x = 1u;
      ${wgsl`
        if (y) {
          z();
        }
      `}
    }
  `;
  assert.equal(code, "{\nlet x = 1u;\nif (y) {\n  z();\n}\n}");
});
