/**
 * The machine, the tool and the measured code: everything that a reader needs to judge whether
 * two runs may be compared. Nothing here fails for lack of a permission or a program; what cannot
 * be determined is null.
 *
 * @module
 */
import { sha256 } from "../result/digest.ts";
import { cpus } from "node:os";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { show } from "../../kernels/gpu/require.ts";
import manifest from "../../deno.json" with { type: "json" };
import { cardOf, isNvidia, listNvidiaCards, type NvidiaCard } from "./nvidia.ts";
import { UsageError } from "../errors.ts";
import { runTool } from "./run_tool.ts";
import { deviceRecord } from "../result/device_record.ts";
import type { EnvironmentRecord, Result } from "../result/result_schema.ts";

/** Name, version and git state of this tool. */
export async function describeTool(): Promise<Result["tool"]> {
  const { version } = manifest;
  const name = "lighthouse-attention-bench";
  // A machine that received the files of a commit can be told which one: a repository that happens
  // to contain them says nothing about them.
  const told = allowed(() => Deno.env.get("LIGHTHOUSE_COMMIT"));
  if (told) return { name, version, commit: parseCommit(told), dirty: null };
  return { name, version, ...await describeRepository(new URL("../..", import.meta.url)) };
}

/**
 * A commit as git prints it, whole or abbreviated.
 *
 * @throws {UsageError} when the text is not one, such as the `ref: refs/heads/main` of a
 * `.git/HEAD`.
 */
export function parseCommit(text: string): string {
  if (/^[0-9a-f]{7,64}$/.test(text)) return text;
  throw new UsageError(
    `read LIGHTHOUSE_COMMIT: ${show(text)} is not a commit, 7 to 64 hexadecimal digits`,
  );
}

/**
 * Commit of a project's own repository and whether its files were changed, null if it has none: a
 * repository that merely contains the project's folder does not count. And where it was cloned
 * from, if that is a public host.
 */
export async function describeRepository(
  root: URL,
): Promise<Pick<Result["tool"], "commit" | "dirty" | "repository">> {
  // With an explicit path, git searches no parent folder and ignores the repository of a calling
  // hook.
  const git = (...args: string[]) =>
    runTool("git", ["--git-dir=.git", "--work-tree=.", ...args], root);
  const commit = await git("rev-parse", "--verify", "HEAD");
  const status = commit === null
    ? null
    : await git("status", "--porcelain", "--untracked-files=no");
  const origin = commit === null ? null : await git("remote", "get-url", "origin");
  const repository = publicAddress(origin ?? "");
  return {
    commit,
    dirty: status === null ? null : status !== "",
    ...(repository !== undefined && { repository }),
  };
}

/**
 * `https://github.com/OWNER/NAME` of a remote's address in any of git's forms, without what it may
 * hold of a person; undefined for other hosts, folders and whatever else.
 */
export function publicAddress(remote: string): string | undefined {
  const found =
    /^(?:(?:https?|ssh|git):\/\/(?:[^@/\s]*@)?github\.com(?::\d+)?\/|(?:[^@/\s]+@)?github\.com:)([\w.-]+)\/([\w.-]+?)(?:\.git)?\/?$/
      .exec(remote.trim());
  return found ? `https://github.com/${found[1]}/${found[2]}` : undefined;
}

/** Everything about the machine that affects its times. */
export async function describeEnvironment(gpu: Gpu): Promise<EnvironmentRecord> {
  const memoryBytes = systemMemory();
  const { driver, device, deviceMemoryBytes } = await findDevice(gpu);
  const cpu = allowed(() => cpus()[0]?.model.trim()) || "unknown";
  const record = {
    adapter: { ...gpu.adapter },
    device,
    driver,
    deviceMemoryBytes: gpu.adapter.software ? memoryBytes || null : deviceMemoryBytes,
    features: [...gpu.features],
    limits: { ...gpu.limits },
    os: `${Deno.build.os} ${allowed(() => Deno.osRelease()) ?? ""} ${Deno.build.arch}`
      .replace(/\s+/g, " "),
    cpu,
    cores: Math.max(1, navigator.hardwareConcurrency),
    memoryBytes,
    runtime: { ...Deno.version },
    packages: packageVersions(),
  };
  return { ...record, fingerprint: await fingerprintOf(record, gpu.stack) };
}

/** The parts of a fingerprint. */
export type FingerprintParts = Pick<
  EnvironmentRecord,
  "adapter" | "driver" | "runtime" | "cpu" | "cores" | "packages"
>;

/**
 * SHA-256 over the parts that decide absolute times: adapter, driver, stack and Deno's version, and
 * for adapters that compute on the processor its model and core count. Of the packages only Dawn
 * counts, and only if it ran.
 */
export function fingerprintOf(
  environment: FingerprintParts,
  stack: Gpu["stack"],
): Promise<string> {
  const { adapter, driver, runtime, cpu, cores, packages } = environment;
  const { vendor, architecture, device, description, software } = adapter;
  return sha256(JSON.stringify([
    { vendor, architecture, device, description },
    driver,
    stack,
    runtime.deno ?? runtime.browser,
    stack === "dawn" ? packages.webgpu ?? null : null,
    software ? [cpu, cores] : null,
  ]));
}

