/**
 * A machine without a GPU and without any Vulkan driver can still run everything on Mesa's software
 * driver. This module makes it available: it installs the driver if the process may
 * install packages, and otherwise names the one command that does.
 *
 * The decision is made before this thread requests its first adapter: WebGPU keeps the list of
 * drivers that it finds first, so a driver that is installed later is not seen. A worker has its
 * own list, so adapters are tried there.
 *
 * @module
 */
import { EXIT } from "../errors.ts";

/** No adapter, and no permission or way to install one. One line with the command; exit code 5. */
export class DriverError extends Error {
  override readonly name = "DriverError";
  readonly exitCode = EXIT.nothingMeasured;
}

/** What the decision needs to know about the machine, and its one action. */
export interface DriverSystem {
  /** `Deno.build.os`. */
  readonly os: string;
  /** Effective user; null where it is unknown. */
  readonly uid: number | null;
  /** Text of `/etc/os-release`, empty where there is none. */
  readonly osRelease: string;
  /** Name of the environment variable that selects drivers, if one is set. */
  readonly driverVariable: string | null;
  /** Whether Mesa's software driver and the Vulkan loader are installed at their usual paths. */
  readonly hasSoftwareDriver: () => Promise<boolean>;
  /** Whether a fresh WebGPU instance finds an adapter. */
  readonly findsAdapter: () => Promise<boolean>;
  /** Runs a program quietly. Returns null, or the last line of its error output. */
  readonly run: (program: string, args: readonly string[]) => Promise<string | null>;
}

/** Options of {@linkcode ensureDriver}. */
export interface EnsureDriverOptions {
  /** False: never install, only name the command. Default true. */
  install?: boolean;
  /** Receives the one line about an installation. Default: nothing. */
  say?: (line: string) => void;
  /** Default: this machine. */
  system?: DriverSystem;
}

const APT_PACKAGES = ["mesa-vulkan-drivers", "libvulkan1"];

/** Package commands by `ID` and `ID_LIKE` of os-release. */
const COMMANDS: readonly (readonly [RegExp, string])[] = [
  [/debian|ubuntu/, `apt-get install -y ${APT_PACKAGES.join(" ")}`],
  [/fedora|rhel|centos/, "dnf install -y mesa-vulkan-drivers vulkan-loader"],
  [/arch/, "pacman -S --needed vulkan-swrast vulkan-icd-loader"],
  [/alpine/, "apk add mesa-vulkan-swrast vulkan-loader"],
  [/suse/, "zypper install libvulkan_lvp libvulkan1"],
];

/**
 * The command that installs a software Vulkan driver, from the text of `/etc/os-release`; undefined
 * for an unknown distribution.
 *
 * @example
 * ```ts
 * import { installCommand } from "./install_driver.ts";
 * import assert from "node:assert/strict";
 * assert.equal(
 *   installCommand("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", 1000),
 *   "sudo apt-get install -y mesa-vulkan-drivers libvulkan1",
 * );
 * ```
 */
export function installCommand(osRelease: string, uid: number | null): string | undefined {
  const found = COMMANDS.find(([pattern]) => pattern.test(distribution(osRelease)));
  return found && `${uid === 0 ? "" : "sudo "}${found[1]}`;
}

/**
 * Makes sure that an adapter can be found, by installing the software driver if necessary.
 *
 * @returns whether anything was installed.
 * @throws {DriverError} one line with the command to run, when there is no adapter and nothing may
 * be installed, or the installation failed.
 */
