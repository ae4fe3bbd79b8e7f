/**
 * Runs a program of the machine for its output.
 *
 * @module
 */

/** Output of a program, trimmed; null if it is missing, fails, or may not be run. */
export async function runTool(name: string, args: string[], cwd?: URL): Promise<string | null> {
  const attempt = async (environment: Pick<Deno.CommandOptions, "clearEnv" | "env">) => {
    const options = { args, cwd, stdout: "piped", stderr: "null", ...environment } as const;
    const { success, stdout } = await new Deno.Command(name, options).output();
    return success ? new TextDecoder().decode(stdout).trim() : null;
  };
  try {
    return await attempt({});
  } catch (error) {
    // Deno refuses to pass on LD_LIBRARY_PATH without permission to run everything.
    if (!(error instanceof Deno.errors.NotCapable)) return null;
    const path = pathVariable();
    return await attempt({ clearEnv: true, env: path ? { PATH: path } : {} }).catch(() => null);
  }
}

function pathVariable(): string | undefined {
  try {
    return Deno.env.get("PATH");
  } catch {
    return undefined; // no permission for it
  }
}
