/**
 * Starts another program.
 *
 * @module
 */

/**
 * Deno starts no program while LD_LIBRARY_PATH is set, unless it may run everything. The variable
 * is removed while the program starts; the Python side restores it for itself, since CUDA may need
 * it.
 */
export function startProcess(program: string, args: string[]): Deno.ChildProcess {
  const libraries = readVariable("LD_LIBRARY_PATH");
  const options = { args, stdin: "piped", stdout: "piped", stderr: "piped" } as const;
  if (!libraries) return new Deno.Command(program, options).spawn();
  const env = { LIGHTHOUSE_LIBRARY_PATH: libraries };
  Deno.env.delete("LD_LIBRARY_PATH");
  try {
    return new Deno.Command(program, { ...options, env }).spawn();
  } finally {
    Deno.env.set("LD_LIBRARY_PATH", libraries);
  }
}

function readVariable(name: string): string | undefined {
  try {
    return Deno.env.get(name);
  } catch {
    return undefined;
  }
}
