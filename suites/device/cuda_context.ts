/**
 * An idle CUDA context, held through the driver's own library. A card with one keeps its clock up
 * between pieces of work; nothing is launched in it, no setting is touched and no right is needed.
 *
 * @module
 */
import { within } from "../../kernels/gpu/within.ts";
import { hasName, type NamedAdapter } from "./adapter_name.ts";

/** Longest wait for a context, seconds. */
const CONTEXT_SECONDS = 20;

/** Longest wait for its end, seconds. */
const RELEASE_SECONDS = 5;

/**
 * Where drivers put the library. Deno takes a name for a path in the current folder unless it may load
 * everything, so that each place has to be named, here and in the permissions of deno.json.
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

/** A context that is there. */
export interface CudaContext {
  /** Name of its card. */
  readonly card: string;
  /** Gives it back. */
  readonly release: () => Promise<void>;
}

/** Options of {@linkcode holdCudaContext}. */
export interface CudaContextOptions {
  /** Whose card it is. */
  readonly adapter: NamedAdapter;
  /** Place of the card on the PCI bus, where it is known. Default: the first of the adapter's name. */
  readonly busId?: string;
  /** Paths of the driver's library, of which the first that is there counts. */
  readonly libraries?: readonly string[];
  /** Longest wait for the context, seconds. Default 20. */
  readonly seconds?: number;
}

/**
 * Makes a context. The driver's calls run on threads of their own, so that one that hangs stops
 * nothing here.
 *
 * @throws {Error} one line: why there is none.
 */
export async function holdCudaContext(options: CudaContextOptions): Promise<CudaContext> {
  const { seconds = CONTEXT_SECONDS, libraries = CUDA_LIBRARIES } = options;
  const cuda = openLibrary(libraries);
  const making = createContext(cuda, options);
  try {
    return await within(making, { seconds, doing: "the CUDA driver" });
  } catch (error) {
    // One that comes too late is nobody's.
    making.then((context) => context.release(), () => {});
    throw error;
  }
}

/** The library stays open: a driver's threads may outlive everything that is asked of it. */
function openLibrary(paths: readonly string[]): Cuda {
  let refused: string | undefined;
  for (const path of paths) {
    if (!isFile(path)) continue;
    // Nobody is asked for a permission that a run can do without.
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

/** CUDA puts the fastest card first, Vulkan goes by the places on the bus. */
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
  // A stack may call its adapter otherwise; of one card there is no doubt.
  const card = inOrder.find(({ name }) => hasName(adapter, name)) ??
    (cards.length === 1 ? cards[0] : undefined);
  if (card) return card;
  const names = [...new Set(cards.map(({ name }) => name))].join(", ");
  throw new Error(`no CUDA card is called as the adapter is, but ${names}`);
}

/** `00000000:17:00.0` and `0000:17:00.0` are one place: tools write the domain in 4 or 8 digits. */
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
