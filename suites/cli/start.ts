/**
 * `start NAME [ARGUMENT…]`: what `deno task NAME` runs. Starts `NAME.ts` of this folder, which may be
 * in one below it, with the permission set of the file's name in `deno.json`, and passes on signals
 * and the exit code.
 *
 * Deno reads a permission set by itself (`deno run -P=NAME`), but not paths that depend on the
 * machine. So an `ffi` entry `$DAWN` or `$CUDA` is replaced here.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import manifest from "../../deno.json" with { type: "json" };
import { libraryPaths } from "../device/native_libraries.ts";

/** Backends of Deno's own WebGPU. OpenGL is left out: it has no compute limits that suffice. */
const BACKENDS = "vulkan,metal,dx12";

/** Signals that are passed on. A terminal sends SIGINT to the command as well; both are one request. */
const SIGNALS: readonly Deno.Signal[] = Deno.build.os === "windows"
  ? ["SIGINT", "SIGBREAK"]
  : ["SIGINT", "SIGTERM", "SIGHUP"];

/** A permission set of `deno.json`. */
interface PermissionSet {
  readonly ffi?: readonly string[];
}

/** A command that has a permission set. */
export type StartedCommand = keyof typeof manifest.permissions;

/** Flags of `deno run` or `deno test` that grant the permission set of a name, and nothing else. */
export function permissionFlags(name: StartedCommand): string[] {
  const { ffi } = manifest.permissions[name] as PermissionSet;
  const config = fileURLToPath(new URL("../../deno.json", import.meta.url));
  const flags = [`--config=${config}`, "--no-prompt", `--permission-set=${name}`];
  if (ffi === undefined) return flags;
  const paths = ffi.flatMap((entry) => libraryPaths(entry));
  // An empty list would allow every library.
  return [...flags, paths.length > 0 ? `--allow-ffi=${paths.join(",")}` : "--deny-ffi"];
}

/** Environment of a process that uses the device; a choice of the user stays. */
export function deviceEnvironment(): Record<string, string> {
  return { DENO_WEBGPU_BACKEND: Deno.env.get("DENO_WEBGPU_BACKEND") ?? BACKENDS };
}

/** Runs Deno to its end and returns its exit code; signals go to it. */
export async function runDeno(
  args: readonly string[],
  { env }: { env: Record<string, string> },
): Promise<number> {
  const streams = { stdin: "inherit", stdout: "inherit", stderr: "inherit" } as const;
  const options = { ...streams, args: [...args], env };
  const child = new Deno.Command(Deno.execPath(), options).spawn();
  const listeners = SIGNALS.map((signal) => {
    const pass = () => {
      try {
        child.kill(signal);
      } catch {
        // It has ended meanwhile.
      }
    };
    Deno.addSignalListener(signal, pass);
    return () => Deno.removeSignalListener(signal, pass);
  });
  try {
    return (await child.status).code;
  } finally {
    listeners.forEach((remove) => remove());
  }
}

if (import.meta.main) {
  const [path, ...args] = Deno.args;
  const script = fileURLToPath(new URL(`${path}.ts`, import.meta.url));
  const flags = permissionFlags(path.split("/").at(-1) as StartedCommand);
  Deno.exit(
    await runDeno(["run", "--quiet", ...flags, script, ...args], { env: deviceEnvironment() }),
  );
}
