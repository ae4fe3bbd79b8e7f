/**
 * Synthetic results for tests of the renderers. Every time in here comes from a formula, none was
 * measured; the adapter's name and a note of the result say so.
 */
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import { addQuality, directed, scale, short, unmeasured } from "./_sample_changes.ts";
import { sampleStatistic } from "./_sample_statistic.ts";
import { deviceRecord } from "./device_record.ts";
import { implementationRecords } from "./implementation_record.ts";
import {
  type CaseRecord,
  type RatioRecord,
  type Result,
  type Sample,
  SCHEMA_VERSION,
  type StageRecord,
} from "./result_schema.ts";

export { sampleStatistic };

/** Options of a synthetic result. */
export interface SampleOptions {
  contexts?: number[];
  heads?: number;
  headDim?: number;
  dtype?: "f16" | "f32";
  samples?: number;
  software?: boolean;
  /** FLOP/s of the formula for dense attention. */
  denseRate?: number;
  /** FLOP/s of the formula for Lighthouse's inner attention. */
  sparseRate?: number;
  /** Bytes/s of the formula for the other stages. */
  byteRate?: number;
  /** Adds the sweeps over k, p, L and the scorer at 98,304 tokens. */
  sweeps?: boolean;
  /** Adds a peer implementation, correctness, throughput, a skipped and a failed case. */
  extras?: boolean;
  /** Adds scorers and both directions at every context, selection quality, memory and shards. */
  variants?: boolean;
  description?: string;
  seed?: number;
}

/** A whole synthetic result. */
export function sampleResult(options: SampleOptions = {}): Result {
  const {
    contexts = [8192, 16_384, 32_768, 65_536, 131_072, 262_144, 524_288],
    software = false,
    description = "Synthetic adapter (formula, not measured)",
    seed = 42,
  } = options;
  const cases: CaseRecord[] = [];
  const ratios: RatioRecord[] = [];
  const pair = (
    context: number,
    lighthouse: Lighthouse,
    sweeps: string[],
    direction: CaseRecord["direction"] = "forward",
  ) => {
    let dense = cases.find((other) =>
      other.implementation === "dense" && other.shape.context === context &&
      other.direction === direction
    );
    if (dense === undefined) {
      cases.push(
        dense = directed(sampleCase(context, { ...options, sweeps: ["context"] }), direction),
      );
    }
    const record = directed(sampleCase(context, { ...options, lighthouse, sweeps }), direction);
    if (options.variants) addQuality(record);
    const other = cases.find(({ id }) => id === record.id);
    if (other !== undefined) return void other.sweeps!.push(...sweeps);
    cases.push(record);
    const ratio = dense.statistic!.median / record.statistic!.median;
    ratios.push({
      numerator: dense.id,
      denominator: record.id,
      method: "abba",
      rounds: 5,
      ratio,
      low: ratio * 0.98,
      high: ratio * 1.02,
    });
  };
  for (const context of contexts) {
    pair(context, { levels: 3, pooling: 4, k: context / 64, scorer: "norm" }, ["context"]);
  }
  if (options.variants) {
    for (const context of contexts) {
      const base = { levels: 3, pooling: 4, k: context / 64 };
      for (const direction of ["forward", "forward-backward"] as const) {
        for (const scorer of ["norm", "dilated", "gla"] as const) {
          const dilation = scorer === "norm" ? {} : { dilation: 4 };
          pair(context, { ...base, scorer, ...dilation }, ["context"], direction);
        }
      }
    }
    for (const shards of [2, 4]) {
      for (const partition of ["contiguous", "head-tail"] as const) {
        cases.push(shardedCase({ shards, partition }, options));
      }
    }
  }
  if (options.sweeps) {
    const base: Lighthouse = { levels: 3, pooling: 4, k: 1536, scorer: "norm" };
    for (const k of [1536, 2048, 3072, 4096, 6144]) pair(98_304, { ...base, k }, ["k"]);
    for (const pooling of [2, 4, 8]) pair(98_304, { ...base, pooling }, ["pooling"]);
    for (const levels of [3, 4, 5]) pair(98_304, { ...base, pooling: 2, levels }, ["levels"]);
    pair(98_304, base, ["scorer"]);
    pair(98_304, { ...base, scorer: "dilated", dilation: 4 }, ["scorer"]);
    pair(98_304, { ...base, scorer: "gla", dilation: 4 }, ["scorer"]);
  }
  if (options.extras) {
    for (const context of contexts.slice(0, 4)) {
      const peer = sampleCase(context, { ...options, sweeps: ["context"] });
      scale(peer, 1.6);
      cases.push({
        ...peer,
        implementation: "peer:onnxruntime-web",
        id: peer.id.replace("/dense/", "/peer:onnxruntime-web/"),
        reason: undefined,
      });
    }
    for (
      const record of cases.filter((record) => record.options && record.sweeps?.[0] === "context")
    ) {
      cases.push({
        ...record,
        suite: "throughput",
        id: record.id.replace("latency/", "throughput/"),
      });
    }
    cases.push(
      skippedCase(1_048_576, options),
      { ...failedCase(4096, options) },
      ...[64, 200, 1024].map((context) => correctnessCase(context, options)),
    );
  }
  const gpu = software ? 40e9 : 61.7e12;
  const adapter = {
    vendor: "0",
    architecture: "",
    device: "synthetic",
    description,
    isFallbackAdapter: software,
    software,
  };
  const driver = "formula 1.0";
  return {
    schemaVersion: SCHEMA_VERSION,
    tool: {
      name: "lighthouse-attention-bench",
      version: "0.1.0",
      commit: "0".repeat(40),
      dirty: true,
    },
    startedAt: "2000-01-01T00:00:00.000Z",
    finishedAt: "2000-01-01T00:02:00.000Z",
    command: ["deno", "task", "bench", "--profile", software ? "smoke" : "paper"],
    profile: software ? "smoke" : "paper",
    stack: "deno",
    seed,
    configuration: { contexts, heads: options.heads ?? 8, headDim: options.headDim ?? 128, seed },
    hashes: { wgsl: "1".repeat(64), configuration: "2".repeat(64), plan: "3".repeat(64) },
    environment: {
      adapter,
      device: deviceRecord({ adapter, driver }),
      driver,
      deviceMemoryBytes: software ? null : 80 * 2 ** 30,
      features: ["shader-f16", "timestamp-query"],
      limits: { maxStorageBufferBindingSize: 2 ** 31 - 4, maxComputeWorkgroupStorageSize: 32_768 },
      os: "Linux 0.0 (synthetic)",
      cpu: "synthetic CPU",
      cores: 2,
      memoryBytes: 16 * 2 ** 30,
      runtime: { deno: "2.9.6", v8: "0", typescript: "0" },
      packages: { zod: "4.6.7", webgpu: "0.6.2" },
      fingerprint: software ? "synthetic-software" : "synthetic-gpu",
    },
    calibration: {
      fmaF32: sampleStatistic(gpu),
      fmaF16: sampleStatistic(gpu * 1.07),
      copy: sampleStatistic(software ? 8e9 : 2.84e12),
      emptyPass: sampleStatistic(4e-6),
      timestampGranularity: 1e-6,
      canary: sampleStatistic(1e-3),
      clock: software ? "wall" : "gpu",
      notes: ["Every number of this result comes from a formula."],
    },
    implementations: implementationRecords(
      IMPLEMENTATIONS.filter(({ name }) => cases.some((record) => record.implementation === name)),
    ),
    cases,
    ratios,
    notes: ["Synthetic: every time in this file comes from a formula, none was measured."],
  };
}

