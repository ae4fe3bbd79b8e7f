import assert from "node:assert/strict";
import { bundleClient, CLIENT_SCRIPTS } from "./bundle_client.ts";

for (const { from, to, most } of CLIENT_SCRIPTS) {
  Deno.test(`${to} is what deno task generate bundles from ${from}`, async () => {
    const kept = await Deno.readTextFile(new URL(`../${to}`, import.meta.url));
    assert.ok(kept === await bundleClient(from), "out of date: run deno task generate");
    // A page includes it unchanged.
    assert.doesNotMatch(kept, /<\/script|<!--/i);
    assert.ok(kept.length < most, `${kept.length} bytes in a page, the limit is ${most}`);
  });
}
