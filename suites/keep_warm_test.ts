import assert from "node:assert/strict";
import { clockAdvice, startKeepWarm } from "./keep_warm.ts";

Deno.test("startKeepWarm says that nothing was done where nothing can be", async () => {
  const warm = await startKeepWarm("a device", { python: "no-such-python", smi: "no-such-smi" });
  assert.deepEqual(warm.record().means, [
    "nothing was done",
    "no CUDA context: there is no no-such-python",
    "no poll: there is no no-such-smi",
  ]);
  await warm.stop();
});

Deno.test("startKeepWarm reads the clock of the right device, and ends what it started", async (t) => {
  if (Deno.build.os === "windows") return console.warn(`skipped: ${t.name}: needs a shell`);
  const folder = await Deno.makeTempDir();
  try {
    const smi = `${folder}/smi`;
    const holder = `${folder}/python`;
    await Deno.writeTextFile(
      smi,
      "#!/bin/sh\necho 'Fast GPU, 345, 1980, 70.5, 700.00'\necho 'Other GPU, 10, 20, 650, 700'\n" +
        "echo 'Fast GPU, 1980, 1980, 697.5, 700.00'\necho 'Fast GPU, [N/A], 1980, 660, 700'\n" +
        "exec sleep 60\n",
    );
    await Deno.writeTextFile(holder, "#!/bin/sh\necho holding Fast GPU\ncat >/dev/null\n");
    await Deno.chmod(smi, 0o755);
    await Deno.chmod(holder, 0o755);
    const warm = await startKeepWarm("NVIDIA Fast GPU 80GB", { python: holder, smi });
    for (let i = 0; i < 100 && (warm.record().powerWatts?.count ?? 0) < 3; i++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const { means, clockMHz, powerWatts } = warm.record();
    assert.match(means.join("; "), /an idle CUDA context on Fast GPU; .*asked every 1000 ms/);
    assert.deepEqual(clockMHz, {
      count: 2,
      lowest: 345,
      median: 1162.5,
      highest: 1980,
      limit: 1980,
    });
    assert.deepEqual(powerWatts, { count: 3, median: 660, highest: 697.5, limit: 700, atLimit: 1 });
    await warm.stop();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("startKeepWarm: a device that tells no power has none in the record", async (t) => {
  if (Deno.build.os === "windows") return console.warn(`skipped: ${t.name}: needs a shell`);
  const folder = await Deno.makeTempDir();
  try {
    const smi = `${folder}/smi`;
    await Deno.writeTextFile(
      smi,
      "#!/bin/sh\necho 'A GPU, 500, 900, [N/A], [N/A]'\nexec sleep 60\n",
    );
    await Deno.chmod(smi, 0o755);
    const warm = await startKeepWarm("A GPU", { python: "no-such-python", smi });
    for (let i = 0; i < 100 && warm.record().clockMHz === undefined; i++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.equal(warm.record().clockMHz?.highest, 500);
    assert.ok(!("powerWatts" in warm.record()));
    await warm.stop();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("clockAdvice: what helps, what does not, and why", () => {
  const power = { count: 161, median: 300, highest: 709, limit: 700, atLimit: 12 };
  assert.equal(clockAdvice(undefined), "--keep-warm may help");
  assert.equal(
    clockAdvice({ means: [], powerWatts: power }),
    "the device drew all of its 700 W in 12 of 161 readings, and lowers its clock then",
  );
  for (
    const powerWatts of [undefined, { ...power, atLimit: 0 }, { ...power, limit: null, atLimit: 0 }]
  ) {
    assert.equal(clockAdvice({ means: [], powerWatts }), "--keep-warm could not help");
  }
});
