/**
 * The memory plan of cases, without running or allocating anything: every buffer with its bytes,
 * the peak, the minimum that inputs and outputs take, and whether it fits.
 *
 * @module
 */
import type { Capabilities } from "../../kernels/gpu/device.ts";
import type { ImplementationPlan } from "../../kernels/implementation.ts";
import { leastBytes } from "./case_record.ts";
import type { Measurable } from "./measurable.ts";
import { refuseImpossible, startPlanning } from "./grid.ts";
import { memoryLimit } from "./memory_limit.ts";
import type { PlanOptions } from "./plan_options.ts";
import type { PlannedDevice } from "./planned_case.ts";

/** The device that a memory plan is for. */
export interface MemoryDevice extends PlannedDevice {
  /** Name for people: which device, and whether it was assumed. */
  readonly description: string;
}

/** The memory plan of one case. */
export interface CaseMemory {
  /** As in its case ids, without the suite: `lighthouse-norm/forward/N8192-…`. */
  readonly name: string;
  /** Absent when the case cannot be computed; then `reason` says why. */
  readonly buffers?: ImplementationPlan["buffers"];
  readonly peakBytes: number;
  readonly leastBytes: number;
  readonly headsPerBlock: number;
  readonly fits: boolean;
  readonly reason?: string;
}

/** Limits of Deno's stack on an H100 of 80 GB, for machines without a GPU. */
export const ASSUMED_DEVICE: MemoryDevice = {
  description: "an NVIDIA H100 of 80 GB, assumed",
  deviceMemoryBytes: 81559 * 2 ** 20,
  adapter: {
    vendor: "4318",
    architecture: "",
    device: "",
    description: "NVIDIA H100",
    isFallbackAdapter: false,
    software: false,
  },
  capabilities: {
    f16: true,
    subgroups: true,
    subgroupMinSize: 32,
    subgroupMaxSize: 32,
    timestamps: true,
    subgroupMatrix: [],
    subgroupsDirective: "",
    maxBindingBytes: 2 ** 31 - 4,
    maxBufferBytes: 2 ** 48,
    maxWorkgroupBytes: 49152,
    maxInvocations: 1024,
    maxWorkgroupsPerDimension: 65535,
    maxStorageBuffers: 16,
    storageAlignment: 32,
  } satisfies Capabilities,
};

/**
 * Plans the layers that `bench` would time with these options.
 *
 * @throws {UsageError} one line, when nothing that was requested can be computed.
 *
 * @example
 * ```ts
 * import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
 * import { ASSUMED_DEVICE, planMemory } from "./memory_plan.ts";
 * import assert from "node:assert/strict";
 * const [dense] = planMemory({ profile: "paper", contexts: [524288] }, ASSUMED_DEVICE, IMPLEMENTATIONS);
 * // Q, K, V and the output in f16, and the log-sum-exp of 8 heads.
 * assert.equal(dense.peakBytes, 4 * 524288 * 8 * 128 * 2 + 524288 * 8 * 4);
 * ```
 */
export function planMemory(
  options: PlanOptions,
  device: MemoryDevice,
  registry: readonly Measurable[],
): CaseMemory[] {
  // Layers that do not fit are shown too, with the bytes that are missing.
  const unlimited = { ...device, deviceMemoryBytes: null };
  const planning = startPlanning(options, unlimited, registry);
  refuseImpossible(planning);
  const limit = memoryLimit(device.deviceMemoryBytes) ?? Infinity;
  return planning.grid.map((entry) => {
    const { id, plan, problem, skip } = entry;
    const peakBytes = plan?.peakBytes ?? 0;
    return {
      name: id,
      ...(plan && { buffers: plan.buffers }),
      peakBytes,
      leastBytes: leastBytes(problem),
      headsPerBlock: plan?.headsPerBlock ?? 0,
      fits: plan !== undefined && peakBytes <= limit,
      ...(skip !== undefined && { reason: skip }),
    };
  });
}

/** What a plan is for, one line. */
export function describeLimit(
  { description, capabilities, deviceMemoryBytes }: MemoryDevice,
  { bytes }: { bytes: (bytes: number) => string },
): string {
  const limit = memoryLimit(deviceMemoryBytes);
  return `planned for ${description}: bindings to ${bytes(capabilities.maxBindingBytes)}, ` +
    (limit === null ? "memory unknown" : `${bytes(limit)} of its memory may be used`);
}

/** Lines for a terminal. */
export function describeMemory(
  cases: readonly CaseMemory[],
  options: { device: MemoryDevice; bytes: (bytes: number) => string },
): string[] {
  const { device, bytes } = options;
  const limit = memoryLimit(device.deviceMemoryBytes);
  const lines = [describeLimit(device, options)];
  for (const entry of cases) {
    const { name, buffers, peakBytes, leastBytes, headsPerBlock, fits, reason } = entry;
    lines.push("", name);
    if (!buffers) {
      lines.push(`  cannot be computed: ${reason}`);
      continue;
    }
    const width = Math.max(...buffers.map((buffer) => buffer.name.length), 12);
    const line = (label: string, value: number) =>
      `  ${label.padEnd(width)}  ${bytes(value).padStart(9)}`;
    for (const buffer of buffers) {
      lines.push(`${line(buffer.name, buffer.bytes)}  ${buffer.bytes}`);
    }
    const share = (peakBytes / leastBytes).toFixed(2);
    lines.push(
      `${line("peak", peakBytes)}  ${peakBytes}, ${share} times the least`,
      `${line("least", leastBytes)}  ${leastBytes}, inputs and outputs alone`,
      `  in blocks of ${headsPerBlock} heads; ${
        fits ? "fits" : `does not fit: ${bytes(peakBytes - (limit ?? 0))} too much`
      }`,
    );
  }
  return lines;
}
