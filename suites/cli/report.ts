/**
 * The command line of `deno task report`.
 *
 * @module
 */
import { runReportCommand } from "./report_command.ts";

if (import.meta.main) Deno.exit(await runReportCommand(Deno.args));
