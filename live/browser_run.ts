/// <reference lib="dom" />
/**
 * The machine as a browser gives it, and a run on it: the same suites as the command line's.
 *
 * @module
 */
import { DeviceError, type Gpu, openDevice } from "../kernels/gpu/device.ts";
import { UsageError } from "../suites/errors.ts";
import { deviceRecord, UNTOLD_PROCESSOR } from "../suites/result/device_record.ts";
import { sha256 } from "../suites/result/digest.ts";
import type { EnvironmentRecord, RetrievalCell } from "../suites/result/result_schema.ts";
import type { Host } from "../suites/run/host.ts";
import { runOn } from "../suites/run/run_on.ts";
import { SUITES } from "../suites/suites.ts";
import { probeMemory } from "./memory.ts";
import { budgetOf, LEAST_GROUPS, modeOf } from "./modes.ts";
import type { BuildInfo } from "./page_html.ts";
import type { Answer, DeviceFound, RunRequest } from "./protocol.ts";
import { trainingFacts, trainTiny } from "./tiny_training.ts";
import { browserName, systemName } from "./user_agent.ts";
import type { Hooks, WorkerParts } from "./worker.ts";

/** Milliseconds between two partial results: each is copied to the page as a whole. */
const PARTIAL_MILLISECONDS = 500;

/** What the worker of a page does, on the browser's own WebGPU. */
export function browserParts(
  build: BuildInfo,
  options: { readonly post: (answer: Answer) => void; readonly startWorker?: () => Worker },
): WorkerParts {
  return {
    post: options.post,
    async findDevice() {
      try {
        const gpu = await openDevice({ stack: "browser" });
        try {
          return { type: "device", device: describeDevice(gpu) };
        } finally {
          gpu.destroy();
        }
      } catch (error) {
        if (!(error instanceof DeviceError)) throw error;
        return { type: "no-device", reason: reasonOf(error) };
      }
    },
    train: async ({ seed }, { post, signal, onDevice }) => {
      const gpu = await openDevice({ stack: "browser" });
      onDevice(gpu.destroy);
      try {
        const end = await trainTiny(gpu, {
          seed,
          signal,
          post: (training) => post({ type: "training", training }),
        });
        return { type: "trained", end };
      } finally {
        gpu.destroy();
      }
    },
    run: (request, hooks) => run(build, request, { ...hooks, startWorker: options.startWorker }),
  };
}

/** Why there is no device, as a sentence for a person. */
function reasonOf({ kind, message }: DeviceError): string {
  if (kind === "no-webgpu") return "This browser has no WebGPU, or has it switched off.";
  if (kind === "no-adapter") {
    return "This browser has WebGPU, but found no adapter: there is no GPU that it trusts, or its driver is blocked.";
  }
  return message;
}

function describeDevice({ adapter, capabilities, features }: Gpu): DeviceFound {
  return {
    training: trainingFacts({ adapter, capabilities }),
    adapter,
    name: deviceRecord({ adapter, driver: null }).name,
    features,
    capabilities: {
      f16: capabilities.f16,
      subgroups: capabilities.subgroups,
      matrixUnits: capabilities.subgroupMatrix.length > 0,
      timestamps: capabilities.timestamps,
    },
    maxBufferBytes: capabilities.maxBufferBytes,
  };
}

async function run(
  build: BuildInfo,
  request: RunRequest,
  { post, signal, onDevice, hiddenSeconds, startWorker }:
    & Hooks
    & { startWorker?: () => Worker },
): Promise<Answer> {
  const mode = modeOf(request.mode);
  const budgetBegan = performance.now();
  let postedAt = -Infinity;
  // What a mode asks for depends on the device, which the run then takes.
  const gpu = await openDevice({ stack: "browser" });
  onDevice(gpu.destroy);
  const host: Host = {
    ...browserHost(build, { deviceName: request.deviceName, memoryBytes: mode.memoryBytes }),
    ...(startWorker && { startWorker }),
    openStack: () =>
      Promise.resolve({ gpu, choice: { asked: "browser", reason: "the browser's own" } }),
    openStore: () =>
      Promise.resolve({
        path: "the page",
        save(result) {
          const now = performance.now();
          if (now - postedAt >= PARTIAL_MILLISECONDS) {
            postedAt = now;
            post({ type: "partial", result });
          }
          return Promise.resolve();
        },
        resume: () => Promise.reject(new UsageError("resume: a page has no earlier result")),
        recordedStack: () => Promise.resolve("browser"),
        close: () => Promise.resolve(),
      }),
  };
  try {
    const result = await runOn(host, {
      ...mode.options(gpu.adapter),
      budgetSeconds: request.budgetSeconds ?? budgetOf(mode, gpu.adapter),
      budgetBegan,
      leastGroups: LEAST_GROUPS,
      seed: request.seed,
      out: "the page",
      command: ["live page", mode.name, `seed=${request.seed}`],
    }, {
      suites: SUITES,
      hooks: {
        signal,
        // Needles alone find something before their case is finished.
        onFound: (found) => post({ type: "cells", cells: found as RetrievalCell[] }),
        onProgress: ({ case: _, ...moment }) => post({ type: "moment", moment }),
      },
    });
    const hidden = hiddenSeconds();
    if (hidden > 0) {
      result.notes.push(
        `the tab was hidden for ${Math.ceil(hidden)} s, in which a browser may slow it down`,
      );
    }
    return { type: "finished", result, stopped: signal.aborted };
  } finally {
    gpu.destroy();
  }
}

/** {@linkcode Host} of a page, but for what belongs to one run. */
export function browserHost(
  build: BuildInfo,
  { deviceName, memoryBytes }: { deviceName: string; memoryBytes: number },
): Omit<Host, "openStack" | "openStore"> {
  const unavailable = (what: string) =>
    Promise.reject(new UsageError(`run in a page: ${what} needs the command line`));
  return {
    describeTool: () =>
      Promise.resolve({
        name: "lighthouse-attention-bench",
        version: build.version,
        commit: build.commit,
        dirty: build.dirty,
      }),
    hashKernels: () => Promise.resolve(build.kernels),
    keepWarm: () => Promise.resolve(undefined),
    openPeers: () => unavailable("a peer"),
    applyTuning: (gpu, { tuning = "none" }) =>
      tuning === "none" ? Promise.resolve({ gpu, lines: [] }) : unavailable("a tuning file"),
    checkFolder: () => Promise.resolve(),
    prepare: () => {},
    describeEnvironment: async (gpu) => {
      const { adapter, features, limits } = gpu;
      const { userAgent, hardwareConcurrency } = navigator;
      const { deviceMemory } = navigator as { deviceMemory?: number };
      const found = deviceRecord({ adapter, driver: null });
      const environment: EnvironmentRecord = {
        adapter: { ...adapter },
        device: { name: deviceName.trim() || found.name },
        driver: null,
        deviceMemoryBytes: await probeMemory(gpu, memoryBytes),
        features: [...features],
        limits: { ...limits },
        os: systemName(userAgent),
        cpu: UNTOLD_PROCESSOR,
        cores: Math.max(1, hardwareConcurrency || 1),
        memoryBytes: (deviceMemory ?? 0) * 2 ** 30,
        runtime: { browser: browserName(userAgent) },
        packages: {},
        fingerprint: "",
      };
      const { adapter: named, device, os, runtime } = environment;
      environment.fingerprint = await sha256(JSON.stringify([named, device, os, runtime.browser]));
      return environment;
    },
  };
}
