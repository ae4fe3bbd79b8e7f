/**
 * How much of a device's memory cases may take.
 *
 * @module
 */
import { showExcess } from "../../kernels/gpu/bytes.ts";
import type { ImplementationPlan } from "../../kernels/implementation.ts";

/** Share of the device's memory that a case may take; the rest is for the system and the driver. */
const MEMORY_SHARE = 0.9;

/**
 * Share of the machine's memory that a case may take if the device may have no memory of its own.
 */
const SYSTEM_MEMORY_SHARE = 0.5;

/** What is known about a device's memory, in bytes. */
export interface DeviceMemory {
  /** Null: unknown. */
  readonly deviceMemoryBytes: number | null;
  /** Memory of the machine. Default: unknown. */
  readonly systemMemoryBytes?: number;
}

/** Bytes that cases may take of a device's memory; null if that is unknown. */
export function memoryLimit(deviceMemoryBytes: number | null): number | null {
  return deviceMemoryBytes === null ? null : Math.floor(deviceMemoryBytes * MEMORY_SHARE);
}

/** The same, derived from the machine's memory if that of the device is unknown. */
export function usableMemory({ deviceMemoryBytes, systemMemoryBytes }: DeviceMemory): number {
  return memoryLimit(deviceMemoryBytes) ??
    (systemMemoryBytes ? Math.floor(systemMemoryBytes * SYSTEM_MEMORY_SHARE) : Infinity);
}

/** Why a plan does not fit the device's memory; undefined if it fits or the memory is unknown. */
export function lackOfMemory(
  { peakBytes }: Pick<ImplementationPlan, "peakBytes">,
  device: DeviceMemory,
): string | undefined {
  const limit = usableMemory(device);
  if (peakBytes <= limit) return undefined;
  const unknown = device.deviceMemoryBytes === null
    ? ", half of the machine's: the device does not report its memory"
    : "";
  const sizes = showExcess(peakBytes, limit);
  return `needs ${sizes.bytes} of device memory; the limit is ${sizes.limit}${unknown}`;
}
