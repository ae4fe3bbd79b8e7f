/**
 * `merge RESULT… --out FILE`: joins the shards of one plan.
 *
 * @module
 */
import { formatPlural } from "../../reports/text/format.ts";
import { plainText } from "../result/plain_text.ts";
import { readResult } from "../result/read_result.ts";
import { EXIT } from "../errors.ts";
import { type Merged, mergeResults, type NamedResult } from "../run/merge.ts";
import { resultSchema } from "../result/result_schema.ts";
import { claimFile } from "../result/write_output.ts";
import { runCommand } from "./errors.ts";
import { newCommand, quietOption } from "./command.ts";
import { parseCommand } from "./parse_command.ts";

/** Missing cases that are named one by one. */
const MOST_NAMED = 20;

/** Runs the command and returns its exit code: 3 when cases are missing. */
export async function merge(args: readonly string[]): Promise<number> {
  const command = mergeCommand();
  if (!parseCommand(command, args)) return EXIT.fine;
  const { out, force, mixedMachines, quiet } = command.opts();
  const claim = await claimFile(out, { force });
  const shards: NamedResult[] = [];
  let merged: Merged;
  try {
    for (const name of command.processedArgs[0]) {
      shards.push({ name: plainText(name), result: await readResult(name) });
    }
    merged = await mergeResults(shards, { mixedMachines });
    await claim.write(`${JSON.stringify(resultSchema.parse(merged.result), null, 1)}\n`);
  } finally {
    await claim.release();
  }
  const { result, missing } = merged;
  const what = formatPlural(result.cases.length, "case");
  if (!quiet) {
    console.log(`Wrote ${plainText(out)}: ${what} of ${formatPlural(shards.length, "shard")}`);
  }
  for (const id of missing.slice(0, MOST_NAMED)) console.error(`missing: ${plainText(id)}`);
  if (missing.length > MOST_NAMED) {
    console.error(`missing: ${missing.length - MOST_NAMED} more`);
  }
  return missing.length > 0 || result.finishedAt === null ? EXIT.inconclusive : EXIT.fine;
}

/** The options of the command, unparsed. */
export function mergeCommand() {
  return newCommand("merge", {
    description: "Join the results of a plan's shards into one result.",
    examples: [
      ["merge shard-*/result.json --out result.json", "shards of one plan"],
    ],
  })
    .argument("<result...>", "results of bench or train with --shard i/n")
    .optionsGroup("Input:")
    .option("--mixed-machines", "accept shards of machines with different fingerprints")
    .optionsGroup("Output:")
    .requiredOption("--out <file>", "where to write the joined result")
    .option("--force", "overwrite the file that --out names")
    .addOption(quietOption());
}

if (import.meta.main) await runCommand("merge", () => merge(Deno.args));
