import assert from "node:assert/strict";
import { hasName } from "./adapter_name.ts";
import { clockAdvice, startKeepWarm } from "./keep_warm.ts";

const named = (description: string, device = "") => ({ description, device });

Deno.test("startKeepWarm says that nothing was done where nothing can be", async () => {
  const warm = await startKeepWarm(named("a device"), {
    python: "no-such-python",
    smi: "no-such-smi",
  });
  assert.deepEqual(warm.record().means, [
    "nothing was done",
    "no CUDA context: there is no no-such-python",
    "no poll: there is no no-such-smi",
  ]);
  await warm.stop();
});

/** Runs a stand-in for nvidia-smi that says these lines, and one for the holder of a context. */
async function withStandIns(
  t: Deno.TestContext,
  lines: readonly string[],
  use: (programs: { python: string; smi: string }) => Promise<void>,
) {
  if (Deno.build.os === "windows") return console.warn(`skipped: ${t.name}: needs a shell`);
  const folder = await Deno.makeTempDir();
  const program = async (name: string, text: string) => {
    const path = `${folder}/${name}`;
    await Deno.writeTextFile(path, `#!/bin/sh\n${text}\n`, { mode: 0o755 });
    return path;
  };
  try {
    await use({
      // Its arguments are -u, the helper, and the adapter's description and device.
      python: await program(
        "python",
        'case "$3/$4" in *[Ff]ast*) echo holding Fast GPU;; *) echo no;; esac\ncat >/dev/null',
      ),
      smi: await program("smi", `printf '%s\\n' '${lines.join("' '")}'\nexec sleep 60`),
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Waits until something was read. */
async function until(read: () => boolean) {
  for (let i = 0; i < 100 && !read(); i++) await new Promise((resolve) => setTimeout(resolve, 20));
}

Deno.test("startKeepWarm reads the clock of the right device, and ends what it started", async (t) => {
  await withStandIns(t, [
    "Fast GPU, 345, 1980, 70.5, 700.00",
    "Other GPU, 10, 20, 650, 700",
    "Fast GPU, 1980, 1980, 697.5, 700.00",
    "Fast GPU, [N/A], 1980, 660, 700",
  ], async (programs) => {
    const warm = await startKeepWarm(named("driver 1.2", "nvidia-fast-gpu-80gb"), programs);
    await until(() => warm.record().powerWatts?.count === 3);
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
  });
});

Deno.test("startKeepWarm: a device that tells no power has none in the record", async (t) => {
  await withStandIns(t, ["Fast GPU, 500, 900, [N/A], [N/A]"], async (programs) => {
    const warm = await startKeepWarm(named("Fast GPU"), programs);
    await until(() => warm.record().clockMHz !== undefined);
    assert.equal(warm.record().clockMHz?.highest, 500);
    assert.ok(!("powerWatts" in warm.record()));
    await warm.stop();
  });
});

Deno.test("the holder of a context knows a device as the suite does", async (t) => {
  const folder = new URL(".", import.meta.url);
  const fields = ["NVIDIA: 580.1 580.1.4.0", "nvidia-h100-80gb-hbm3"];
  const code = "import sys, json, keep_warm\n" +
    "print(json.dumps([keep_warm.has_name(sys.argv[1:], name) for name in " +
    "('NVIDIA H100 80GB HBM3', 'NVIDIA L4', '')]))";
  try {
    const { stdout, stderr } = await new Deno.Command("python3", {
      args: ["-B", "-c", code, ...fields],
      cwd: folder,
    }).output();
    const [description, device] = fields;
    const expected = ["NVIDIA H100 80GB HBM3", "NVIDIA L4", ""]
      .map((name) => hasName(named(description, device), name));
    assert.deepEqual(expected, [true, false, false]);
    assert.equal(
      new TextDecoder().decode(stdout).trim(),
      JSON.stringify(expected).replaceAll(",", ", "),
      new TextDecoder().decode(stderr),
    );
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    console.warn(`skipped: ${t.name}: there is no python3`);
  }
});

Deno.test("clockAdvice: what helps, what does not, and why", () => {
  const power = { count: 161, median: 300, highest: 709, limit: 700, atLimit: 12 };
  assert.equal(clockAdvice(undefined), "--keep-warm may help");
  assert.equal(
    clockAdvice({ means: [], powerWatts: power }),
    "the device was within 5 % of its power limit of 700 W in 12 of 161 readings, and lowers its " +
      "clock there",
  );
  for (
    const powerWatts of [undefined, { ...power, atLimit: 0 }, { ...power, limit: null, atLimit: 0 }]
  ) {
    assert.equal(clockAdvice({ means: [], powerWatts }), "--keep-warm could not help");
  }
});
