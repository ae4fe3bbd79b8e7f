import assert from "node:assert/strict";
import { UsageError } from "../errors.ts";
import { verifyCommand } from "./verify.ts";

const refused: [string[], RegExp][] = [
  [["--bogus"], /^unknown option '--bogus'$/],
  [["--stack", "metal"], /^--stack metal is not one of auto, deno, dawn$/],
  [["--seed", "1.5"], /^--seed: "1\.5" is not a whole number from 0 to 2147483648$/],
  [["--implementation", "dense,nas"], /^--implementation: "nas" is not one of .*nsa/],
  [["extra"], /too many arguments/],
  [["--golden", "/nonexistent"], /^read \/nonexistent\/manifest\.json: no such file$/],
];
for (const [args, words] of refused) {
  Deno.test(`verifyCommand refuses ${args.join(" ")} in one line with code 2`, async () => {
    await assert.rejects(verifyCommand(args), (error) => {
      assert.ok(error instanceof UsageError);
      assert.equal(error.exitCode, 2);
      assert.ok(!error.message.includes("\n"));
      assert.match(error.message, words);
      return true;
    });
  });
}
