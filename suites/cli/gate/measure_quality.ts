/**
 * `deno task gate-quality`: measures the gate's own quality and writes `fixtures/gate/quality.json`
 * (two files) and `fixtures/gate/paired_quality.json` (two revisions in turns). With
 * `--record SECONDS` turns of this checkout against itself are recorded on this machine first. All of
 * them are there already, so that it takes `--force`.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { allRows } from "../../../reports/gate/measure_quality.ts";
import { UsageError } from "../../errors.ts";
import { runCommand } from "../errors.ts";
import { refuseOverwrite } from "../../result/write_output.ts";
import { allPairedRows, type NamedPairedRow } from "./paired_quality.ts";
import { type RecordedTurns, recordTurns } from "./record_turns.ts";

/** What `fixtures/gate/paired_quality.json` holds. */
export interface PairedQuality {
  readonly recordedAt: string;
  readonly device: string;
  readonly cases: readonly string[];
  readonly blocks: number;
  readonly rows: readonly NamedPairedRow[];
  /** A few studies that the tests repeat. */
  readonly repeated: readonly NamedPairedRow[];
}

/** Studies of each case. */
const STUDIES = 50;

/** What the tests repeat: enough to notice a change of the method. */
export const REPEATED = { studies: 3, most: 6 } as const;

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
      save: (recorded) => Deno.writeTextFile(turns, `${JSON.stringify(recorded)}\n`),
    });
  }
  const recorded: RecordedTurns = JSON.parse(await Deno.readTextFile(turns));
  const { recordedAt, device, cases, blocks } = recorded;
  const quality: PairedQuality = {
    recordedAt,
    device,
    cases,
    blocks: blocks.length,
    rows: allPairedRows(recorded, { studies: STUDIES }),
    repeated: allPairedRows(recorded, REPEATED),
  };
  const write = (name: string, value: unknown) =>
    Deno.writeTextFile(new URL(name, FOLDER), `${JSON.stringify(value, null, 1)}\n`);
  await write("paired_quality.json", quality);
  console.table(quality.rows.map(({ detection, ...row }) => ({ ...row, ...detection })));
  await write("quality.json", allRows());
  return 0;
}

if (import.meta.main) await runCommand("gate-quality", main);
