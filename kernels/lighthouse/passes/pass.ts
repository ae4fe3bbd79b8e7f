/**
 * A pass of the Lighthouse layer: one dispatch with one uniform, and buffers whose sizes are
 * checked when they are bound.
 *
 * @module
 */
import {
  bindDispatch,
  type BufferSlice,
  type Dispatch,
  requireBytes,
  slice,
} from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { createPipeline, type PipelineSource } from "../../gpu/pipeline.ts";
import { createParams, type UniformLayout, type UniformValues } from "../../gpu/uniform.ts";

/** The plan of a pass over a block of heads. */
export interface PassPlan<Buffers, Layout extends UniformLayout = UniformLayout> {
  /** The shader to compile. */
  readonly pipeline: PipelineSource;
  /** Fields of the uniform, and their values. */
  readonly layout: Layout;
  readonly params: UniformValues<Layout>;
  readonly workgroups: readonly [number, number, number];
  /**
   * Minimum bytes of each buffer that the shader binds, in the order of its bindings around the
   * uniform.
   */
  readonly bytes: { readonly [Name in keyof Buffers]: number };
}

/** A compiled pass. */
export interface Pass<Buffers> {
  /** The dispatch over one block of heads. Buffers that the shader does not bind are ignored. */
  readonly bind: (buffers: Buffers) => Dispatch[];
  readonly destroy: () => void;
}

/**
 * Compiles a pass.
 *
 * @throws {ShaderError} when the device refuses the shader.
 */
export async function createPass<
  Buffers extends { readonly [Name in keyof Buffers]?: BufferSlice },
>(
  gpu: Gpu,
  plan: PassPlan<Buffers>,
): Promise<Pass<Buffers>> {
  const pipeline = await createPipeline(gpu, plan.pipeline);
  const uniform = createParams(gpu, plan.layout, plan.params);
  const { label, bindings } = plan.pipeline;
  return {
    bind(buffers) {
      const slices: BufferSlice[] = [];
      for (const [name, bytes] of Object.entries<number>({ ...plan.bytes })) {
        const buffer = buffers[name as keyof Buffers] as BufferSlice;
        const words = name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
        requireBytes(`${label}: ${words}`, buffer, bytes);
        slices.push(buffer);
      }
      slices.splice(bindings.indexOf("uniform"), 0, slice(uniform));
      return [bindDispatch(gpu, pipeline, { slices, workgroups: plan.workgroups })];
    },
    destroy: () => uniform.destroy(),
  };
}
