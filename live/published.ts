/**
 * The published baselines, as far as a run in the page is set against them.
 *
 * @module
 */
import { deviceIdentity } from "../suites/result/device_record.ts";
import { readResult } from "../suites/result/read_result.ts";
import type { Result } from "../suites/result/result_schema.ts";
import type { PublishedDevice } from "./page_html.ts";
import { forwardSpeedups } from "./speedups.ts";

const FOLDER = new URL("../fixtures/baselines/", import.meta.url);

/** The committed baselines. */
export async function readBaselines(): Promise<Result[]> {
  const results: Result[] = [];
  for await (const { name } of Deno.readDir(FOLDER)) {
    if (name.endsWith(".json")) results.push(await readResult(new URL(name, FOLDER).pathname));
  }
  return results;
}

/** Speed-ups of the norm scorer, forward, of each GPU and stack; the newest run has the word. */
export function publishedDevices(results: readonly Result[]): PublishedDevice[] {
  const found = new Map<string, { device: string; stack: string; points: Map<number, number> }>();
  const names = new Map<string, string>();
  for (const result of results.toSorted((a, b) => a.startedAt < b.startedAt ? -1 : 1)) {
    const { environment, stack } = result;
    // What a processor does says nothing about a visitor's GPU.
    if (environment.adapter.software) continue;
    const device = deviceIdentity(environment);
    const key = `${device} ${stack}`;
    const entry = found.get(key) ?? { device, stack, points: new Map() };
    // Dawn puts hyphens between the words of a name that other stacks write as its maker does.
    if (!names.get(device)?.includes(" ")) names.set(device, environment.device.name);
    for (const { context, ratio } of forwardSpeedups(result)) entry.points.set(context, ratio);
    if (entry.points.size > 0) found.set(key, entry);
  }
  return [...found.values()].map(({ device, stack, points }) => ({
    device: names.get(device)!,
    stack,
    points: [...points].map(([context, ratio]) => ({ context, ratio }))
      .sort((a, b) => a.context - b.context),
  }));
}
