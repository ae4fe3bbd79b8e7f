import assert from "node:assert/strict";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { deviceReadings } from "../../reports/data/device_readings.ts";
import { renderReport } from "../../reports/render_report.ts";
import { CALIBRATION } from "../device/_calibration.ts";
import { startKeepWarm } from "../device/keep_warm.ts";
import { DENO_HOST } from "./deno_host.ts";
import { runCalibrated } from "./runner.ts";

/** Watts and MHz that the stand-in tells, with the power of one moment. */
const TOLD = { clock: 1755, mean: 412.5, moment: 433 };

/** A program in place of nvidia-smi that never stops telling. */
function standIn({ instant }: { instant: boolean }): string {
  const { clock, mean, moment } = TOLD;
  const line = `${clock}, 1980, ${mean}, 700.00${instant ? `, ${moment}` : ""}`;
  return `#!/bin/sh
case "$*" in
  *--loop-ms*--id=GPU-1*) while echo "${line}"; do sleep 0.001; done;;
  *=power.draw.instant*) ${instant ? `echo ${moment}` : "exit 2"};;
  *) echo "Made-up GPU, GPU-1, 00000000:17:00.0, 81559, 580.1";;
esac
`;
}

for (const instant of [true, false]) {
  const name = instant
    ? "clock, power and energy of what nvidia-smi tells reach samples, result and report"
    : "a driver that tells the mean of a second gives short samples a clock and no power";
  Deno.test(name, async (t) => {
    if (Deno.build.os === "windows") return console.warn(`skipped: ${t.name}: needs a shell`);
    const gpu = await testGpu(t);
    if (!gpu) return;
    const folder = await Deno.makeTempDir();
    try {
      const smi = `${folder}/smi`;
      await Deno.writeTextFile(smi, standIn({ instant }), { mode: 0o755 });
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
      }
      const page = renderReport(result);
      assert.match(page, /Energy of a token/);
      assert.match(page, /<td>1,755 MHz/);
      assert.equal(/<td>433 W<td>[\d.]+ (n|µ|m)?J/.test(page), instant);
    } finally {
      gpu.destroy();
      await Deno.remove(folder, { recursive: true });
    }
  });
}
