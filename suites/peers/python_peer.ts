/**
 * A Python implementation as an entry of the registry: the same plan, the same inputs, the same
 * checks.
 *
 * @module
 */
import { kvHeadsOf } from "../../kernels/key_heads.ts";
import { z } from "zod";
import type { TensorShape } from "../../kernels/gpu/buffers.ts";
import type { Timing } from "../../kernels/gpu/timing.ts";
import type { Problem } from "../../kernels/implementation.ts";
import { planGeometry } from "../../kernels/lighthouse/lighthouse_geometry.ts";
import { lighthouseOptions } from "../../kernels/lighthouse/lighthouse_options.ts";
import {
  type Layer,
  type Measurable,
  type RemoteTensor,
  UnavailableError,
} from "../plan/measurable.ts";
import { counterpartOf, peerImplementation, trainingImplementation } from "./peer_plan.ts";
import { pythonTraining } from "./python_training.ts";
import {
  PeerError,
  PeerModuleError,
  PythonProcess,
  type PythonProcessOptions,
} from "./python_process.ts";

/** What a module computes that trains whole models. */
const TRAINING = "training";

/** How a Python implementation describes itself. */
const helloSchema = z.object({
  name: z.string().regex(/^[\w.+-]{1,64}$/),
  computes: z.string(),
  scorer: z.string(),
  directions: z.array(z.enum(["forward", "backward", "forward-backward"])),
  trains: z.array(z.string()).default([]),
  sharedKeys: z.boolean().default(false),
  versions: z.record(z.string(), z.string()),
  device: z.string(),
}).refine(
  ({ computes, scorer }) => computes === TRAINING || counterpartOf(computes, scorer) !== undefined,
  {
    path: ["computes"],
    message:
      "it is neither dense attention nor a Lighthouse layer with a scorer of ours, nor training",
  },
).refine(({ computes, directions }) => computes === TRAINING || directions.length > 0, {
  path: ["directions"],
  message: "there are none",
});

/** How a Python implementation describes itself. */
export type PythonHello = z.infer<typeof helloSchema>;

/** A Python module, served by a process that is restarted when it has ended. */
export class PythonPeer {
  readonly #options: PythonProcessOptions;
  #process?: PythonProcess;
  #layers = 0;
  #starts = 0;

  /** @param options how to start `peer_helper.py`. */
  constructor(options: PythonProcessOptions) {
    this.#options = options;
  }