/** Options of a layer, and its scorer. */
interface Lighthouse {
  levels: number;
  pooling: number;
  k: number;
  scorer: string;
  dilation?: number;
}

function layerOf(
  { scorer, dilation, ...sizes }: Lighthouse,
): Pick<CaseRecord, "scorer" | "options"> {
  return { scorer, options: { ...sizes, ...(dilation !== undefined && { dilation }) } };
}

/** One synthetic measured case. */
export function sampleCase(
  context: number,
  options: Omit<SampleOptions, "sweeps"> & { lighthouse?: Lighthouse; sweeps?: string[] } = {},
): CaseRecord {
  const { heads = 8, headDim = 128, dtype = "f16", samples = 6, lighthouse } = options;
  const software = options.software ?? false;
  const { denseRate = software ? 20e9 : 24e12, byteRate = software ? 3e9 : 1.1e12 } = options;
  const { sparseRate = denseRate } = options;
  const element = dtype === "f16" ? 2 : 4;
  const row = heads * headDim * element;
  const attention = (rows: number, rate: number): [number, number, number] => {
    const flops = 2 * rows * rows * headDim * heads;
    return [flops, 4 * rows * row, flops / rate + 5e-6];
  };
  const stages: [string, number, number, number][] = [];
  let gathered: number | undefined;
  let name = "dense";
  let suffix = "";
  if (lighthouse === undefined) {
    stages.push(["attention", ...attention(context, denseRate)]);
  } else {
    const { levels, pooling, k, scorer } = lighthouse;
    name = `lighthouse-${scorer}`;
    suffix = `-L${levels}-p${pooling}-k${k}`;
    gathered = context / pooling ** (levels - 1) + (levels - 1) * pooling * k;
    const move = (stage: string, bytes: number, extra = 0, flops = 0) =>
      stages.push([stage, flops, bytes, bytes / byteRate + 8e-6 + extra]);
    const scorerFlops = scorer === "dilated"
      ? context ** 2 * headDim * heads
      : 4 * context * headDim * heads;
    if (scorer !== "norm") {
      const extra = scorer === "dilated" ? scorerFlops / denseRate : 0;
      move("score", 3 * context * row, extra, scorerFlops);
    }
    move(scorer === "norm" ? "score-and-pool" : "pool", 3.94 * context * row);
    move("select", 10 * context * heads);
    move("gather", 6 * gathered * row);
    stages.push(["attention", ...attention(gathered, sparseRate)]);
    move("scatter", (gathered + context) * row);
  }
  const id = `latency/${name}/forward/N${context}-H${heads}-d${headDim}-${dtype}${suffix}`;
  const seconds = stages.reduce((sum, [, , , time]) => sum + time, 0);
  const jitter = (i: number) => 1 + 0.006 * Math.sin(context / 977 + i * 2.1 + suffix.length);
  const records: StageRecord[] = stages.map(([stage, flops, bytes, time]) => ({
    name: stage,
    flops,
    bytes,
    samples: Array.from({ length: Math.min(samples, 5) }, (_, i) => time * jitter(i)).map(short),
    statistic: sampleStatistic(time),
  }));
  return {
    id,
    suite: "latency",
    implementation: name,
    direction: "forward",
    shape: { batch: 1, heads, context, headDim, dtype },
    family: lighthouse === undefined ? "dense" : "lighthouse",
    ...(lighthouse === undefined ? {} : { ...layerOf(lighthouse), gathered, zeroRows: 0 }),
    sweeps: [...(options.sweeps ?? ["context"])],
    status: "ok",
    flops: stages.reduce((sum, [, flops]) => sum + flops, 0),
    bytes: stages.reduce((sum, [, , bytes]) => sum + bytes, 0),
    peakBytes: 6 * context * row,
    predictedSeconds: seconds * 1.2,
    stages: records,
    samples: Array.from({ length: samples }, (_, i): Sample => ({
      seconds: short(seconds * jitter(i)),
      wallSeconds: short(seconds * jitter(i) + 1e-4),
      round: i >> 1,
      place: i % 4,
      canary: 1,
      ...(i === 3 ? { flag: "clock" as const } : {}),
    })),
    statistic: sampleStatistic(seconds, { count: samples }),
    throughput: sampleStatistic(context / seconds, { count: samples }),
    check: {
      passed: true,
      method: "float64 reference at N = 1,024, every row",
      maxError: 3.1e-4,
      tolerance: 1.5e-3,
      parts: [
        { name: "output", passed: true, maxError: 3.1e-4, tolerance: 1.5e-3 },
        { name: "lse", passed: true, maxError: 2e-6, tolerance: 1e-5 },
      ],
    },
    digest: {
      output: "00112233445566778899aabbccddeeff",
      ...(lighthouse === undefined ? {} : { selection: "4".repeat(64) }),
    },
  };
}

