/**
 * The command line of `deno task report`.
 *
 * @module
 */
import { runCommand } from "./errors.ts";
import { report } from "./report_command.ts";

if (import.meta.main) await runCommand("report", () => report(Deno.args));
