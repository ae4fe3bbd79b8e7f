/**
 * One side of a paired comparison: a process that runs cases of one checkout when it is told to.
 *
 * `take_turns.ts` starts two of these, one a checkout, and lets them run in turns, so that both see
 * the same machine. Requests come as lines of JSON on stdin, an answer to each goes to stdout. The
 * control case always comes from one checkout, whichever side the process measures, on a device of
 * its own: no change can reach it.
 *
 * Arguments: folder of the side's checkout, folder of the control's checkout, stack, clock.
 *
 * @module
 */
import type { Gpu } from "../../../kernels/gpu/device.ts";
import { DISPATCH_SECONDS } from "../../plan/durations.ts";
import type { Implementation, Problem } from "../../../kernels/implementation.ts";

/** What a side may be asked. */
export type Request =
  | {
    readonly do: "prepare";
    readonly implementation: string;
    readonly problem: Problem;
    readonly seed: number;
    /** Predicted FLOP per second, by which both sides cut their submissions alike. */
    readonly flopsPerSecond?: number;
  }
  /** Runs the prepared case, then the control. */
  | { readonly do: "turn"; readonly caseTimes: number; readonly controlTimes: number };

/** What it answers. */
export type Answer =
  | { readonly ready: true }
  /** Median seconds of the case's executions and of the control's. */
  | { readonly caseSeconds: number; readonly controlSeconds: number }
  /** It could not be done: one line. */
  | { readonly error: string };

/** Dense attention in its plainest form, small enough for any device. */
const CONTROL = {
  implementation: "dense-naive",
  problem: { shape: { heads: 1, context: 256, headDim: 64, dtype: "f32" } },
  seed: 1,
} as const;

/** Timestamps of the device, or the host's clock where a calibration found those not to work. */
export type Clock = "gpu" | "wall";

/** A case that can be run. */
interface Ready {
  readonly run: (times: number) => Promise<number>;
  readonly destroy: () => void;
}

/**
 * The implementations of a checkout. One from before options had descriptors wraps each in an
 * object, and takes them under another name together with the scorer's.
 */
function implementationsOf(registered: readonly unknown[]): readonly Implementation[] {
  return registered.map((entry) => {
    const { implementation } = entry as { implementation?: Implementation };
    if (!implementation) return entry as Implementation;
    const before = ({ options, ...rest }: Problem): Problem => {
      const scorer = implementation.name.replace(/^lighthouse-/, "");
      return { ...rest, ...(options && { lighthouse: { ...options, scorer } }) };
    };
    return {
      ...implementation,
      plan: (gpu, problem) => implementation.plan(gpu, before(problem)),
      prepare: (gpu, problem, given) => implementation.prepare(gpu, before(problem), given),
    };
  });
}

/** The modules of one checkout, on a device that they opened. */
class Checkout {
  readonly #gpu: Gpu;
  readonly #modules: Awaited<ReturnType<typeof load>>;
  readonly #clock: Clock;

  private constructor(gpu: Gpu, modules: Awaited<ReturnType<typeof load>>, clock: Clock) {
    this.#gpu = gpu;
    this.#modules = modules;
    this.#clock = clock;
  }

  static async open(folder: string, options: { stack: Gpu["stack"]; clock: Clock }) {
    const modules = await load(folder);
    const gpu = await modules.openDevice({ stack: options.stack });
    return new Checkout(gpu, modules, options.clock);
  }

  async prepare(
    options: Pick<
      Extract<Request, { do: "prepare" }>,
      "implementation" | "problem" | "seed" | "flopsPerSecond"
    >,
  ): Promise<Ready> {
    const { implementation: name, problem, seed, flopsPerSecond } = options;
    const { createTensor, fillSeeded, IMPLEMENTATIONS } = this.#modules;
    const gpu = this.#gpu;
    const found = implementationsOf(IMPLEMENTATIONS).find((one) => one.name === name);
    if (!found) throw new Error(`it has no implementation ${name}`);
    const { heads, kvHeads = heads, context: rows, headDim: dim, dtype } = problem.shape;
    const { headsPerBlock } = found.plan(gpu, problem);
    const labels = ["q", "k", "v"];
    if ((problem.direction ?? "forward") !== "forward") labels.push("outputGradient");
    const tensors: Awaited<ReturnType<typeof createTensor>>[] = [];
    for (const [i, label] of labels.entries()) {
      const own = label === "k" || label === "v" ? kvHeads : heads;
      tensors.push(
        await createTensor(gpu, { heads: own, rows, dim, dtype }, {
          label,
          headsPerBlock: headsPerBlock * own / heads,
        }),
      );
      await fillSeeded(gpu, tensors[i], seed + i);
    }
    const [q, k, v, outputGradient] = tensors;
    const prepared = await found.prepare(gpu, problem, {
      inputs: { q, k, v, ...(outputGradient && { outputGradient }) },
      flopsPerDispatch: flopsPerSecond && flopsPerSecond * DISPATCH_SECONDS,
    });
    const run = async (times: number) => {
      const seconds: number[] = [];
      for (let i = 0; i < times; i++) {
        const timing = await prepared.execute({ flopsPerSecond });
        seconds.push(this.#clock === "gpu" ? timing.gpuSeconds ?? NaN : timing.wallSeconds);
      }
      return seconds.sort((a, b) => a - b)[seconds.length >> 1];
    };
    await run(1);
    return {
      run,
      destroy: () => {
        prepared.destroy();
        tensors.forEach((tensor) => tensor.destroy());
      },
    };
  }
}

/** The public interface of a checkout: what a revision moves inside is no matter. */
async function load(folder: string): Promise<typeof import("../../../mod.ts")> {
  return await import(new URL("mod.ts", `file://${folder.replace(/\/*$/, "/")}`).href);
}

async function answerRequests(): Promise<void> {
  const [own, controlFolder, stack, clock] = Deno.args;
  const options = { stack: stack as Gpu["stack"], clock: clock as Clock };
  const side = await Checkout.open(own, options);
  const control = await (await Checkout.open(controlFolder, options)).prepare(CONTROL);
  let current: Ready | undefined;
  const answer = async (request: Request): Promise<Answer> => {
    if (request.do === "prepare") {
      current?.destroy();
      current = undefined;
      current = await side.prepare(request);
      return { ready: true };
    }
    return {
      caseSeconds: await current!.run(request.caseTimes),
      controlSeconds: await control.run(request.controlTimes),
    };
  };
  console.log(JSON.stringify({ ready: true }));
  let rest = "";
  for await (const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      const found = await answer(JSON.parse(line)).catch((error): Answer => ({
        error: String(error instanceof Error ? error.message : error).split("\n")[0],
      }));
      console.log(JSON.stringify(found));
    }
  }
}

if (import.meta.main) {
  await answerRequests();
  // Devices keep a process alive.
  Deno.exit(0);
}
