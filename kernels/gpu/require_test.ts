import assert from "node:assert/strict";
import { requireOptions } from "../options.ts";
import { requireWhole } from "./require.ts";
import { requireTensorShape } from "./tensors.ts";

Deno.test("requireWhole: a number beyond the exact ones names the limit that it passes", () => {
  assert.throws(() => requireWhole("plan", "rows", 0), {
    message: "plan: rows 0 is not a whole number from 1",
  });
  assert.throws(() => requireWhole("plan", "rows", 2 ** 53), {
    message: "plan: rows 9007199254740992 is not a whole number from 1 to 9007199254740991",
  });
  const shape = { heads: 999_999_999_999, rows: 2048, dim: 64, dtype: "f16" } as const;
  assert.throws(() => requireTensorShape("plan", shape), /from 1 to 9007199254740991$/);
  const window = { name: "window", letter: "w", flag: "window", least: 1, initial: 512, help: "" };
  assert.throws(() => requireOptions([window], { window: 2 ** 60 }, "plan window"), {
    message:
      "plan window: window 1152921504606847000 is not a whole number from 1 to 9007199254740991",
  });
});
