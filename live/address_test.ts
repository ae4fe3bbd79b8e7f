import assert from "node:assert/strict";
import { readAddress } from "./address.ts";

Deno.test("an address says what to run; what the page does not know is left alone", () => {
  assert.deepEqual(readAddress(""), { autostart: false });
  assert.deepEqual(
    readAddress("?mode=needle&seed=0&budget=3600&device=Apple%20M3&autostart&utm_source=x"),
    { mode: "needle", seed: 0, budgetSeconds: 3600, deviceName: "Apple M3", autostart: true },
  );
  const started = ["autostart", "autostart=1", "autostart=true", "autostart=0", "autostart=false"];
  assert.deepEqual(
    started.map((search) => readAddress(search).autostart),
    [true, true, true, false, false],
  );
});

Deno.test("a value that cannot be used is named in a line, and nothing is started", () => {
  const wrong = [
    ["mode=fast", /mode fast is not one of quick, standard, long, needle/],
    ["mode=", /mode "" is not one of/],
    ["mode=quick&mode=long", /mode is given 2 times/],
    ["seed=-1", /seed -1 is not a whole number from 0 to \d+/],
    ["seed=1e3", /seed 1e3 is not/],
    ["seed=4294967296", /seed 4294967296 is not/],
    ["mode=needle&seed=4294967292", /seed 4294967292 is not a whole number from 0 to 2147483648/],
    ["budget=0", /budget 0 is not a whole number from 1 to 3600/],
    ["budget=3601", /budget 3601 is not/],
    [`device=${"x".repeat(81)}`, /device has 81 characters, the limit is 80/],
    ["autostart=perhaps", /autostart perhaps is not one of 1, true, 0, false/],
    [`mode=${"%E2%80%AE%1B[31m".repeat(99)}`, /mode +\[31m \[31m[^\u202e]{1,40}… is not one of/],
  ] as const;
  for (const [search, line] of wrong) {
    const asked = readAddress(`?${search}&autostart`.replace("perhaps&autostart", "perhaps"));
    assert.match(asked.complaint!, line, search.slice(0, 40));
    assert.equal(asked.autostart, false);
    assert.equal(asked.complaint!.includes("\n"), false);
  }
});
