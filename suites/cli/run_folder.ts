/**
 * The folder that a run of the bench writes to.
 *
 * @module
 */
import { refuseOverwrite } from "../result/write_output.ts";

/** Folder of the first run where `--out` names none. */
export const DEFAULT_OUT = "out";

/** Files that a run leaves in its folder. */
const RUN_FILES = ["result.json", "report.html", "summary.md"] as const;

/** What the command line says about the folder. */
export interface FolderOptions {
  /** The folder that `--out` names. */
  readonly out?: string;
  /** Write over an earlier run. */
  readonly force?: boolean;
  /** Go on with the partial result of an earlier run. */
  readonly resume?: boolean;
}

/**
 * Decides before anything is measured where a run goes. A folder that `--out` names is taken as it
 * is. Without one the first run goes to `out`, later ones to `out/run-2`, `out/run-3`, …, so that
 * the same command can be given again and again; `resume` takes the newest of them, `force` `out`.
 *
 * @param options.home Where `out` lies. Default: the current folder.
 * @throws {OutputError} when a named folder has files of an earlier run, without `force`.
 */
export async function chooseFolder(
  { out, force = false, resume = false }: FolderOptions,
  { home }: { home?: string } = {},
): Promise<string> {
  if (out !== undefined) {
    await refuseOverwrite(RUN_FILES.map((name) => `${out}/${name}`), force || resume, {
      remedy: "--force overwrites it, --resume goes on with a partial result",
    });
    return out;
  }
  const first = home === undefined ? DEFAULT_OUT : `${home}/${DEFAULT_OUT}`;
  if (force && !resume) return first;
  let newest = first;
  for (let run = 1;; run++) {
    const folder = run === 1 ? first : `${first}/run-${run}`;
    if (!await hasRun(folder)) return resume ? newest : folder;
    newest = folder;
  }
}

async function hasRun(folder: string): Promise<boolean> {
  for (const name of RUN_FILES) {
    if (await Deno.lstat(`${folder}/${name}`).then(() => true, () => false)) return true;
  }
  return false;
}
