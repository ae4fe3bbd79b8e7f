import assert from "node:assert/strict";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { deviceReadings } from "../../reports/data/device_readings.ts";
import { renderMarkdown } from "../../reports/text/markdown.ts";
import { renderTerminal } from "../../reports/text/terminal.ts";
import { renderReport } from "../../reports/render_report.ts";
import { CALIBRATION } from "../device/_calibration.ts";
import { startKeepWarm } from "../device/keep_warm.ts";
import { DENO_HOST } from "./deno_host.ts";
import { runCalibrated } from "./runner.ts";

/** Watts and MHz that the stand-in tells, with the power of one moment. */
const TOLD = { clock: 1755, mean: 412.5, moment: 433 };

/** A program in place of nvidia-smi that never stops telling, of a card with such a power limit. */
function standIn({ instant, limit }: { instant: boolean; limit: number }): string {
  const { clock, mean, moment } = TOLD;
  const line = `${clock}, 1980, ${mean}, ${limit}${instant ? `, ${moment}` : ""}`;
  return `#!/bin/sh
case "$*" in
  *--loop-ms*--id=GPU-1*) while echo "${line}"; do sleep 0.001; done;;
  *=power.draw.instant*) ${instant ? `echo ${moment}` : "exit 2"};;
  *) echo "Made-up GPU, GPU-1, 00000000:17:00.0, 81559, 580.1";;
esac
`;
}

const CASES = [
  {
    name: "clock, power and energy of what nvidia-smi tells reach samples, result and report",
    instant: true,
    limit: 700,
  },
  {
    name: "a driver that tells the mean of a second gives short samples a clock and no power",
    instant: false,
    limit: 700,
  },
  {
    name: "samples at the device's power limit say so, and so do tables",
    instant: true,
    limit: 450,
  },
];

for (const { name, instant, limit } of CASES) {
  Deno.test(name, async (t) => {
    if (Deno.build.os === "windows") return console.warn(`skipped: ${t.name}: needs a shell`);
    const gpu = await testGpu(t);
    if (!gpu) return;
    const folder = await Deno.makeTempDir();
    try {
      const smi = `${folder}/smi`;
      await Deno.writeTextFile(smi, standIn({ instant, limit }), { mode: 0o755 });
      const adapter = { ...gpu.adapter, device: "Made-up GPU", vendor: "nvidia", software: false };
      const result = await runCalibrated({
        profile: "smoke",
        suites: ["latency"],
        implementations: ["dense", "lighthouse-norm"],
        directions: ["forward"],
        contexts: [1024],
        headDims: [32],
        options: { pooling: [2], levels: [2], k: [128] },
        samples: 4,
        seed: 3,
        gpu: { ...gpu, adapter },
      }, {
        calibration: CALIBRATION,
        host: {
          ...DENO_HOST,
          keepWarm: (adapter, options) =>
            startKeepWarm(adapter, { ...options, means: ["poll"], smi }),
        },
      });
      assert.equal(result.keepWarm!.clockMHz!.median, TOLD.clock);
      assert.equal(result.keepWarm!.powerWatts!.median, TOLD.mean);
      const timed = result.cases.filter(({ suite }) => suite === "latency");
      assert.equal(timed.length, 2);
      for (const record of timed) {
        assert.equal(record.status, "ok", record.reason);
        const { clockMHz, powerWatts, joulesPerToken } = deviceReadings(record);
        assert.equal(clockMHz, TOLD.clock);
        assert.equal(powerWatts, instant ? TOLD.moment : null);
        const expected = instant ? TOLD.moment * record.statistic!.median / 1024 : null;
        assert.equal(joulesPerToken, expected);
        for (const { atPowerLimit } of record.samples) {
          assert.equal(atPowerLimit, limit === 450 ? true : undefined);
        }
      }
      const page = renderReport(result);
      assert.match(page, /Energy of a token/);
      assert.match(page, /<td>1,755 MHz/);
      // Every form of the times says it, or none.
      const said = [/<td>[\d.]+ .s, at the device’s power limit/.test(page)];
      for (const text of [renderTerminal(result), renderMarkdown([result])]) {
        said.push(
          /At the device’s power limit[^:]*: dense at 1K, lighthouse-norm at 1K\./.test(text),
        );
      }
      assert.deepEqual(said, Array(3).fill(limit === 450));
      const power = limit === 450 ? "433 W, its limit" : "433 W";
      assert.equal(new RegExp(`<td>${power}<td>[\\d.]+ (n|µ|m)?J`).test(page), instant);
    } finally {
      gpu.destroy();
      await Deno.remove(folder, { recursive: true });
    }
  });
}
