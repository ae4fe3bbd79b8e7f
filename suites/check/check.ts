/**
 * The correctness gate: no case is timed before its output has matched a float64 reference.
 *
 * At a small size all rows of a head are compared; at full size, sampled rows, recomputed from the
 * same inputs on the device. Tolerances are derived row by row: twice the error of a plain f32
 * computation with storage rounding, plus the rounding that no kernel can avoid. METHOD.md
 * explains.
 *
 * @module
 */
import type { Gpu } from "../../kernels/gpu/device.ts";
import type { Inspection } from "../../kernels/gpu/inspect.ts";
import { flushesHalves } from "../../kernels/gpu/subnormals.ts";
import type { ScorerDescriptor } from "../../kernels/implementation.ts";
import { planGeometry } from "../../kernels/lighthouse/lighthouse_geometry.ts";
import { lighthouseOptions } from "../../kernels/lighthouse/lighthouse_options.ts";
import { inspectRows, type Layer, type Rows } from "../plan/measurable.ts";
import { sha256 } from "../result/digest.ts";
import type { CheckRecord, TokenSelectionRecord } from "../result/result_schema.ts";
import { type CheckOptions, wholeGradients } from "./check_options.ts";
import { mergeParts, type Part, PEER_METHOD, worstOf } from "./check_parts.ts";
import { checkDense } from "./dense_check.ts";
import { checkGradients, usesHalves } from "./gradient_parts.ts";
import { type HeadSample, sampleHeads } from "./head_samples.ts";
import { checkInputs, checkPeerInputs } from "./input_check.ts";
import { checkBare, checkLighthouse, headSelection } from "./lighthouse_check.ts";
import { checkLists } from "./list_check.ts";
import { checkReference } from "./reference_check.ts";
import { uncoveredRows } from "./selection_check.ts";
import { checkSelection } from "./selection_parts.ts";
import { allDone } from "./stream.ts";
import { checkTokens } from "./token_check.ts";
import { holdWorkers } from "./worker_pool.ts";

/** Digests of the outputs of one execution. */
export interface OutputDigest {
  readonly output: string;
  /** A peer may not report it. */
  readonly lse?: string;
  readonly selection?: string;
  readonly queryGradient?: string;
  readonly keyGradient?: string;
  readonly valueGradient?: string;
}

/** What a check found, besides the record. */
export interface CheckOutcome {
  readonly check: CheckRecord;
  readonly digest: OutputDigest;
  /** Rows of the output that no entry covers, for Lighthouse. */
  readonly zeroRows?: number;
  /** Of sampled queries, where an index selects tokens. */
  readonly tokenSelection?: TokenSelectionRecord;
}

/**
 * Compares the results of the last execution with the reference.
 *
 * Runs on the host and reads parts of the inputs back: about a second for a whole small problem,
 * several for a sample at 512K.
 */
