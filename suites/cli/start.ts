/**
 * `start NAME [ARGUMENT…]`: what `deno task NAME` runs. Starts `NAME.ts` of this folder, which may
 * be in one below it, with the permission set of the file's name in `deno.json`, and passes on
 * signals and the exit code.
 *
 * Deno reads a permission set by itself (`deno run -P=NAME`), but not paths that depend on the
 * machine. So an `ffi` entry `$DAWN` or `$CUDA` is replaced here.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import manifest from "../../deno.json" with { type: "json" };
import { libraryPaths } from "../device/native_libraries.ts";
import { DawnWarnings } from "./dawn_warnings.ts";
import { standardError } from "./streams.ts";

/** Backends of Deno's own WebGPU. OpenGL is left out: it has no compute limits that suffice. */
const BACKENDS = "vulkan,metal,dx12";

/**
 * Signals that are passed on. A terminal sends SIGINT to the command as well; both are one request.
 */
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

/** How long the end of a command's stderr is waited for after the command's. */
const LATE_MILLISECONDS = 2000;

/** Passes on what a command says on stderr, without what Dawn says there by itself. */
async function sift(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  { quiet }: { quiet: boolean },
): Promise<void> {
  const dawn = new DawnWarnings({ quiet });
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    const kept = dawn.keep(lines);
    if (kept.length > 0) standardError.write(`${kept.join("\n")}\n`);
  }
  for (const line of dawn.keep(rest === "" ? [] : [rest])) standardError.write(line);
}

/** Runs Deno to its end and returns its exit code; signals go to it. */
export async function runDeno(
  args: readonly string[],
  { env }: { env: Record<string, string> },
): Promise<number> {
  const quiet = args.includes("-q") || args.lastIndexOf("--quiet") > args.indexOf("--quiet");
  // A command rewrites its line on a terminal, which it must see.
  const sifted = quiet || !Deno.stderr.isTerminal();
  const options: Deno.CommandOptions = {
    stdin: "inherit",
    stdout: "inherit",
    stderr: sifted ? "piped" : "inherit",
    args: [...args],
    env,
  };
  const child = new Deno.Command(Deno.execPath(), options).spawn();
  const sifting = sifted ? sift(child.stderr, { quiet }) : Promise.resolve();
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
    const { code } = await child.status;
    // What the command started may outlive it and keep the stream open.
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise((resolve) => timer = setTimeout(resolve, LATE_MILLISECONDS));
    await Promise.race([sifting, late]);
    clearTimeout(timer);
    return code;
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