  /**
   * Starts the process and reads its description.
   *
   * @throws {UnavailableError} when it cannot run here, with the reason.
   * @throws {PeerModuleError} when the module itself is wrong.
   */
  async hello(signal?: AbortSignal): Promise<PythonHello> {
    try {
      const { reply } = await this.#running().request({ op: "hello" }, {
        seconds: HELLO_SECONDS,
        signal,
      });
      const hello = helloSchema.safeParse(reply);
      if (hello.success) return hello.data;
      const { path, message } = hello.error.issues[0];
      throw new UnavailableError(`its ${path.join(".")}: ${message}`);
    } catch (error) {
      if (error instanceof PeerModuleError) throw error;
      if (error instanceof PeerError) throw new UnavailableError(error.message, { cause: error });
      throw error;
    }
  }

  /** The module as an entry of the registry. */
  register(hello: PythonHello): Measurable {
    const { name, computes, scorer, versions, sharedKeys, directions, trains } = hello;
    const said = Object.entries(versions).map(([what, version]) => `${what} ${version}`);
    const title = [name, said.join(", ")].filter(Boolean).join(", ");
    if (computes === TRAINING) {
      const open = (signal?: AbortSignal) => this.#open(signal);
      return trainingImplementation({
        name,
        title,
        training: pythonTraining({ name, trains, open }),
      });
    }
    return peerImplementation({
      name,
      title,
      computes,
      scorer,
      sharedKeys,
      directions,
      prepare: (problem, seed, signal) => this.#prepare(problem, scorer, seed, signal),
    });
  }

  /** Ends the process. */
  async close(): Promise<void> {
    await this.#process?.close();
  }

  #running(): PythonProcess {
    if (this.#process && this.#process.ended === undefined) return this.#process;
    if (this.#starts++ > RESTARTS) {
      throw new PeerError(`it ended ${RESTARTS + 1} times, last: ${this.#process?.ended}`);
    }
    return this.#process = PythonProcess.start(this.#options);
  }

  /** Begins a layer or a model in the process. */
  #open(signal?: AbortSignal) {
    const process = this.#running();
    const layer = ++this.#layers;
    const ask = (
      op: string,
      more: Readonly<Record<string, unknown>> = {},
      seconds = ANSWER_SECONDS,
    ) => process.request({ op, layer, ...more }, { seconds, signal });
    const release = async () => {
      if (process.ended === undefined) await ask("release").catch(() => {});
    };
    return { ask, release };
  }

  async #prepare(
    problem: Problem,
    scorer: string,
    seed: number,
    signal?: AbortSignal,
  ): Promise<Layer> {
    const { ask, release } = this.#open(signal);
    const { shape, direction = "forward", options } = problem;
    let told: Told;
    try {
      const { reply } = await ask("prepare", {
        ...shape,
        direction,
        lighthouse: options ? { ...options, scorer } : null,
        seed,
      }, WORK_SECONDS);
      told = toldSchema.parse(reply);
    } catch (error) {
      await release();
      throw error;
    }
    const tensor = (name: string, label: string, more: Partial<TensorShape> = {}): RemoteTensor => {
      const { heads, context: rows, headDim: dim, dtype } = shape;
      const size = { heads, rows, dim, dtype, ...more };
      return {
        ...size,
        label,
        readRows: async (range) => {
          const { data } = await ask("rows", { tensor: name, ...range });
          if (data.length !== range.count * size.dim * 4) {
            throw new PeerError(
              `${label}: ${data.length} bytes for ${range.count} rows of ${size.dim} numbers`,
            );
          }
          return new Float32Array(data.buffer);
        },
        inspect: async () => {
          const { reply } = await ask("inspect", { tensor: name });
          return inspectionSchema.parse(reply);
        },
      };
    };
    const gathered = options &&
      planGeometry(shape.context, lighthouseOptions(problem)).gathered;
    const rows = gathered ?? shape.context;
    const keys = { heads: kvHeadsOf(shape) };
    let peakBytes: number | undefined;
    return {
      stages: [direction],
      execute: async (): Promise<Timing> => {
        const { reply } = await ask("execute", {}, WORK_SECONDS);
        const timing = timingSchema.parse(reply);
        peakBytes = timing.peakBytes ?? undefined;
        return {
          gpuSeconds: timing.gpuSeconds,
          wallSeconds: timing.wallSeconds,
          stages: timing.gpuSeconds === null ? null : [timing.gpuSeconds],
        };
      },
      outputs: {
        output: tensor("output", "output"),
        ...(told.lse && {
          lse: tensor("lse", "log-sum-exp", { rows, dim: 1, dtype: "f32" }),
        }),
        ...(told.selection && {
          readSelection: async () => new Int32Array((await ask("selection")).data.buffer),
        }),
        ...(told.scores && {
          readScores: async (head: number) => {
            const { data } = await ask("scores", { head });
            // The norms that selection ranked by; the checks compare their squares.
            const squares = new Float32Array(data.buffer).map((norm) => norm * norm);
            return {
              query: squares.subarray(0, shape.context),
              key: squares.subarray(shape.context),
            };
          },
        }),
        ...(told.gathered && { gathered: tensor("gathered", "gathered output", { rows }) }),
        ...(direction !== "forward" && {
          gradients: {
            q: tensor("dq", "q gradient"),
            k: tensor("dk", "k gradient", keys),
            v: tensor("dv", "v gradient", keys),
          },
        }),
      },
      peer: {
        inputs: {
          q: tensor("q", "queries"),
          k: tensor("k", "keys", keys),
          v: tensor("v", "values", keys),
          ...(direction !== "forward" && {
            outputGradient: tensor("output_gradient", "output gradient"),
          }),
        },
        peakBytes: () => peakBytes,
      },
      destroy: release,
    };
  }
}

/** Importing torch from a cold disk takes long, and so do compilers and autotuners. */
const HELLO_SECONDS = 180;
const WORK_SECONDS = 300;
const ANSWER_SECONDS = 120;

/** A process that crashes on one layer is restarted for the next. */
const RESTARTS = 5;

const toldSchema = z.object({
  lse: z.boolean(),
  selection: z.boolean(),
  scores: z.boolean(),
  gathered: z.boolean(),
});
type Told = z.infer<typeof toldSchema>;

const timingSchema = z.object({
  gpuSeconds: z.number().nonnegative().nullable(),
  wallSeconds: z.number().nonnegative(),
  peakBytes: z.number().nonnegative().nullable(),
});

const inspectionSchema = z.object({
  digest: z.string().regex(/^[0-9a-f]{32}$/),
  notFinite: z.int().nonnegative(),
});
