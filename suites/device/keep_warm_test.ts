import assert from "node:assert/strict";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { clockAdvice, startKeepWarm } from "./keep_warm.ts";

type Adapter = Gpu["adapter"];

const named = (description: string, other: Partial<Adapter> = {}): Adapter => ({
  vendor: "4318",
  architecture: "",
  device: "",
  description,
  isFallbackAdapter: false,
  software: false,
  ...other,
});

const without = (reason: string) => () => Promise.reject(new Error(reason));

Deno.test("startKeepWarm: by default it acts only on NVIDIA devices", async () => {
  const refused = { hold: without("no"), smi: "no-such-smi" };
  const others = [
    named("AMD Radeon", { vendor: "4098" }),
    named("Apple M4", { vendor: "apple" }),
    named("llvmpipe", { vendor: "65541", software: true }),
    named("llvmpipe beside an NVIDIA driver", { software: true }),
  ];
  for (const adapter of others) {
    assert.equal(await startKeepWarm(adapter, refused), undefined, adapter.description);
  }
  assert.equal(await startKeepWarm(named("Fast GPU"), { ...refused, asked: false }), undefined);
  for (const adapter of [named("Fast GPU"), named("NVIDIA: 580.1", { vendor: "nvidia" })]) {
    assert.ok(await startKeepWarm(adapter, refused));
  }
});

Deno.test("startKeepWarm reports why there is no context, and what it does instead", async () => {
  const refused = { hold: without("there is no CUDA driver library"), smi: "no-such-smi" };
  const means = [
    "nothing was done",
    "no CUDA context: there is no CUDA driver library",
    "no poll: no-such-smi is not there, or lists no card of the adapter's name",
  ];
  for (const [vendor, asked] of [["4318", undefined], ["4318", true], ["4098", true]] as const) {
    const warm = (await startKeepWarm(named("Fast GPU", { vendor }), { ...refused, asked }))!;
    assert.deepEqual(warm.record(), { means });
    // By default the methods in use are not reported; a missing one is.
    const lines = (asked ? means : means.slice(1)).map((line) => `keep warm: ${line}`);
    assert.deepEqual(warm.lines, lines);
    await warm.stop();
  }
});

Deno.test("startKeepWarm: reports that a software adapter has no clock", async () => {
  const warm = (await startKeepWarm(named("llvmpipe", { software: true }), { asked: true }))!;
  assert.match(warm.lines.join(), /^keep warm: nothing was done: a software adapter/);
  await warm.stop();
});

