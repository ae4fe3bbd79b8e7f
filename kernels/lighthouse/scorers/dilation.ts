/**
 * The dilation δ of scorers that work inside residue classes of positions modulo δ.
 *
 * @module
 */
import type { LighthouseOptions, OptionDescriptor } from "../../implementation.ts";

/** δ if the options do not set it: the paper's. */
export const DEFAULT_DILATION = 4;

/** The option, for scorers with a dilation. */
export const DILATION_OPTION: OptionDescriptor = {
  name: "dilation",
  letter: "δ",
  flag: "dilation",
  least: 1,
  optional: true,
  initial: DEFAULT_DILATION,
  help: "number of residue classes that are scored separately; divides N",
};

/** δ of a Lighthouse layer. */
export function dilationOf(options: Pick<LighthouseOptions, "dilation">): number {
  return options.dilation ?? DEFAULT_DILATION;
}
