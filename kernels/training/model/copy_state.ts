/**
 * Copies what a model has learnt into another model of the same shape, on the device: so a run goes
 * on with other attention, and a trained model is evaluated at other contexts.
 *
 * @module
 */
import type { Gpu } from "../../gpu/device.ts";
import { submit } from "../../gpu/submit.ts";
import type { TrainingModel } from "./training_model.ts";

/**
 * Copies weights and their f16 copies, and unless `weightsOnly` also moments, step state and
 * history.
 *
 * @throws {RangeError} one line, when the models differ in shape or storage. Nothing is copied
 * then.
 */
export async function copyState(
  gpu: Gpu,
  { from, to, weightsOnly = false }: {
    from: TrainingModel;
    to: TrainingModel;
    weightsOnly?: boolean;
  },
): Promise<void> {
  const action = "copy a model's state";
  const shapes = [from, to].map(({ plan: { model, parameters } }) =>
    JSON.stringify([model.dtype, parameters.map(({ name, shape }) => [name, shape])])
  );
  if (shapes[0] !== shapes[1]) {
    const [one, other] = [from, to].map(({ plan: { model } }) =>
      `${model.layers} layers of width ${model.width}, ${model.dtype}`
    );
    throw new RangeError(`${action}: models of ${one} and of ${other} differ in shape or storage`);
  }
  const names = from.plan.buffers.flatMap(({ name }) => {
    if (/ (weights|copy)$/.test(name) && isParameter(name)) return [name];
    const learnt = / (first|second) moment$/.test(name) || name === "step state" ||
      name === "history";
    return learnt && !weightsOnly ? [name] : [];
  });
  const encoder = gpu.device.createCommandEncoder({ label: action });
  for (const name of names) {
    const [source, target] = [from.buffer(name), to.buffer(name)];
    const size = Math.min(source.size, target.size);
    encoder.copyBufferToBuffer(source.buffer, source.offset, target.buffer, target.offset, size);
  }
  await submit(gpu, encoder, action);

  function isParameter(name: string): boolean {
    return from.plan.parameters.some((one) => name.startsWith(`${one.name} `));
  }
}