/** Runs a stand-in for nvidia-smi: lists these cards, and answers a poll of `GPU-1` with lines. */
async function withStandIn(
  t: Deno.TestContext,
  { cards, lines }: { cards: readonly string[]; lines: readonly string[] },
  use: (smi: string) => Promise<void>,
) {
  if (Deno.build.os === "windows") return console.warn(`skipped: ${t.name}: needs a shell`);
  const folder = await Deno.makeTempDir();
  try {
    const smi = `${folder}/smi`;
    const print = (all: readonly string[]) => `printf '%s\\n' '${all.join("' '")}'`;
    await Deno.writeTextFile(
      smi,
      `#!/bin/sh
case "$*" in
  *--loop-ms=1000*--id=GPU-1*) ${print(lines)}; exec sleep 60;;
  *--loop*) exit 1;;
  *) ${print(cards)};;
esac
`,
      { mode: 0o755 },
    );
    await use(smi);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Waits until something was read, a minute at most: a busy machine starts processes late. */
async function until(read: () => boolean) {
  for (let i = 0; i < 3000 && !read(); i++) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** Cards as listed by nvidia-smi: by index, which need not be the bus order. */
const CARDS = [
  "Fast GPU, GPU-2, 00000000:9B:00.0, 81559, 580.1",
  "Other GPU, GPU-0, 00000000:01:00.0, 8192, 580.1",
  "Fast GPU, GPU-1, 00000000:17:00.0, 81559, 580.1",
];

Deno.test("startKeepWarm reads the card that Vulkan uses, and stops its processes", async (t) => {
  const lines = ["345, 1980, 70.5, 700.00", "1980, 1980, 697.5, 700.00", "[N/A], 1980, 660, 700"];
  await withStandIn(t, { cards: CARDS, lines }, async (smi) => {
    let released = 0;
    const warm = (await startKeepWarm(named("driver 1.2", { device: "nvidia-fast-gpu-80gb" }), {
      smi,
      hold: ({ busId }) =>
        Promise.resolve({
          card: `Fast GPU at ${busId}`,
          release: () => Promise.resolve(void released++),
        }),
    }))!;
    await until(() => warm.record().powerWatts?.count === 3);
    const { means, clockMHz, powerWatts } = warm.record();
    assert.deepEqual(means, [
      "an idle CUDA context on Fast GPU at 00000000:17:00.0",
      `${smi} asked every 1000 ms`,
    ]);
    assert.deepEqual(warm.lines, []);
    assert.deepEqual(clockMHz, {
      count: 2,
      lowest: 345,
      median: 1162.5,
      highest: 1980,
      limit: 1980,
    });
    assert.deepEqual(powerWatts, { count: 3, median: 660, highest: 697.5, limit: 700, atLimit: 1 });
    const now = performance.now() / 1e3;
    // A power reading covers the last second, so it belongs to the time before.
    assert.deepEqual(warm.during(now - 100, now), { clockMHz: 1162.5, powerWatts: 660 });
    const readAt = (from: number) => "clockMHz" in warm.during(from, now);
    let from = now;
    while (!readAt(from)) from -= 0.001;
    assert.deepEqual(Object.keys(warm.during(from - 0.5, now)), ["clockMHz"]);
    assert.deepEqual(warm.during(now + 1, now + 9), {});

    await warm.stop();
    assert.equal(released, 1);
  });
});

Deno.test("startKeepWarm: a device without power readings has none in the record", async (t) => {
  const lines = ["500, 900, [N/A], [N/A]"];
  await withStandIn(t, { cards: CARDS, lines }, async (smi) => {
    const warm = (await startKeepWarm(named("Fast GPU"), { smi, hold: without("no") }))!;
    await until(() => warm.record().clockMHz !== undefined);
    assert.equal(warm.record().clockMHz?.highest, 500);
    assert.ok(!("powerWatts" in warm.record()));
    await warm.stop();
  });
});

Deno.test("startKeepWarm does not poll a card with another name", async (t) => {
  await withStandIn(t, { cards: CARDS, lines: ["1, 1, 1, 1"] }, async (smi) => {
    const warm = (await startKeepWarm(named("NVIDIA B200"), { smi, hold: without("no") }))!;
    assert.match(warm.record().means.join("; "), /no poll: .* lists no card of the adapter's name/);
    await warm.stop();
  });
});

Deno.test("clockAdvice: what helps, what does not, and why", () => {
  const power = { count: 161, median: 300, highest: 709, limit: 700, atLimit: 12 };
  assert.equal(clockAdvice(undefined), "--keep-warm may help");
  assert.equal(clockAdvice(undefined, false), "the clock is kept up without --no-keep-warm");
  assert.equal(
    clockAdvice({ means: [], powerWatts: power }),
    "the device was within 5 % of its power limit of 700 W in 12 of 161 readings, and lowers its " +
      "clock there",
  );
  for (
    const powerWatts of [undefined, { ...power, atLimit: 0 }, { ...power, limit: null, atLimit: 0 }]
  ) {
    assert.equal(clockAdvice({ means: [], powerWatts }), "keeping the clock up did not help");
  }
  assert.equal(
    clockAdvice({ means: ["smi asked every 1000 ms", "no CUDA context: Deno may not load x"] }),
    "the clock could not be kept up well: no CUDA context: Deno may not load x",
  );
});
