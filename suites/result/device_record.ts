/**
 * What a run computed on, apart from the stack that reached it: stacks describe one device
 * differently.
 *
 * @module
 */
import type { DeviceRecord, EnvironmentRecord } from "./result.ts";

/** What tells a device's name. */
export interface DeviceParts {
  /** As WebGPU describes it. */
  readonly adapter: Readonly<
    Record<"vendor" | "architecture" | "device" | "description", string>
  >;
  /** Name and version of the driver. */
  readonly driver: string | null;
}

/** A card as the machine's own tool lists it. */
export type ListedCard = Readonly<Required<Pick<DeviceRecord, "name" | "uuid" | "busId">>>;

/**
 * The record of an adapter's device.
 *
 * @param options.card What the machine's own tool says of it.
 * @param options.only Whether that is the only card that the adapter can be. Default false.
 *
 * @example
 * ```ts
 * import { deviceRecord } from "./device_record.ts";
 * import assert from "node:assert/strict";
 * const adapter = {
 *   vendor: "nvidia",
 *   architecture: "",
 *   device: "nvidia-h100-80gb-hbm3",
 *   description: "NVIDIA: 580.159.04 580.159.4.0",
 * };
 * const record = deviceRecord({ adapter, driver: "NVIDIA 580.159.04" });
 * assert.equal(record.name, "nvidia-h100-80gb-hbm3");
 * ```
 */
export function deviceRecord(
  parts: DeviceParts,
  { card, only = false }: { card?: ListedCard; only?: boolean } = {},
): DeviceRecord {
  if (card === undefined) return { name: nameOf(parts) };
  return { name: card.name, ...(only && { uuid: card.uuid, busId: card.busId }) };
}

/**
 * The same text for one device under every stack; all cards of a model have one. Software adapters
 * compute on the processor, so that it is a part of theirs.
 */
export function deviceIdentity({ device, adapter, cpu }: EnvironmentRecord): string {
  const name = adapter.software
    ? `${withoutBrackets(device.name)} on ${processorName(cpu)}`
    : device.name;
  // Dawn puts hyphens between words and writes them small.
  return name.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "") || name;
}

/** `Intel(R) Xeon(R) Processor @ 2.50GHz` without what tells nothing apart. */
export function processorName(cpu: string): string {
  return withoutBrackets(cpu).replace(/\b(CPU|Processor)\b|@ [\d.]+ ?GHz/g, "")
    .replace(/\s+/g, " ").trim() || "an unnamed processor";
}

/** A text without what stands in brackets, unless that is all of it. */
export function withoutBrackets(text: string): string {
  return text.replace(/\([^)]*\)/g, "").replace(/\s+/g, " ").trim() || text;
}

/**
 * The most telling of an adapter's fields: its description, unless that tells the driver's version, as
 * Dawn's does, and another field a name.
 */
function nameOf({ adapter: { description, device, architecture, vendor }, driver }: DeviceParts) {
  const versions = driver?.match(/\d+(\.\d+)+/g) ?? [];
  const ofDriver = versions.some((version) => description.includes(version)) ||
    /^[\w -]+: \d+(\.\d+)+/.test(description);
  const names = [
    ...ofDriver ? [device, description] : [description, device],
    `${vendor} ${architecture}`,
  ].map((text) => text.trim());
  return names.find((text) => text !== "" && !/^(0x)?[0-9a-f]{1,5}$/i.test(text)) ??
    "unnamed adapter";
}
