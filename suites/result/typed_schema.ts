/**
 * Schemas with a declared type: documentation and type checkers of the users read the declaration,
 * and the compiler holds the schema against it.
 *
 * @module
 */
import type { z } from "zod";

/** A type without the index signatures that loose objects have, at every depth. */
type Known<T> = T extends readonly (infer Item)[] ? Known<Item>[]
  : T extends object ? { [Key in keyof T as string extends Key ? never : Key]: Known<T[Key]> }
  : T;

/** `unknown` where both types have the same fields, else something that no schema is. */
type SameFields<A, B> = (<T>() => T extends Known<A> ? 1 : 2) extends
  (<T>() => T extends Known<B> ? 1 : 2) ? unknown : { "differs from its declared type": never };

/**
 * Declares the type of a schema. Does not compile where a field of one is missing from the other,
 * or is of another type: loose objects would let either pass.
 *
 * @example
 * ```ts
 * import { z } from "zod";
 * import { declares } from "./typed_schema.ts";
 * import assert from "node:assert/strict";
 * interface Point {
 *   x: number;
 *   [unknown: string]: unknown;
 * }
 * const pointSchema: z.ZodType<Point> = declares<Point>()(z.looseObject({ x: z.number() }));
 * // @ts-expect-error: the schema lacks x
 * declares<Point>()(z.looseObject({}));
 * // @ts-expect-error: the type lacks y
 * declares<Point>()(z.looseObject({ x: z.number(), y: z.number().optional() }));
 * assert.equal(pointSchema.parse({ x: 1, colour: "red" }).x, 1);
 * ```
 */
export function declares<T>(): <S extends z.ZodType<T>>(
  schema: S & SameFields<z.output<S>, T>,
) => z.ZodType<T> {
  return (schema) => schema;
}
