/**
 * The capabilities of a typical desktop GPU, for tests of plans that need no device.
 *
 * @module
 */
import type { Gpu } from "./device.ts";

/** Capabilities and adapter of a generic desktop GPU. */
export const DESK: Pick<Gpu, "capabilities" | "adapter"> = {
  capabilities: {
    f16: true,
    subgroups: true,
    subgroupMinSize: 32,
    subgroupMaxSize: 32,
    timestamps: true,
    subgroupMatrix: [],
    subgroupsDirective: "",
    maxBindingBytes: 2 ** 31 - 4,
    maxBufferBytes: 2 ** 32,
    maxWorkgroupBytes: 49152,
    maxInvocations: 1024,
    maxWorkgroupsPerDimension: 65535,
    maxStorageBuffers: 16,
    storageAlignment: 256,
  },
  adapter: {
    vendor: "",
    architecture: "",
    device: "",
    description: "",
    isFallbackAdapter: false,
    software: false,
  },
};
