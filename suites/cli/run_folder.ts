/**
 * The folder that a run of the bench writes to.
 *
 * @module
 */
import { UsageError } from "../errors.ts";
import {
  claimFolder,
  type FolderClaim,
  refuseOverwrite,
  tryClaimFolder,
} from "../result/write_output.ts";

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
 * Decides before anything is measured where a run goes, and claims that folder. A folder that
 * `--out` names is taken as it is. Without one the first run goes to `out`, later ones to
 * `out/run-2`, `out/run-3`, …, so that the same command can be given again and again, also while
 * another is at work; `resume` takes the newest of them, `force` `out`.
 *
 * @param options.home Where `out` lies. Default: the current folder.
 * @throws {OutputError} when another process writes to the folder that has to be taken, or a named
 * one has files of an earlier run, without `force`.
 */
export async function chooseFolder(
  { out, force = false, resume = false }: FolderOptions,
  { home }: { home?: string } = {},
): Promise<FolderClaim> {
  if (out === "") throw new UsageError("--out is empty: it takes the name of a folder");
  const first = home === undefined ? DEFAULT_OUT : `${home}/${DEFAULT_OUT}`;
  const named = out ?? (force && !resume ? first : undefined);
  if (named !== undefined) {
    const check = () =>
      refuseOverwrite(RUN_FILES.map((name) => `${named}/${name}`), force || resume, {
        remedy: "--force overwrites it, --resume continues a partial result",
      });
    return await claimFolder(named, { check });
  }
  let newest = first;
  for (let run = 1;; run++) {
    const folder = run === 1 ? first : `${first}/run-${run}`;
    if (await hasRun(folder)) {
      newest = folder;
      continue;
    }
    if (resume) return await claimFolder(newest);
    const claim = await tryClaimFolder(folder);
    // Since it was looked at, a run may have begun there, and even ended.
    if (claim && !await hasRun(folder)) return claim;
    await claim?.release();
  }
}

async function hasRun(folder: string): Promise<boolean> {
  for (const name of RUN_FILES) {
    if (await Deno.lstat(`${folder}/${name}`).then(() => true, () => false)) return true;
  }
  return false;
}
