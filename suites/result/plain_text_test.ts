import assert from "node:assert/strict";
import { plainText } from "./plain_text.ts";

Deno.test("plainText drops terminal escapes, line breaks and text-order marks", () => {
  assert.equal(plainText("a\u001b[31mb\r\nc\u202ed\u200be"), "a [31mb cde");
});
