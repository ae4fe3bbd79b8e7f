/**
 * NVIDIA cards of this machine, as NVIDIA's own tool lists them.
 *
 * @module
 */
import type { Gpu } from "../../kernels/gpu/device.ts";
import { hasName, type NamedAdapter } from "./adapter_name.ts";
import { runTool } from "./run_tool.ts";

/** A card that this process may use: a container or a job may hide others. */
export interface NvidiaCard {
  readonly name: string;
  /** `GPU-…`, as `nvidia-smi --id` accepts it. */
  readonly uuid: string;
  /** PCI domain, bus and device: `00000000:17:00.0`. */
  readonly busId: string;
  /** Null if it shares the host's memory. */
  readonly memoryBytes: number | null;
  /** Version of the driver. */
  readonly driver: string;
}

const FIELDS = "name,uuid,pci.bus_id,memory.total,driver_version";

/** The cards in bus order; empty without `nvidia-smi`. */
export async function listNvidiaCards(program = "nvidia-smi"): Promise<NvidiaCard[]> {
  const text = await runTool(program, [`--query-gpu=${FIELDS}`, "--format=csv,noheader,nounits"]);
  return (text ?? "").split("\n").flatMap((row) => {
    const [name, uuid, busId, mebibytes, driver] = row.split(",").map((cell) => cell.trim());
    if (!driver) return [];
    const memoryBytes = Number(mebibytes) > 0 ? Number(mebibytes) * 2 ** 20 : null;
    return [{ name, uuid, busId, memoryBytes, driver }];
  }).sort((a, b) => a.busId < b.busId ? -1 : 1);
}

/**
 * Of several cards the one that an adapter uses: the first with its name. Vulkan reports no more.
 */
export function cardOf(
  adapter: NamedAdapter,
  cards: readonly NvidiaCard[],
): NvidiaCard | undefined {
  // A stack may name its adapter differently; with one card there is no ambiguity.
  return cards.find(({ name }) => hasName(adapter, name)) ??
    (cards.length === 1 ? cards[0] : undefined);
}

/** Whether an adapter is NVIDIA's: PCI vendor 0x10de, as Deno's own stack gives it, or its name. */
export function isNvidia({ vendor, description }: Gpu["adapter"]): boolean {
  return vendor === String(0x10de) || /nvidia/i.test(`${vendor} ${description}`);
}
