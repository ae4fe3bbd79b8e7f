/**
 * How the implementations of this version are drawn, for results without styles of their own: those
 * of an earlier version, and those that name an implementation without a case of its own, as the
 * arms of a retrieval run do.
 *
 * @module
 */
import type { ImplementationStyle } from "../../kernels/implementation.ts";
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";

/** Colour and mark of an implementation of this version; undefined for any other name. */
export function knownStyle(name: string): ImplementationStyle | undefined {
  return IMPLEMENTATIONS.find((one) => one.name === name)?.style;
}
