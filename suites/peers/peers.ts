/**
 * Peers: other people's implementations, measured next to ours in the same run. An unavailable peer
 * is listed too: each of its cases is skipped, with the reason.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { errorLine, UsageError } from "../errors.ts";
import { type Measurable, UnavailableError } from "../plan/measurable.ts";
import type { PeerRecord } from "../result/result_schema.ts";
import { peerImplementation, refusingTraining, trainingImplementation } from "./peer_plan.ts";
import { PEER_PREFIX } from "../plan/measurable.ts";
import { PythonPeer } from "./python_peer.ts";
import { PeerModuleError } from "./python_process.ts";

/** Peers that need no file from the user. */
export const PEER_NAMES = ["torch-cudnn", "torch-fa2", "ort-web", "torch-training"] as const;

/** Modules of peers that come with the suite; others forward to PyTorch's attention. */
const MODULES: Readonly<Record<string, string>> = { "torch-training": "torch_training.py" };

/** What `python:FILE` starts with. */
export const PYTHON_PREFIX = "python:";

/** Peers of a run. */
export interface OpenPeers {
  readonly implementations: readonly Measurable[];
  /** For the result. */
  readonly records: readonly PeerRecord[];
  /** For the result: notes for its readers. */
  readonly notes: readonly string[];
  readonly close: () => Promise<void>;
}

/** Options of {@linkcode openPeers}. */
export interface OpenPeersOptions {
  readonly gpu: Gpu;
  readonly signal?: AbortSignal;
  /** Default `python3`. */
  readonly python?: string;
}

/**
 * Whether `--peer` accepts a name.
 *
 * @throws {UsageError} one line.
 *
 * @example
 * ```ts
 * import { requirePeer } from "./peers.ts";
 * import assert from "node:assert/strict";
 * assert.equal(requirePeer("torch-fa2"), "torch-fa2");
 * assert.throws(() => requirePeer("torch-fa9"), /torch-fa9/);
 * ```
 */
export function requirePeer(asked: string): string {
  const known = (PEER_NAMES as readonly string[]).includes(asked);
  const python = asked.startsWith(PYTHON_PREFIX) && asked.length > PYTHON_PREFIX.length;
  if (known || python) return asked;
  throw new UsageError(`peer ${asked} is not one of ${PEER_NAMES.join(", ")}, python:FILE`);
}

/**
 * Starts the peers of a run concurrently.
 *
 * @throws {UsageError} when two of them have the same name, or a module cannot be loaded: one line.
 */
export async function openPeers(
  asked: readonly string[],
  options: OpenPeersOptions,
): Promise<OpenPeers> {
  const wanted = [...new Set(asked.map(requirePeer))];
  const tried = await Promise.allSettled(wanted.map((one) => openPeer(one, options)));
  const opened = tried.flatMap((one) => one.status === "fulfilled" ? [one.value] : []);
  const close = async () => {
    await Promise.all(opened.map((one) => one.close()));
  };
  const refused = tried.find((one) => one.status === "rejected");
  if (refused) {
    await close();
    throw refused.reason;
  }
  const names = opened.map(({ record }) => record.implementation);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) {
    await close();
    throw new UsageError(`two peers have the name ${twice}: ${wanted.join(", ")}`);
  }
  return {
    implementations: opened.map(({ implementation }) => implementation),
    records: opened.map(({ record }) => record),
    notes: opened.flatMap(({ notes = [] }) => notes),
    close,
  };
}

interface OpenPeer {
  readonly implementation: Measurable;
  readonly record: PeerRecord;
  readonly notes?: readonly string[];
  readonly close: () => Promise<void>;
}

async function openPeer(asked: string, options: OpenPeersOptions): Promise<OpenPeer> {
  if (asked === "ort-web") return await openOrtWeb(asked, options);
  return await openPython(asked, options);
}

async function openPython(asked: string, options: OpenPeersOptions): Promise<OpenPeer> {
  const here = (file: string) => fileURLToPath(new URL(file, import.meta.url));
  const file = asked.startsWith(PYTHON_PREFIX) ? asked.slice(PYTHON_PREFIX.length) : undefined;
  const module = file === undefined ? [here(MODULES[asked] ?? "torch_sdpa.py"), asked] : [file];
  const peer = new PythonPeer({
    args: [here("peer_helper.py"), ...module],
    program: options.python,
  });
  try {
    const hello = await peer.hello(options.signal);
    const { computes, scorer, versions, device } = hello;
    const implementation = peer.register(hello);
    const record: PeerRecord = {
      asked,
      implementation: implementation.name,
      computes,
      ...(implementation.scorer && { scorer }),
      versions,
      device: device === "host" ? null : device,
      timing: device === "host" ? "host clock" : "CUDA events",
    };
    return { implementation, record, close: () => peer.close() };
  } catch (error) {
    await peer.close();
    options.signal?.throwIfAborted();
    if (error instanceof PeerModuleError) {
      throw new UsageError(`peer ${asked}: ${errorLine(error)}`, { cause: error });
    }
    if (!(error instanceof UnavailableError)) throw error;
    const stem = file?.replace(/^.*[\\/]/, "").replace(/\.py$/, "").replace(/[^\w.+-]/g, "-");
    return unavailable(asked, { name: stem || asked, reason: errorLine(error) });
  }
}

async function openOrtWeb(asked: string, { gpu }: OpenPeersOptions): Promise<OpenPeer> {
  try {
    // Thirty megabytes of WebAssembly: loaded only for this.
    const { openOrtPeer } = await import("./ort_web.ts");
    const { implementation, versions, notes, close } = await openOrtPeer(gpu);
    const record: PeerRecord = {
      asked,
      implementation: implementation.name,
      computes: "dense",
      versions,
      device: gpu.adapter.description || null,
      timing: gpu.capabilities.timestamps ? "GPU timestamps" : "host clock",
    };
    return { implementation, record, notes, close };
  } catch (error) {
    if (!(error instanceof UnavailableError)) throw error;
    return unavailable(asked, { name: asked, reason: errorLine(error) });
  }
}

function unavailable(asked: string, options: { name: string; reason: string }): OpenPeer {
  const { name, reason } = options;
  const computes = asked in MODULES ? "training" : "dense";
  return {
    implementation: computes === "training"
      ? trainingImplementation({ name, title: name, training: refusingTraining(reason) })
      : peerImplementation({ name, title: name, computes, unavailable: reason }),
    record: {
      asked,
      implementation: `${PEER_PREFIX}${name}`,
      computes,
      versions: {},
      device: null,
      timing: "none",
      unavailable: reason,
    },
    close: () => Promise.resolve(),
  };
}
