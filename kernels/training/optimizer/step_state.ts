/**
 * What a training step carries on the device, so that nothing is read back: loss scale, counters,
 * and what the optimiser needs of this step. The host writes it at the start and when it resumes,
 * and may read it at any time.
 *
 * @module
 */

/** Fields of the state in their order, each of 4 bytes. */
export const STEP_STATE = {
  /** 2^s: what gradients are multiplied by. */
  lossScale: "f32",
  /** Steps in a row whose gradients were finite, since the scale last changed. */
  cleanSteps: "u32",
  /** Updates made. */
  updates: "u32",
  /** Steps tried. */
  attempts: "u32",
  /** Steps skipped because a gradient was not finite. */
  skippedSteps: "u32",
  /** 1 where this step is skipped. */
  skip: "u32",
  /** Of this step, after warm-up. */
  learningRate: "f32",
  /** What gradients are multiplied by in the update: unscaled, per token, clipped. */
  gradientFactor: "f32",
  /** β1 to the power of the updates. */
  firstPower: "f32",
  /** β2 to the power of the updates. */
  secondPower: "f32",
  /** Sum of the losses of the step's tokens so far, in nats. */
  lossSum: "f32",
  /** Global norm of this step's gradients per token, before clipping. */
  gradientNorm: "f32",
} as const;

/** A value for each field. */
export interface StepState extends Record<keyof typeof STEP_STATE, number> {}

/** Bytes of the state. */
export const STEP_STATE_BYTES = 4 * Object.keys(STEP_STATE).length;

/** The WGSL struct. */
export const STEP_STATE_STRUCT = `struct StepState {
${Object.entries(STEP_STATE).map(([name, type]) => `  ${name}: ${type},`).join("\n")}
}
`;

/** The state before the first step. */
export function initialState(lossScale: number): StepState {
  return {
    lossScale,
    cleanSteps: 0,
    updates: 0,
    attempts: 0,
    skippedSteps: 0,
    skip: 0,
    learningRate: 0,
    gradientFactor: 0,
    firstPower: 1,
    secondPower: 1,
    lossSum: 0,
    gradientNorm: 0,
  };
}

/** The words of a state, for the device or a file. */
export function packState(state: StepState): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(STEP_STATE_BYTES / 4);
  const floats = new Float32Array(words.buffer);
  for (const [i, [name, type]] of Object.entries(STEP_STATE).entries()) {
    const value = state[name as keyof StepState];
    if (type === "u32") words[i] = value;
    else floats[i] = value;
  }
  return words;
}

/** The state of its words. */
export function unpackState(words: Uint32Array): StepState {
  const floats = new Float32Array(words.buffer, words.byteOffset, words.length);
  const entries = Object.entries(STEP_STATE).map(([name, type], i) => [
    name,
    type === "u32" ? words[i] : floats[i],
  ]);
  return Object.fromEntries(entries);
}
