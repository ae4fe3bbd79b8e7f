/**
 * Runs the made-up suite as a page would; a test bundles it for browsers.
 *
 * @module
 */
import type { Result } from "../result/result_schema.ts";
import { SUITES } from "../suites.ts";
import { DICE_RECORD, diceEntry, madeUpHost, NO_GPU } from "./_made_up_suite.ts";
import { runOn } from "./run_on.ts";

/** What the page offers. */
export interface MadeUpPage {
  runDice(): Promise<Result>;
}

(globalThis as unknown as MadeUpPage).runDice = () =>
  runOn(madeUpHost(), {
    profile: "smoke",
    suites: [DICE_RECORD.name],
    settings: { [DICE_RECORD.name]: { count: 3 } },
    gpu: NO_GPU,
  }, { suites: [...SUITES, diceEntry("apart")] });
