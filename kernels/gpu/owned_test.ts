import assert from "node:assert/strict";
import { collectOwned } from "./owned.ts";

Deno.test("ownAll takes over what was made although another failed, and throws that error", async () => {
  const freed: string[] = [];
  const { ownAll, destroy } = collectOwned();
  const make = (name: string, turns: number) =>
    (async () => {
      for (let i = 0; i < turns; i++) await Promise.resolve();
      if (name.startsWith("bad")) throw new Error(name);
      return { name, destroy: () => freed.push(name) };
    })();
  const [a, b] = await ownAll(make("a", 3), make("b", 1));
  assert.deepEqual([a.name, b.name], ["a", "b"]);
  await assert.rejects(ownAll(make("bad 1", 5), make("late", 9), make("bad 2", 1)), /bad 1/);
  destroy();
  assert.deepEqual(freed, ["late", "b", "a"]);
});