export async function ensureDriver(options: EnsureDriverOptions = {}): Promise<boolean> {
  const { install = true, say = () => {} } = options;
  const system = options.system ?? thisMachine();
  // Elsewhere WebGPU comes with the operating system.
  if (system.os !== "linux") return false;
  if (system.driverVariable !== null) {
    if (await system.findsAdapter()) return false;
    throw new DriverError(
      `no WebGPU adapter with the drivers that ${system.driverVariable} names; unset it to use others`,
    );
  }
  if (await system.hasSoftwareDriver() || await system.findsAdapter()) return false;
  const command = installCommand(system.osRelease, system.uid);
  if (command === undefined) {
    throw new DriverError(
      "no WebGPU adapter: install a Vulkan driver (Mesa's software driver lavapipe runs anywhere)",
    );
  }
  const apt = /apt-get/.test(command);
  if (!install || !apt || system.uid !== 0) {
    throw new DriverError(`no WebGPU adapter: install a Vulkan driver with: ${command}`);
  }
  say(`no WebGPU adapter: installing the software driver: ${command}`);
  // A machine that was never updated has no package lists; one that is offline keeps its old ones.
  const update = await system.run("apt-get", ["update", "-qq"]);
  const args = ["install", "-y", "-qq", "--no-install-recommends", ...APT_PACKAGES];
  const failure = await system.run("apt-get", args);
  if (failure !== null) {
    throw new DriverError(`no WebGPU adapter, and ${command} failed: ${failure || update}`);
  }
  if (!await system.findsAdapter()) {
    throw new DriverError("no WebGPU adapter, even after installing the software driver");
  }
  return true;
}

/** The machine that this runs on. */
export function thisMachine(): DriverSystem {
  return {
    os: Deno.build.os,
    uid: attempt(() => Deno.uid()) ?? null,
    osRelease: attempt(() => Deno.readTextFileSync("/etc/os-release")) ?? "",
    driverVariable:
      ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].find((name) => attempt(() => Deno.env.get(name))) ??
        null,
    hasSoftwareDriver: async () =>
      await anyFile(ICD_FOLDERS, /^lvp_icd.*\.json$/) &&
      await anyFile(libraryFolders(), /^libvulkan\.so\.1/),
    findsAdapter,
    run: runQuietly,
  };
}

const ICD_FOLDERS = [
  "/usr/share/vulkan/icd.d",
  "/etc/vulkan/icd.d",
  "/usr/local/share/vulkan/icd.d",
  "/usr/local/etc/vulkan/icd.d",
];

function libraryFolders(): string[] {
  const machine = `${Deno.build.arch}-linux-gnu`;
  return [`/usr/lib/${machine}`, `/lib/${machine}`, "/usr/lib64", "/usr/lib", "/usr/local/lib"];
}

async function anyFile(folders: readonly string[], pattern: RegExp): Promise<boolean> {
  for (const folder of folders) {
    try {
      for await (const { name } of Deno.readDir(folder)) {
        if (pattern.test(name)) return true;
      }
    } catch {
      // The file is missing, or cannot be read.
    }
  }
  return false;
}

/** Requests an adapter in a worker, so that this thread's WebGPU stays untouched. */
function findsAdapter(): Promise<boolean> {
  const url = new URL("./install_driver/adapter_worker.ts", import.meta.url);
  const worker = new Worker(url, { type: "module" });
  return new Promise<boolean>((resolve) => {
    worker.onmessage = ({ data }) => resolve(data === true);
    worker.onerror = (event) => {
      event.preventDefault();
      resolve(false);
    };
  }).finally(() => worker.terminate());
}

async function runQuietly(program: string, args: readonly string[]): Promise<string | null> {
  try {
    const command = new Deno.Command(program, {
      args: [...args],
      env: { DEBIAN_FRONTEND: "noninteractive" },
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    });
    const { success, stderr } = await command.output();
    if (success) return null;
    return new TextDecoder().decode(stderr).trim().split("\n").at(-1)!.trim();
  } catch (error) {
    return error instanceof Error ? error.message.split("\n", 1)[0] : String(error);
  }
}

function distribution(osRelease: string): string {
  const field = (name: string) =>
    new RegExp(`^${name}=(.*)$`, "m").exec(osRelease)?.[1].replaceAll(/["']/g, "") ?? "";
  return `${field("ID")} ${field("ID_LIKE")}`.toLowerCase();
}

/** The value, or undefined if it is unavailable or may not be read. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