export async function checkOutputs(
  gpu: Gpu,
  prepared: Layer,
  given: CheckOptions,
): Promise<CheckOutcome> {
  const { problem, implementation } = given;
  const flushes = problem.shape.dtype === "f16" && await flushesHalves(gpu);
  const options = { ...given, flushes };
  using _workers = holdWorkers();
  const parts: Part[] = [
    await checkInputs(gpu, options),
    ...await checkPeerInputs(gpu, prepared, options),
  ];
  const { output, lse, gradients } = prepared.outputs;
  const inspected = await inspectOutputs(gpu, prepared);
  const notFinite = inspected.reduce((sum, [, { notFinite }]) => sum + notFinite, 0);
  parts.push({
    name: "finite",
    passed: notFinite === 0,
    maxError: null,
    tolerance: null,
    detail: `${notFinite} elements of ${
      listed([
        "the output",
        ...lse ? ["its log-sum-exp"] : [],
        ...gradients ? ["the gradients"] : [],
      ])
    } are NaN or infinite`,
  });
  const digest = digestsOf(inspected);
  if (!implementation.scorer) {
    const { selector, tokens } = implementation;
    const selected = selector || tokens ? await prepared.outputs.readSelection?.() : undefined;
    const lists = selector && selected;
    // Concurrently: each spends most of its time waiting for the device to map a buffer.
    const samples = sampleHeads(options, undefined);
    const index = tokens && selected;
    let tokenSelection: TokenSelectionRecord | undefined;
    const checkIndex = async (index: Int32Array) => {
      const more = { ...options, tokens: index, sample: samples.at(-1)! };
      const { parts, selection } = await checkTokens(gpu, prepared, more);
      tokenSelection = selection;
      return [...parts];
    };
    const found = await allDone([
      // All heads share the tokens.
      ...index ? [checkIndex(index)] : [],
      ...samples.flatMap((sample) =>
        checkSample(gpu, prepared, { ...options, lists, tokens: index, sample })
      ),
    ]);
    parts.push(...found.flat());
    return {
      check: summarizeParts(parts, { ...options, prepared }),
      digest: selected
        ? { ...digest, selection: await sha256(selected as Int32Array<ArrayBuffer>) }
        : digest,
      ...(tokenSelection && { tokenSelection }),
    };
  }
  const geometry = planGeometry(problem.shape.context, lighthouseOptions(problem));
  const { readSelection } = prepared.outputs;
  if (!readSelection) throw new TypeError("check outputs: the implementation returns no selection");
  const selection = await readSelection();
  let zeroRows = 0;
  for (let head = 0; head < problem.shape.heads; head++) {
    const bare = uncoveredRows(headSelection(selection, { head, geometry }), geometry);
    zeroRows += bare.length;
    if (bare.length > 0) parts.push(await checkBare(gpu, output, { head, rows: bare }));
  }
  const found = await allDone(
    sampleHeads(options, geometry).flatMap((sample) => {
      const own = headSelection(selection, { head: sample.head, geometry });
      const more = { ...options, sample, geometry, selection: own };
      return [
        checkSelection(gpu, prepared, more),
        checkLighthouse(gpu, prepared, more),
        ...gradients ? [checkGradients(gpu, prepared, more)] : [],
      ];
    }),
  );
  parts.push(...found.flat());
  return {
    check: summarizeParts(parts, { ...options, prepared }),
    digest: { ...digest, selection: await sha256(selection as Int32Array<ArrayBuffer>) },
    zeroRows,
  };
}

/** The checks of some rows of a head of a layer that is no Lighthouse layer. */
function checkSample(
  gpu: Gpu,
  prepared: Layer,
  options: CheckOptions & { sample: HeadSample },
): Promise<Part[]>[] {
  const { implementation, problem, lists, kernel } = options;
  if (implementation.reference && lists) {
    const halves = usesHalves(gpu, prepared, { problem, kernel });
    return [checkReference(gpu, prepared, { ...options, lists, halves })];
  }
  return [
    ...lists ? [checkLists(gpu, options)] : [],
    checkDense(gpu, prepared, options),
    ...prepared.outputs.gradients ? [checkGradients(gpu, prepared, options)] : [],
  ];
}

/** Digests of the results of the last execution. */
export async function digestOutputs(gpu: Gpu, prepared: Layer): Promise<OutputDigest> {
  const digest = digestsOf(await inspectOutputs(gpu, prepared));
  const { readSelection } = prepared.outputs;
  if (!readSelection) return digest;
  const selection = await readSelection();
  return { ...digest, selection: await sha256(selection as Int32Array<ArrayBuffer>) };
}

/** Tensors that an execution writes, by the name of their digest. */
async function inspectOutputs(
  gpu: Gpu,
  { outputs }: Layer,
): Promise<[keyof OutputDigest, Inspection][]> {
  const { output, lse, gradients } = outputs;
  const tensors: [keyof OutputDigest, Rows][] = [["output", output]];
  if (lse) tensors.push(["lse", lse]);
  if (gradients) {
    tensors.push(
      ["queryGradient", gradients.q],
      ["keyGradient", gradients.k],
      ["valueGradient", gradients.v],
    );
  }
  const found: [keyof OutputDigest, Inspection][] = [];
  for (const [name, tensor] of tensors) found.push([name, await inspectRows(gpu, tensor)]);
  return found;
}