function shardedCase(
  { shards, partition }: { shards: number; partition: "contiguous" | "head-tail" },
  options: SampleOptions,
): CaseRecord {
  const lighthouse: Lighthouse = { levels: 3, pooling: 4, k: 2048, scorer: "norm" };
  const record = sampleCase(98_304, { ...options, lighthouse, sweeps: [] });
  const parts = partition === "contiguous" ? shards : 2 * shards;
  const unit = (record.gathered! / shards) ** 2 * record.shape.heads;
  const share = (step: number, shard: number) =>
    step === 0 ? 0.5 : partition === "head-tail" ? 0.5 : shard < step ? 0 : 1;
  return {
    ...record,
    id: record.id.replace("latency/", "context-parallel/") + `-W${shards}-${partition}`,
    suite: "context-parallel",
    contextParallel: {
      shards,
      partition,
      parts,
      partK: 2048 / parts,
      selection: { jaccard: 1, levels: [1, 1, 1] },
      uncoveredRows: 10 * parts,
      unshardedUncoveredRows: 10,
      unshardedAttention: sampleStatistic(0.03),
      steps: Array.from({ length: shards }, (_, step) => {
        const shares = Array.from({ length: shards }, (_, shard) => share(step, shard));
        return {
          shardSeconds: shares.map((part) => 0.06 / shards ** 2 * part),
          shardPairs: shares.map((part) => part * unit),
          bytes: step === shards - 1 ? 0 : 1e7,
        };
      }),
    },
  };
}

function skippedCase(context: number, options: SampleOptions): CaseRecord {
  return unmeasured(
    sampleCase(context, { ...options, sweeps: ["context"] }),
    "skipped",
    "predicted 21.4 s for one execution, the budget is 10 s",
  );
}

function failedCase(context: number, options: SampleOptions): CaseRecord {
  const lighthouse: Lighthouse = { levels: 3, pooling: 4, k: 128, scorer: "norm" };
  const record = unmeasured(
    sampleCase(context, { ...options, lighthouse, sweeps: ["k"] }),
    "failed",
    "output differs from the reference: error 0.0310, tolerance 0.00150",
  );
  record.check = {
    passed: false,
    method: "float64 reference at N = 1,024, every row",
    maxError: 0.031,
    tolerance: 0.0015,
  };
  return record;
}

function correctnessCase(context: number, options: SampleOptions): CaseRecord {
  const record = sampleCase(context, { ...options, heads: 2, sweeps: [] });
  const { statistic: _, throughput: __, ...rest } = record;
  return {
    ...rest,
    id: record.id.replace("latency/", "correctness/"),
    suite: "correctness",
    samples: [],
    check: { ...record.check!, maxError: context / 1e6, tolerance: 1.5e-3, parts: undefined },
  };
}
