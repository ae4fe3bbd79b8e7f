import assert from "node:assert/strict";
import { describeGpus } from "./list_gpus.ts";
import { cardOf, listNvidiaCards } from "./nvidia.ts";

const bytes = (count: number) => `${count} B`;
const card = (busId: string, name = "NVIDIA H200") => ({
  name,
  uuid: `GPU-${busId}`,
  busId,
  memoryBytes: 8,
  driver: "580.1",
});
const ADAPTERS = [
  { stack: "deno", name: "NVIDIA H200", software: false },
  { stack: "dawn", name: "NVIDIA: 580.1", software: false },
];
const SOFTWARE = [{ stack: "deno", name: "llvmpipe", software: true }];

Deno.test("describeGpus: of several cards it marks the first and says how to get another", () => {
  const cards = [card("17:00.0"), card("9b:00.0")];
  const lines = describeGpus(cards, { adapters: ADAPTERS, taken: cards[0], bytes });
  assert.match(lines[0], /^GPUs: 2;/);
  assert.deepEqual(lines.slice(1, 3), [
    "  17:00.0  NVIDIA H200, 8 B  <- taken",
    "  9b:00.0  NVIDIA H200, 8 B",
  ]);
  const text = lines.join(" ").replace(/\s+/g, " ");
  for (
    const part of ["container", "--gres=gpu:1", "ConstrainDevices=yes", "CUDA_VISIBLE_DEVICES"]
  ) {
    assert.ok(text.includes(part), part);
  }
});

Deno.test("describeGpus: one card needs no advice, and without a tool the adapters are listed", () => {
  const options = { adapters: ADAPTERS, taken: card("17:00.0"), bytes };
  assert.equal(describeGpus([card("17:00.0")], options).length, 2);
  assert.deepEqual(describeGpus([], { ...options, adapters: SOFTWARE }), [
    "GPUs, as the stacks name their adapters: llvmpipe (software)",
  ]);
  assert.deepEqual(describeGpus([], { ...options, adapters: [] }), [
    "GPUs, as the stacks name their adapters: none",
  ]);
});

Deno.test("describeGpus: a card that no stack shows means that Vulkan does not find the driver", () => {
  for (const adapters of [SOFTWARE, []]) {
    const text = describeGpus([card("17:00.0")], { adapters, bytes }).join("\n");
    assert.match(text, /Vulkan does not find NVIDIA's driver/);
    assert.match(text, /NVIDIA_DRIVER_CAPABILITIES[^]*VK_DRIVER_FILES/);
  }
});

Deno.test("listNvidiaCards reads the cards in bus order", async (t) => {
  assert.deepEqual(await listNvidiaCards("no-such-smi"), []);
  if (Deno.build.os === "windows") return console.warn(`skipped: ${t.name}: needs a shell`);
  const folder = await Deno.makeTempDir();
  try {
    const program = async (text: string) => {
      const path = `${folder}/${crypto.randomUUID()}`;
      await Deno.writeTextFile(path, `#!/bin/sh\n${text}\n`, { mode: 0o755 });
      return path;
    };
    const cards = await listNvidiaCards(
      await program(`cat <<END
NVIDIA H200, GPU-b, 00000000:9B:00.0, 143771, 580.1
NVIDIA GB10, GPU-c, 0000000F:01:00.0, [N/A], 580.1
NVIDIA H200, GPU-a, 00000000:17:00.0, 143771, 580.1
END`),
    );
    assert.deepEqual(cards.map(({ uuid }) => uuid), ["GPU-a", "GPU-b", "GPU-c"]);
    assert.equal(cards[2].memoryBytes, null);
    assert.deepEqual([cards[0].memoryBytes, cards[0].driver], [143771 * 2 ** 20, "580.1"]);
    const named = (description: string, device = "") => ({ description, device });
    assert.equal(cardOf(named("NVIDIA: 580.1", "nvidia-h200"), cards)?.uuid, "GPU-a");
    assert.equal(cardOf(named("NVIDIA B200"), cards), undefined);
    assert.equal(cardOf(named("whatever"), cards.slice(1, 2))?.uuid, "GPU-b");
    // A driver that does not respond.
    assert.deepEqual(
      await listNvidiaCards(await program("echo No devices were found; exit 6")),
      [],
    );
    assert.deepEqual(await listNvidiaCards(await program("echo No devices were found")), []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
