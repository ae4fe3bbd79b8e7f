import assert from "node:assert/strict";
import { tinyText } from "./tiny_text.ts";

Deno.test("the entropy of the text is what counting its words gives", () => {
  const { bytes, entropy } = tinyText(200_000);
  const sentences = new TextDecoder().decode(bytes).trim().split(". ").map((text) =>
    text.split(" ")
  );
  // Bits that each place of a sentence has by the frequencies of its words.
  const places = sentences[0].map((_, place) => {
    const counts = new Map<string, number>();
    for (const words of sentences) counts.set(words[place], (counts.get(words[place]) ?? 0) + 1);
    const shares = [...counts.values()].map((count) => count / sentences.length);
    return shares.reduce((sum, share) => sum - share * Math.log(share), 0);
  });
  const counted = places.reduce((a, b) => a + b) * sentences.length / bytes.length;
  assert.ok(Math.abs(counted / entropy - 1) < 0.01, `${counted} and ${entropy}`);
});

Deno.test("a seed gives one text, another seed another", () => {
  const [one, same, other] = [1, 1, 2].map((seed) =>
    new TextDecoder().decode(tinyText(2000, seed).bytes)
  );
  assert.equal(one, same);
  assert.notEqual(one, other);
});
