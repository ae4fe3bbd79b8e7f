/**
 * How much of a device's memory cases may take.
 *
 * @module
 */
import { showExcess } from "../../kernels/gpu/bytes.ts";
import type { ImplementationPlan } from "../../kernels/implementation.ts";

/** Share of the device's memory that a case may take: the rest is the system's and the driver's. */
const MEMORY_SHARE = 0.9;

/** Share of the machine's memory that a case may take of a device that may have none of its own. */
const SYSTEM_MEMORY_SHARE = 0.5;

/** What is known of a device's memory, bytes. */
export interface DeviceMemory {
  /** Null: unknown. */
  readonly deviceMemoryBytes: number | null;
  /** Memory of the machine. Default: unknown. */
  readonly systemMemoryBytes?: number;
}

/** Bytes that cases may take of a device's memory; null where that is not known. */
export function memoryLimit(deviceMemoryBytes: number | null): number | null {
  return deviceMemoryBytes === null ? null : Math.floor(deviceMemoryBytes * MEMORY_SHARE);
}

/** The same, by the machine's memory where that of the device is not known. */
export function usableMemory({ deviceMemoryBytes, systemMemoryBytes }: DeviceMemory): number {
  return memoryLimit(deviceMemoryBytes) ??
    (systemMemoryBytes ? Math.floor(systemMemoryBytes * SYSTEM_MEMORY_SHARE) : Infinity);
}

/** Why a plan does not fit the device's memory; undefined where it does, or where that is not known. */
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
