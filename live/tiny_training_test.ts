import assert from "node:assert/strict";
import { slow } from "../tools/_cases.ts";
import { testGpu } from "../kernels/gpu/_test_gpu.ts";
import { meanOfLast, rowsOf } from "./loss_curve.tsx";
import {
  trainingFacts,
  type TrainingMoment,
  type TrainingSize,
  trainTiny,
} from "./tiny_training.ts";

const SIZE: TrainingSize = {
  model: {
    ...{ layers: 1, width: 64, heads: 2, ffn: 96, vocabulary: 256, context: 256 },
    optimizer: { learningRate: 1e-2, warmup: 2 },
  },
  lighthouse: {
    kind: "lighthouse",
    scorer: "norm",
    options: { levels: 2, pooling: 2, k: 128 },
  },
  steps: 8,
  limitSeconds: 1000,
};

Deno.test({
  ...slow("both models start alike and learn; the limit and Stop end them after whole turns"),
  fn: async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    const running = () => new AbortController().signal;
    const moments: TrainingMoment[] = [];
    const end = await trainTiny(gpu, {
      size: SIZE,
      signal: running(),
      post: (moment) => moments.push(moment),
      now: () => 0,
    });
    assert.equal(end, "finished");
    const [dense, lighthouse] = moments.at(-1)!.arms;
    assert.deepEqual([dense.name, lighthouse.name], ["dense", "lighthouse-norm"]);
    for (const { losses } of [dense, lighthouse]) {
      assert.equal(losses.length, SIZE.steps);
      assert.ok(Math.abs(losses[0]! - Math.log(256)) < 1, `first loss ${losses[0]}`);
      assert.ok(losses.at(-1)! < losses[0]! - 1, losses.join(" "));
    }
    // Attention has no share in the first loss worth mentioning, in all others it has one.
    assert.ok(Math.abs(dense.losses[0]! - lighthouse.losses[0]!) < 0.1);
    assert.notDeepEqual(dense.losses, lighthouse.losses);
    const counts = moments.map(({ arms }) => arms.map(({ losses }) => losses.length));
    assert.ok(counts.every(([a = 0, b = 0]) => a === b), JSON.stringify(counts));

    let seconds = 0;
    const slow: TrainingMoment[] = [];
    const limited = await trainTiny(gpu, {
      size: SIZE,
      signal: running(),
      post: (moment) => slow.push(moment),
      now: () => 1e3 * (seconds += 60),
    });
    assert.equal(limited, "limit");
    const [one, other] = slow.at(-1)!.arms;
    assert.ok(one.losses.length > 1 && one.losses.length < SIZE.steps);
    assert.equal(one.losses.length, other.losses.length);
    assert.deepEqual(one.losses, dense.losses.slice(0, one.losses.length), "the same seed");
    // A turn of a model takes a minute on that clock.
    assert.equal(one.tokensPerSecond, 256 / 60);
    assert.ok(slow.at(-1)!.secondsLeft! <= SIZE.limitSeconds);

    const stop = new AbortController();
    const stopped = await trainTiny(gpu, {
      size: SIZE,
      signal: stop.signal,
      post: ({ arms }) => arms[1]?.losses.length >= 2 && stop.abort(),
    });
    assert.equal(stopped, "stopped");
    gpu.destroy();
  },
});

Deno.test("a device with small buffers is told why it cannot train", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const { adapter, capabilities } = gpu;
  assert.equal(trainingFacts({ adapter, capabilities }).able, true);
  const small = { ...capabilities, maxBufferBytes: 1000, maxBindingBytes: 1000 };
  const facts = trainingFacts({ adapter, capabilities: small });
  assert.ok(
    !facts.able && /limit of one buffer is 1000 B/.test(facts.reason),
    JSON.stringify(facts),
  );
  const big = { ...adapter, software: false };
  const onGpu = trainingFacts({ adapter: big, capabilities });
  assert.ok(onGpu.able && onGpu.gathered < onGpu.context / 4, JSON.stringify(onGpu));
  gpu.destroy();
});

Deno.test("the table of losses has the first and the last step, and means leave out skipped steps", () => {
  assert.deepEqual([rowsOf(0), rowsOf(1), rowsOf(3)], [[], [1], [1, 2, 3]]);
  const rows = rowsOf(200);
  assert.deepEqual([rows[0], rows.at(-1), new Set(rows).size], [1, 200, 12]);
  assert.equal(meanOfLast([9, 1, null, 3], 3), 2);
  assert.equal(meanOfLast([null], 3), undefined);
});
