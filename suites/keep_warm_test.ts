import assert from "node:assert/strict";
import { startKeepWarm } from "./keep_warm.ts";

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
      "#!/bin/sh\necho 'Fast GPU, 345, 1980'\necho 'Other GPU, 10, 20'\n" +
        "echo 'Fast GPU, 1980, 1980'\necho 'Fast GPU, [N/A], 1980'\nexec sleep 60\n",
    );
    await Deno.writeTextFile(holder, "#!/bin/sh\necho holding Fast GPU\ncat >/dev/null\n");
    await Deno.chmod(smi, 0o755);
    await Deno.chmod(holder, 0o755);
    const warm = await startKeepWarm("NVIDIA Fast GPU 80GB", { python: holder, smi });
    for (let i = 0; i < 100 && (warm.record().clockMHz?.count ?? 0) < 2; i++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const { means, clockMHz } = warm.record();
    assert.match(means.join("; "), /an idle CUDA context on Fast GPU; .*asked every 1000 ms/);
    assert.deepEqual(clockMHz, {
      count: 2,
      lowest: 345,
      median: 1162.5,
      highest: 1980,
      limit: 1980,
    });
    await warm.stop();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