/**
 * SHA-256 over every shader and generator: all `.wgsl` and `.ts` files under `kernels/` except
 * tests, in order of their paths. Comments and blank lines of shaders and the kind of line ends do
 * not count. Null if they cannot be read.
 *
 * @param root the folder, ending with a slash. Default: the project's kernels.
 */
export async function hashKernels(
  root: URL = new URL("../../kernels/", import.meta.url),
): Promise<string | null> {
  try {
    const files = await listFiles(root, "");
    const parts: string[] = [];
    for (const file of files.filter(isKernelSource).sort()) {
      // Git on Windows checks texts out with other line ends; the code is the same.
      const text = (await Deno.readTextFile(new URL(file, root))).replaceAll("\r\n", "\n");
      parts.push(file, await sha256(file.endsWith(".wgsl") ? shaderCode(text) : text));
    }
    return parts.length === 0 ? null : await sha256(parts.join("\n"));
  } catch {
    return null;
  }
}

/**
 * A shader without its comments, the spaces at the ends of its lines and its blank lines.
 *
 * @example
 * ```ts
 * import { shaderCode } from "./environment.ts";
 * import assert from "node:assert/strict";
 * assert.equal(shaderCode("// one\n  a(); // b\n\nc();\n"), "  a();\nc();");
 * ```
 */
export function shaderCode(wgsl: string): string {
  let code = "";
  for (let i = 0, depth = 0; i < wgsl.length; i++) {
    const two = wgsl.slice(i, i + 2);
    if (depth === 0 && two === "//") {
      const end = wgsl.indexOf("\n", i);
      i = (end < 0 ? wgsl.length : end) - 1;
    } else if (two === "/*" || depth > 0 && two === "*/") {
      depth += two === "/*" ? 1 : -1;
      // A comment separates words like a space.
      if (depth === 0) code += " ";
      i++;
    } else if (depth === 0) code += wgsl[i];
  }
  return code.split("\n").map((line) => line.trimEnd()).filter(Boolean).join("\n");
}

/**
 * Versions of the npm packages in deno.json.
 *
 * @example
 * ```ts
 * import { packageVersions } from "./environment.ts";
 * import assert from "node:assert/strict";
 * assert.match(packageVersions().zod, /^4\./);
 * ```
 */
export function packageVersions(): Record<string, string> {
  const versions: Record<string, string> = {};
  for (const specifier of Object.values(manifest.imports)) {
    const found = /^npm:((?:@[^/]+\/)?[^@/]+)@([^/]+)/.exec(specifier);
    if (found) versions[found[1]] = found[2];
  }
  return versions;
}

/** The GPU, its driver and its memory, as far as the machine's own tools report them. */
async function findDevice(
  { adapter }: Pick<Gpu, "adapter">,
): Promise<Pick<EnvironmentRecord, "device" | "driver" | "deviceMemoryBytes">> {
  if (isNvidia(adapter)) {
    const cards = await listNvidiaCards();
    if (cards.length > 0) return nvidiaDevice(adapter, cards);
  }
  const summary = await runTool("vulkaninfo", ["--summary"]);
  const name = summary === null ? null : vulkanDriver(summary, adapter.description);
  // llvmpipe reports its LLVM and nothing about Mesa; that is still better than no version.
  const driver = name ?? (adapter.description || null);
  return { device: deviceRecord({ adapter, driver }), driver, deviceMemoryBytes: null };
}

/** What the driver's own tool reports about the card of an adapter. */
export function nvidiaDevice(
  adapter: Gpu["adapter"],
  cards: readonly NvidiaCard[],
): Pick<EnvironmentRecord, "device" | "driver" | "deviceMemoryBytes"> {
  const card = cardOf(adapter, cards);
  const driver = `NVIDIA ${cards[0].driver}`;
  // Vulkan uses one of several equal cards without saying which.
  const only = cards.filter(({ name }) => name === card?.name).length === 1;
  return {
    device: deviceRecord({ adapter, driver }, { card, only }),
    driver,
    deviceMemoryBytes: (card ?? cards[0]).memoryBytes,
  };
}

/** Name and version of the driver of one device in the output of `vulkaninfo --summary`. */
export function vulkanDriver(summary: string, description: string): string | null {
  for (const device of summary.split(/^GPU\d+:/m).slice(1)) {
    const field = (name: string) =>
      new RegExp(`^\\s*${name}\\s*=\\s*(.+?)\\s*$`, "m").exec(device)?.[1];
    if (field("deviceName") !== description) continue;
    const name = [field("driverName"), field("driverInfo")].filter(Boolean).join(" ");
    return name || null;
  }
  return null;
}

function systemMemory(): number {
  return allowed(() => Deno.systemMemoryInfo().total) ?? 0;
}

/** The value, or undefined without the permission for it. */
function allowed<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

function isKernelSource(path: string): boolean {
  return path.endsWith(".wgsl") || path.endsWith(".ts") && !path.endsWith("_test.ts");
}

async function listFiles(root: URL, folder: string): Promise<string[]> {
  const files: string[] = [];
  for await (const entry of Deno.readDir(new URL(folder || ".", root))) {
    const path = folder + entry.name;
    if (entry.isDirectory) files.push(...await listFiles(root, `${path}/`));
    else files.push(path);
  }
  return files;
}