function digestsOf(inspected: readonly [keyof OutputDigest, Inspection][]): OutputDigest {
  const digests = inspected.map(([name, { digest }]) => [name, digest]);
  return Object.fromEntries(digests) as unknown as OutputDigest;
}

/**
 * The check with one more part: two executions gave the same bits. For a peer this is reported but
 * not required: `required` is false then.
 */
export function withDeterminism(
  check: CheckRecord,
  digests: { first: OutputDigest; last: OutputDigest; required?: boolean },
): CheckRecord {
  const { first, last, required = true } = digests;
  const all = new Set([...Object.keys(first), ...Object.keys(last)] as (keyof OutputDigest)[]);
  const names = [...all].filter((name) => first[name] !== last[name]);
  const part: Part = {
    name: "determinism",
    passed: names.length === 0 || !required,
    maxError: null,
    tolerance: null,
    detail: names.length === 0
      ? "the first and the last execution left the same bits"
      : `the first and the last execution differ in ${names.join(", ")}`,
  };
  const parts = [...check.parts ?? [], part];
  return { ...check, passed: parts.every((entry) => entry.passed), parts };
}

/** The first failed part, in one line; undefined when the check passed. */
export function failureOf(check: CheckRecord): string | undefined {
  if (check.passed) return undefined;
  const part = check.parts?.find((entry) => !entry.passed);
  if (!part) return "check failed";
  const error = part.maxError === null ? "" : `: error ${part.maxError} exceeds ${part.tolerance}`;
  return `check of ${part.name} failed${error}${part.detail ? ` (${part.detail})` : ""}`;
}

function summarizeParts(
  parts: readonly Part[],
  options: CheckOptions & { prepared: Layer },
): CheckRecord {
  const { implementation, extent, prepared } = options;
  const merged = mergeParts(parts);
  const gradients = merged.filter((part) => part.name.startsWith("gradient"));
  const worst = worstOf([
    ...merged.filter((part) => part.name.startsWith("output")),
    ...gradients,
  ]);
  const what = listed([
    extent === "whole"
      ? "all rows of the last head's output, and some of the first's"
      : "sampled rows of the output",
    ...prepared.outputs.lse ? ["its log-sum-exp"] : [],
    ...implementation.scorer ? [selectionMethod(implementation.scorer)] : [],
    ...implementation.selector ? ["selected blocks"] : [],
    ...implementation.tokens ? ["selected tokens"] : [],
  ]);
  return {
    passed: merged.every((part) => part.passed),
    method: `${what} against float64 on the same inputs` +
      (gradients.length > 0 ? `; ${gradientMethod(options)}` : "") +
      (prepared.peer ? `; ${PEER_METHOD}` : ""),
    maxError: worst?.maxError ?? null,
    tolerance: worst?.tolerance ?? null,
    parts: merged,
  };
}

/** Float64 scores alone do not decide a selection by scores that round differently. */
function selectionMethod({ exactSelection }: ScorerDescriptor): string {
  return exactSelection
    ? "selection"
    : "sampled scores, with the selection as the device's own scores choose it,";
}

function gradientMethod({ extent, implementation }: CheckOptions): string {
  return extent === "whole" && wholeGradients(implementation)
    ? "all rows of dQ, dK and dV of the last head, and some of the others, against float64"
    : "sampled rows of dQ, dK and dV against float64, for dK and dV of rows before the last few " +
      "with the device's own log-sum-exp, and delta from its own output";
}

/** "a", "a and b", "a, b and c". */
function listed(parts: readonly string[]): string {
  const last = parts[parts.length - 1];
  return parts.length < 2 ? last : `${parts.slice(0, -1).join(", ")} and ${last}`;
}
