/**
 * `deno task gate-quality`: measures the gate's own quality, writes `fixtures/gate/quality.json`
 * (two files) and `fixtures/gate/paired_quality.json` (two revisions in turns), and puts the tables
 * of both into `reports/gate/GATE.md`. With `--record SECONDS` turns of this checkout against
 * itself are recorded on this machine first. All of them are there already, so that it takes
 * `--force`.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { measureAll, type Quality, renderQuality } from "../../../reports/gate/measure_quality.ts";
import { UsageError } from "../../errors.ts";
import { runCommand } from "../errors.ts";
import { refuseOverwrite, replaceFile } from "../../result/write_output.ts";
import {
  measurePairedSetting,
  measureRecordedTurns,
  PAIRED_GRID,
  type PairedQuality,
} from "./paired_quality.ts";
import { renderPairedQuality } from "./render_paired_quality.ts";
import { type RecordedTurns, recordTurns } from "./record_turns.ts";

/** Studies of each setting, and of the recorded turns. */
const STUDIES = 200;

const FOLDER = new URL("../../../fixtures/gate/", import.meta.url);

async function main(): Promise<number> {
  const [option, seconds, ...more] = Deno.args.filter((word) => word !== "--force");
  const turns = new URL("paired_turns.json", FOLDER);
  if (
    option !== undefined && (option !== "--record" || !(Number(seconds) > 0) || more.length > 0)
  ) {
    throw new UsageError(
      `gate-quality takes --record SECONDS and --force, not ${Deno.args.join(" ")}`,
    );
  }
  const written = ["paired_quality.json", "quality.json"].map((name) => new URL(name, FOLDER));
  if (option !== undefined) written.unshift(turns);
  await refuseOverwrite(written.map((url) => fileURLToPath(url)), Deno.args.includes("--force"));
  if (option !== undefined) {
    await recordTurns({
      seconds: Number(seconds),
      save: (recorded) => replaceFile(fileURLToPath(turns), `${JSON.stringify(recorded)}\n`),
    });
  }
  const recorded: RecordedTurns = JSON.parse(await Deno.readTextFile(turns));
  const say = (line: string) => console.error(line);
  const { recordedAt, device, cases } = recorded;
  const paired: PairedQuality = {
    recordedAt,
    device,
    cases,
    grid: PAIRED_GRID.flatMap((setting) =>
      measurePairedSetting(setting, { studies: STUDIES }).map((row) => ({ ...setting, ...row }))
    ),
    recorded: measureRecordedTurns(recorded, { studies: STUDIES }),
  };
  await replaceFile(fileURLToPath(new URL("paired_quality.json", FOLDER)), inLines(paired));
  const quality = measureAll(say);
  await replaceFile(fileURLToPath(new URL("quality.json", FOLDER)), inLines(quality));
  const page = fileURLToPath(new URL("../../../reports/gate/GATE.md", import.meta.url));
  await replaceFile(page, withTables(await Deno.readTextFile(page), { quality, paired }));
  const formatted = await new Deno.Command("deno", { args: ["fmt", "--quiet", page] }).output();
  return formatted.success ? 0 : 1;
}

/** JSON with a line for each row. */
function inLines(parts: object): string {
  const fields = Object.entries(parts).map(([name, value]) => {
    const rows = Array.isArray(value)
      ? `[\n${value.map((row) => `  ${JSON.stringify(row)}`).join(",\n")}\n ]`
      : JSON.stringify(value);
    return ` ${JSON.stringify(name)}: ${rows}`;
  });
  return `{\n${fields.join(",\n")}\n}\n`;
}

/** The page with the tables between its marks. */
export function withTables(
  page: string,
  { quality, paired }: { quality: Quality; paired: PairedQuality },
): string {
  const put = (text: string, mark: string, tables: string) => {
    const parts = text.split(`<!-- ${mark} -->`);
    if (parts.length !== 3) throw new Error(`GATE.md has ${parts.length - 1} marks ${mark}, not 2`);
    return [parts[0], `\n\n${tables}\n\n`, parts[2]].join(`<!-- ${mark} -->`);
  };
  return put(put(page, "quality", renderQuality(quality)), "paired", renderPairedQuality(paired));
}

if (import.meta.main) await runCommand("gate-quality", main);
