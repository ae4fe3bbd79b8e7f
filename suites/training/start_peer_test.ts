import assert from "node:assert/strict";
import { slow } from "../../tools/_cases.ts";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import { renderReport } from "../../reports/render_report.ts";
import { unknownFields } from "../result/_strict_schema.ts";
import { caseOf, runTraining, saveTiny, TINY, twinPeer } from "./_test_run.ts";

Deno.test({
  ...slow("training: peers beside our own steps, and checkpoints to begin with"),
  fn: async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    let untrained: string | undefined;

    await t.step("a peer trains from our weights on our tokens, and gets our losses", async () => {
      const peers = [
        twinPeer(gpu, { name: "twin" }),
        twinPeer(gpu, { name: "other", error: 0.2 }),
        twinPeer(gpu, { name: "absent", refuses: "there is no torch" }),
      ];
      const beside = await runTraining(gpu, { registry: [...IMPLEMENTATIONS, ...peers] });
      const twin = caseOf(beside, "peer:twin");
      assert.deepEqual([twin.status, twin.reason], ["ok", undefined]);
      assert.equal(twin.check!.maxError, 0);
      untrained = caseOf(beside, "dense").digest!.weights;
      const losses = (name: string) => caseOf(beside, name).training!.steps.map(({ loss }) => loss);
      assert.deepEqual(losses("peer:twin").slice(0, 2), losses("dense").slice(0, 2));
      const pairs = beside.ratios.map((one) => `${one.numerator} ${one.denominator}`);
      assert.ok(pairs.includes(`${caseOf(beside, "dense").id} ${twin.id}`));
      assert.ok(pairs.includes(`${twin.id} ${caseOf(beside, "lighthouse-norm").id}`));
      assert.ok(beside.notes.includes("peer:twin: a twin of ours"));
      assert.deepEqual(unknownFields(beside), []);
      assert.match(renderReport(beside), /\(twin\)/);
      // One that learns something else fails, and one that cannot train is skipped.
      const other = caseOf(beside, "peer:other");
      assert.equal(other.status, "failed");
      assert.match(other.reason!, /^losses: nats, of 2 steps: ours 4\./);
      const absent = caseOf(beside, "peer:absent");
      assert.deepEqual([absent.status, absent.reason], ["skipped", "there is no torch"]);
      // Lighthouse layers that a peer does not train are no cases at all.
      assert.equal(beside.cases.length, 5);
    });

    await t.step("models begin with a checkpoint, and peers with the same", async () => {
      const folder = await Deno.makeTempDir();
      const file = `${folder}/start.safetensors`;
      await Deno.writeFile(file, await saveTiny(gpu, 3));
      const settings = { training: { ...TINY.settings!.training, start: file } };
      const registry = [...IMPLEMENTATIONS, twinPeer(gpu, { name: "twin" })];
      const begun = await runTraining(gpu, { settings, registry });
      const record = caseOf(begun, "dense");
      assert.deepEqual([record.status, record.reason], ["ok", undefined]);
      assert.match(record.training!.start!, /^[0-9a-f]{64}$/);
      assert.ok(record.check!.parts!.every(({ name }) => name !== "first loss"));
      assert.ok(untrained !== undefined && record.digest!.weights !== untrained);
      assert.equal(caseOf(begun, "peer:twin").check!.maxError, 0);
      assert.deepEqual(unknownFields(begun), []);
      await Deno.remove(folder, { recursive: true });
    });
    gpu.destroy();
  },
});
