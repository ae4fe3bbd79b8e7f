import assert from "node:assert/strict";
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import { PROFILE_NAMES } from "../plan/profile.ts";
import { ALL_CASES } from "../../tools/_cases.ts";
import { planShares } from "./_planned.ts";
import { describedBy } from "./new_result.ts";
import { plannedLayers } from "./plan_run.ts";

Deno.test("a result describes every implementation that a profile plans, also in a sweep alone", () => {
  // Only this profile has sweeps of other implementations.
  for (const profile of ALL_CASES ? PROFILE_NAMES : ["rivals"] as const) {
    const plan = planShares({ profile });
    const described = new Set(describedBy(plan, IMPLEMENTATIONS).map(({ name }) => name));
    const planned = new Set(plannedLayers(plan).map(({ implementation }) => implementation));
    assert.deepEqual([...planned].filter((name) => !described.has(name)), [], profile);
  }
});
