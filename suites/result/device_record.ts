/**
 * The device that a run computed on, separate from the stack: stacks describe one device
 * differently.
 *
 * @module
 */
import type { DeviceRecord, EnvironmentRecord } from "./result.ts";

/** Sources of a device's name. */
export interface DeviceParts {
  /** As WebGPU describes it. */
  readonly adapter: Readonly<
    Record<"vendor" | "architecture" | "device" | "description", string>
  >;
  /** Name and version of the driver. */
  readonly driver: string | null;
}

/** A card as listed by the machine's own tool. */
export type ListedCard = Readonly<Required<Pick<DeviceRecord, "name" | "uuid" | "busId">>>;

/**
 * The record of an adapter's device.
 *
 * @param options.card How the machine's own tool describes it.
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
 * One text per device, the same under every stack; all cards of a model share it. Software adapters
 * compute on the processor, so it is part of their text.
 */
export function deviceIdentity({ device, adapter, cpu }: EnvironmentRecord): string {
  return modelKey(
    adapter.software ? softwareName(withoutBrackets(device.name), cpu) : device.name,
  );
}

/** What a result has for the processor where a browser does not tell it. */
export const UNTOLD_PROCESSOR = "not told by a browser";

/** A software adapter with the processor that it computes on, if that is known. */
export function softwareName(adapter: string, cpu: string): string {
  return cpu === UNTOLD_PROCESSOR ? adapter : `${adapter} on ${processorName(cpu)}`;
}

/** The same text for a device's name under every stack: Dawn writes it small, with hyphens. */
export function modelKey(name: string): string {
  return name.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "") || name;
}

/**
 * A device's name as readers know it: Dawn writes a card's name as `nvidia-h100-80gb-hbm3`, its
 * driver as `NVIDIA H100 80GB HBM3`.
 */
export function readableName(name: string): string {
  return /^nvidia(-[a-z0-9]+)+$/.test(name) ? name.replaceAll("-", " ").toUpperCase() : name;
}

/** `Intel(R) Xeon(R) Processor @ 2.50GHz` without what tells nothing apart. */
export function processorName(cpu: string): string {
  if (cpu === UNTOLD_PROCESSOR) return "a processor not told";
  return withoutBrackets(cpu).replace(/\b(CPU|Processor)\b|@ [\d.]+ ?GHz/g, "")
    .replace(/\s+/g, " ").trim() || "an unnamed processor";
}

/** A text without its parts in brackets, unless that is all of it. */
export function withoutBrackets(text: string): string {
  return text.replace(/\([^)]*\)/g, "").replace(/\s+/g, " ").trim() || text;
}

/**
 * The most informative of an adapter's fields: its description, unless that is the driver's
 * version, as with Dawn, and another field has a name.
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
