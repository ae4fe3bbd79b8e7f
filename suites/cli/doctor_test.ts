import assert from "node:assert/strict";
import { UsageError } from "../errors.ts";
import { doctorCommand } from "./doctor.ts";

Deno.test("doctor refuses options that reach nothing, before it opens a device", async () => {
  const refused: [string, RegExp][] = [
    ["--k 128", /^option --k is for --plan only$/],
    ["--profile smoke", /^option --profile is for --plan only$/],
    ["--device h100", /^option --device is for --plan only$/],
    ["--plan --tuning none", /^option --tuning is not for --plan: /],
    ["--plan --device h100 --stack dawn", /^option --stack dawn: --device h100 opens no stack$/],
    ["--plan --device h100 --implementation dense --k 128", /^--k 128 reaches no case: /],
    ["--plan --device h100 --scorer norm --dilation 8", /^--dilation 8 reaches no case: /],
  ];
  for (const [line, complaint] of refused) {
    await assert.rejects(
      doctorCommand(["--quiet", ...line.split(" ")]),
      (error) => error instanceof UsageError && complaint.test(error.message),
      line,
    );
  }
});
