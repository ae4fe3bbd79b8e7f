import assert from "node:assert/strict";
import { showBytes, showExcess } from "./bytes.ts";

Deno.test("showBytes uses the largest unit that gives at least one", () => {
  const sizes: [number, string][] = [
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1 KiB"],
    [16384, "16 KiB"],
    [17152, "16.8 KiB"],
    [2 ** 30 - 1, "1024 MiB"],
    [2 ** 35, "32 GiB"],
    [2 ** 50, "1024 TiB"],
  ];
  for (const [bytes, text] of sizes) assert.equal(showBytes(bytes), text);
});

Deno.test("showExcess distinguishes two sizes", () => {
  assert.deepEqual(showExcess(2 ** 35, 30923764531), { bytes: "32 GiB", limit: "28.8 GiB" });
  assert.deepEqual(showExcess(2 ** 31, 2 ** 31 - 4), {
    bytes: "2,147,483,648 bytes",
    limit: "2,147,483,644 bytes",
  });
});
