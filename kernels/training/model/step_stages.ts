/**
 * What binding a step goes by: the names of its stages, and buffers of the plan.
 *
 * @module
 */
import type { BufferSlice, Dispatch } from "../../gpu/buffers.ts";
import type { Product } from "../matrix_product/matrix_product.ts";
import type { ProductBuffers } from "../matrix_product/types.ts";
import type { TrainingPlan } from "./model_plan.ts";
import type { StepKernels } from "./step_kernels.ts";

/** What the stages of a step are. */
export type StageName =
  | "sampling"
  | "embedding"
  | "norms"
  | "products"
  | "attention"
  | "elementwise"
  | "loss"
  | "optimizer";

/** All names, in the order of a first appearance. */
export const STAGE_NAMES: readonly StageName[] = [
  "sampling",
  "embedding",
  "norms",
  "products",
  "attention",
  "elementwise",
  "loss",
  "optimizer",
];

/** Collects stages; neighbours of one name become one. */
export class Stages {
  readonly list: { name: StageName; dispatches: Dispatch[] }[] = [];

  add(name: StageName, dispatches: readonly Dispatch[]): void {
    if (dispatches.length === 0) return;
    const last = this.list[this.list.length - 1];
    if (last?.name === name) last.dispatches.push(...dispatches);
    else this.list.push({ name, dispatches: [...dispatches] });
  }
}

/** What binding needs. */
export interface Binding {
  readonly plan: TrainingPlan;
  readonly kernels: StepKernels;
  /** A buffer of the plan. */
  readonly buffer: (name: string) => BufferSlice;
}

/** Products by name, bound to what they multiply. */
export type BindProducts<Products> = {
  readonly [Name in keyof Products]: (buffers: Omit<ProductBuffers, "partials">) => Dispatch[];
};

/**
 * Products that share the plan's partial sums. Any of them may be cut into slices, by its shape and
 * the device's tilings.
 */
export function productsOf<Products extends { readonly [Name in keyof Products]: Product }>(
  products: Products,
  { buffer }: Pick<Binding, "buffer">,
): BindProducts<Products> {
  const partials = buffer("partial sums");
  return Object.fromEntries(
    Object.entries<Product>(products).map(([name, product]) => [
      name,
      (buffers: ProductBuffers) => product.bind({ ...buffers, partials }),
    ]),
  ) as unknown as BindProducts<Products>;
}

/** A range of a buffer. */
export function part(whole: BufferSlice, offset: number, size: number): BufferSlice {
  return { buffer: whole.buffer, offset: whole.offset + offset, size };
}

/** To whole words. */
export function roundUp(bytes: number): number {
  return Math.ceil(bytes / 4) * 4;
}

/** The weights of a matrix as products read them. */
export function factor({ plan, buffer }: Binding, name: string): BufferSlice {
  return buffer(plan.model.dtype === "f16" ? `${name} copy` : `${name} weights`);
}
