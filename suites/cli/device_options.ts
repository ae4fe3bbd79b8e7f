/**
 * Options of several commands about the device that they open.
 *
 * @module
 */
import { Option } from "@commander-js/extra-typings";
import { STACKS } from "../device/open_stack.ts";

/** `--stack`: which WebGPU implementation runs the kernels. */
export function stackOption() {
  return new Option(
    "--stack <name>",
    "WebGPU implementation: Deno's own, Dawn from npm, or auto: Dawn on a GPU where it works",
  ).choices(STACKS).default("auto" as const);
}

/** `--no-install`: leave the system's packages alone. */
export function noInstallOption() {
  return new Option("--no-install", "do not install a missing driver, only name it");
}

/** `--keep-warm`: by whatever means there are, also on devices where none is known to help. */
export function keepWarmOption() {
  return new Option(
    "--keep-warm",
    "keep the device's clock up between samples, without changing a setting; default: on NVIDIA",
  );
}

/** `--no-keep-warm`: leave the clock alone. */
export function noKeepWarmOption() {
  return new Option("--no-keep-warm", "leave the device's clock alone");
}
