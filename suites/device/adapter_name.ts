/**
 * Matches a stack's adapter with a device of the machine.
 *
 * @module
 */
import type { Gpu } from "../../kernels/gpu/device.ts";

/** The fields of an adapter that may hold its device's name. */
export type NamedAdapter = Pick<Gpu["adapter"], "description" | "device">;

/** Whether an adapter has a device's name: Dawn joins its words with hyphens, in lower case. */
export function hasName({ description, device }: NamedAdapter, name: string): boolean {
  const letters = (text: string) => text.toLowerCase().replace(/[^a-z0-9]/g, "");
  const wanted = letters(name);
  return wanted !== "" && [description, device].some((own) => letters(own).includes(wanted));
}
