/**
 * Holds an idle CUDA context through the driver's own library. A card with one keeps its clock up
 * between pieces of work; nothing runs in it, no setting is changed and no privilege is needed.
 *
 * @module
 */
import { within } from "../../kernels/gpu/within.ts";
import { hasName, type NamedAdapter } from "./adapter_name.ts";

/** Longest wait for a context, seconds. */
const CONTEXT_SECONDS = 20;

/** Longest wait for its release, seconds. */
const RELEASE_SECONDS = 5;

/**
 * Where drivers install the library. Deno treats a bare name as a path in the current folder unless
 * it may load everything, so each location must be listed, here and in the permissions of
 * deno.json.
 */
export const CUDA_LIBRARIES: readonly string[] = Deno.build.os === "windows"
  ? ["C:/Windows/System32/nvcuda.dll"]
  : Deno.build.os === "linux"
  ? [
    "/usr/lib/x86_64-linux-gnu/libcuda.so.1", // Debian, Ubuntu, NVIDIA's containers
    "/usr/lib/aarch64-linux-gnu/libcuda.so.1",
    "/usr/lib64/libcuda.so.1", // Red Hat, SUSE
    "/usr/lib/libcuda.so.1", // Arch
    "/usr/lib/wsl/lib/libcuda.so.1",
    "/usr/local/nvidia/lib64/libcuda.so.1", // Kubernetes hosts
    "/run/opengl-driver/lib/libcuda.so.1", // NixOS
  ]
  : [];

const SYMBOLS = {
  cuInit: { parameters: ["u32"], result: "i32", nonblocking: true },
  cuDeviceGetCount: { parameters: ["buffer"], result: "i32", nonblocking: true },
  cuDeviceGet: { parameters: ["buffer", "i32"], result: "i32", nonblocking: true },
  cuDeviceGetName: { parameters: ["buffer", "i32", "i32"], result: "i32", nonblocking: true },
  cuDeviceGetPCIBusId: { parameters: ["buffer", "i32", "i32"], result: "i32", nonblocking: true },
  cuDevicePrimaryCtxRetain: { parameters: ["buffer", "i32"], result: "i32", nonblocking: true },
  cuDevicePrimaryCtxRelease_v2: { parameters: ["i32"], result: "i32", nonblocking: true },
} as const;

type Cuda = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

/** An open context. */
export interface CudaContext {
  /** Name of its card. */
  readonly card: string;
  /** Releases it. */
  readonly release: () => Promise<void>;
}

/** Options of {@linkcode holdCudaContext}. */
export interface CudaContextOptions {
  /** Adapter whose card is meant. */
  readonly adapter: NamedAdapter;
  /** PCI bus address of the card, if known. Default: the first card with the adapter's name. */
  readonly busId?: string;
  /** Paths of the driver's library; the first that exists is used. */
  readonly libraries?: readonly string[];
  /** Longest wait for the context, seconds. Default 20. */
  readonly seconds?: number;
}

/**
 * Creates a context. The driver's calls run on separate threads, so that a hanging call blocks
 * nothing here.
 *
 * @throws {Error} one line with the reason why there is none.
 */
export async function holdCudaContext(options: CudaContextOptions): Promise<CudaContext> {
  const { seconds = CONTEXT_SECONDS, libraries = CUDA_LIBRARIES } = options;
  const cuda = openLibrary(libraries);
  const making = createContext(cuda, options);
  try {
    return await within(making, { seconds, doing: "the CUDA driver" });
  } catch (error) {
    // A context that arrives too late is released.
    making.then((context) => context.release(), () => {});
    throw error;
  }
}

/** The library stays open: a driver's threads may outlive all calls. */
function openLibrary(paths: readonly string[]): Cuda {
  let refused: string | undefined;
  for (const path of paths) {
    if (!isFile(path)) continue;
    // A run never prompts for a permission that it can do without.
    const { state } = Deno.permissions.querySync({ name: "ffi", path });
    if (state === "granted") {
      try {
        return Deno.dlopen(path, SYMBOLS).symbols;
      } catch (error) {
        refused ??= `${path}: ${error instanceof Error ? error.message : error}`.split("\n", 1)[0];
      }
    } else refused ??= `Deno may not load ${path}`;
  }
  throw new Error(refused ?? "there is no CUDA driver library");
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

async function createContext(
  cuda: Cuda,
  { adapter, busId }: CudaContextOptions,
): Promise<CudaContext> {
  check("cuInit", await cuda.cuInit(0));
  const cards = await listCards(cuda);
  const card = chooseCard(cards, { adapter, busId });
  const context = memory(8);
  check("cuDevicePrimaryCtxRetain", await cuda.cuDevicePrimaryCtxRetain(context, card.device));
  return {
    card: card.name,
    release: async () => {
      const ending = cuda.cuDevicePrimaryCtxRelease_v2(card.device);
      await within(ending, { seconds: RELEASE_SECONDS, doing: "the CUDA driver" }).catch(() => {});
    },
  };
}

interface CudaCard {
  readonly device: number;
  readonly name: string;
  readonly busId: string;
}

async function listCards(cuda: Cuda): Promise<CudaCard[]> {
  const number = memory(4);
  const value = () => new DataView(number.buffer).getInt32(0, true);
  check("cuDeviceGetCount", await cuda.cuDeviceGetCount(number));
  const count = value();
  const cards: CudaCard[] = [];
  for (let i = 0; i < count; i++) {
    check("cuDeviceGet", await cuda.cuDeviceGet(number, i));
    const device = value();
    const text = memory(256);
    check("cuDeviceGetName", await cuda.cuDeviceGetName(text, 256, device));
    const name = textOf(text);
    check("cuDeviceGetPCIBusId", await cuda.cuDeviceGetPCIBusId(text, 256, device));
    cards.push({ device, name, busId: textOf(text) });
  }
  return cards;
}

/** CUDA lists the fastest card first, Vulkan orders by bus address. */
function chooseCard(
  cards: readonly CudaCard[],
  { adapter, busId }: Pick<CudaContextOptions, "adapter" | "busId">,
): CudaCard {
  if (cards.length === 0) throw new Error("CUDA shows no card; CUDA_VISIBLE_DEVICES may hide it");
  if (busId !== undefined) {
    const card = cards.find((one) => placeOf(one.busId) === placeOf(busId));
    if (card) return card;
    throw new Error(`CUDA does not show the card at ${busId}; CUDA_VISIBLE_DEVICES may hide it`);
  }
  const inOrder = cards.toSorted((a, b) => placeOf(a.busId) < placeOf(b.busId) ? -1 : 1);
  // A stack may name its adapter differently; with one card there is no ambiguity.
  const card = inOrder.find(({ name }) => hasName(adapter, name)) ??
    (cards.length === 1 ? cards[0] : undefined);
  if (card) return card;
  const names = [...new Set(cards.map(({ name }) => name))].join(", ");
  throw new Error(`no CUDA card has the adapter's name; there are ${names}`);
}

/**
 * `00000000:17:00.0` and `0000:17:00.0` are one address: tools write the domain in 4 or 8 digits.
 */
function placeOf(busId: string): string {
  const [domain, ...rest] = busId.toLowerCase().split(":");
  return [domain.replace(/^0+/, "").padStart(8, "0"), ...rest].join(":");
}

function check(name: string, code: number): void {
  if (code !== 0) throw new Error(`${name} gave error ${code}`);
}

/** Bytes that do not move while a driver's thread writes to them. */
function memory(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(length));
}

function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
}
