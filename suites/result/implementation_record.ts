/**
 * Descriptors of implementations as stored in result files, so that a report needs no registry.
 *
 * @module
 */
import type { Implementation } from "../../kernels/implementation.ts";
import type { ImplementationRecord } from "./result_schema.ts";

/** The recorded fields of an implementation. */
type Described =
  & Pick<
    Implementation,
    "name" | "title" | "note" | "family" | "scorer" | "role" | "options" | "presets" | "style"
  >
  & { readonly peer?: boolean };

/** Records of implementations, in their order. */
export function implementationRecords(
  implementations: readonly Described[],
): ImplementationRecord[] {
  return implementations.map((
    { name, title, note, family, scorer, role, peer, options, presets, style },
  ) => ({
    name,
    title,
    ...(note !== undefined && { note }),
    family,
    ...(scorer && { scorer: scorer.name }),
    ...(role && { role }),
    ...(peer && { peer }),
    options: options.map(({ name, letter, help, sweep }) => ({
      name,
      letter,
      help,
      ...(sweep !== undefined && { sweep }),
    })),
    ...(presets && {
      presets: presets.map(({ name, options }) => ({ name, options: { ...options } })),
    }),
    ...(style && { style: { color: { ...style.color }, mark: style.mark } }),
  }));
}
