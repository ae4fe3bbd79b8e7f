/**
 * The folder that the user typed a command in.
 *
 * @module
 */
import { fileURLToPath } from "node:url";

/**
 * Goes back to the folder in which `deno task` was typed, which it leaves for the project's root,
 * so that every relative path of a command line means what the user meant. A process that was
 * started in another way stays where it is.
 *
 * `deno task` and npm leave INIT_CWD as they find it, so that inside another task or npm script it
 * is the folder of the outermost one, whatever that one changed to since. A process cannot see the
 * folder that its own task was typed in without all permissions; `env -u INIT_CWD deno task …`
 * starts anew.
 */
export function enterUserFolder(): void {
  try {
    const typed = Deno.env.get("INIT_CWD");
    const root = fileURLToPath(new URL("../..", import.meta.url));
    // The variable reaches whatever a task starts, in whichever folder.
    if (typed && Deno.realPathSync(Deno.cwd()) === Deno.realPathSync(root)) Deno.chdir(typed);
  } catch {
    // No permission for the variable, or the folder is gone.
  }
}
