import assert from "node:assert/strict";
import { idOfHash } from "./copy.ts";

Deno.test("idOfHash decodes an id, and takes malformed escapes as they stand", () => {
  assert.equal(idOfHash("#latency/dense%2Fforward"), "latency/dense/forward");
  assert.equal(idOfHash(""), "");
  for (const hash of ["#%E0%A4%A", "#%", "#a%zz"]) assert.equal(idOfHash(hash), hash.slice(1));
});
