/**
 * Whether the times of two results are comparable.
 *
 * @module
 */
import { modelKey, readableName } from "../../suites/result/device_record.ts";
import type { Result } from "../../suites/result/result_schema.ts";

/** The fields of a result that decide it. */
export interface TimedBy {
  readonly stack: Result["stack"];
  readonly environment:
    & Pick<Result["environment"], "driver" | "cpu" | "cores" | "fingerprint">
    & {
      readonly adapter: Pick<
        Result["environment"]["adapter"],
        "description" | "device" | "vendor" | "software"
      >;
      /** Told by the machine where the adapter's fields tell the driver alone, as Dawn's do. */
      readonly device: Pick<Result["environment"]["device"], "name">;
      readonly runtime: Pick<Result["environment"]["runtime"], "deno" | "browser">;
      readonly packages: Result["environment"]["packages"];
    };
  readonly calibration: { readonly clock?: string } | null;
}

/** Why the times of two results are not comparable: one short reason each, the most important first. */
export function timeObstacles(baseline: TimedBy, candidate: TimedBy): string[] {
  const obstacles: string[] = [];
  const [before, after] = [baseline.environment, candidate.environment];
  const differ = (what: string, values: readonly [unknown, unknown]) => {
    if (values[0] !== values[1]) {
      obstacles.push(`${what}: ${show(values[0])} and ${show(values[1])}`);
    }
  };
  const names = [before, after].map(({ device }) => readableName(device.name));
  if (modelKey(names[0]) !== modelKey(names[1])) {
    differ("different adapters", [names[0], names[1]]);
  } else if (baseline.stack === candidate.stack && before.driver === after.driver) {
    // Stacks describe one device differently, and some descriptions hold the driver's version.
    differ("different adapters", [nameOf(before.adapter), nameOf(after.adapter)]);
  }
  differ("different stacks", [baseline.stack, candidate.stack]);
  differ("different drivers", [before.driver, after.driver]);
  differ("different versions of Deno", [before.runtime.deno, after.runtime.deno]);
  differ("different browsers", [before.runtime.browser, after.runtime.browser]);
  if (baseline.stack === "dawn" && candidate.stack === "dawn") {
    differ("different versions of Dawn", [before.packages.webgpu, after.packages.webgpu]);
  }
  if (before.adapter.software && after.adapter.software) {
    differ("different processors", [
      `${before.cpu}, ${before.cores} cores`,
      `${after.cpu}, ${after.cores} cores`,
    ]);
  }
  if (obstacles.length === 0 && before.fingerprint !== after.fingerprint) {
    obstacles.push("different device fingerprints");
  }
  const clocks = [baseline.calibration?.clock, candidate.calibration?.clock];
  if (clocks[0] && clocks[1]) differ("different clocks", [clocks[0], clocks[1]]);
  return obstacles;
}

function nameOf(
  { description, device, vendor }: TimedBy["environment"]["adapter"],
): string {
  return description || device || vendor;
}

function show(value: unknown): string {
  return value === null || value === undefined ? "unknown" : String(value).slice(0, 100);
}
