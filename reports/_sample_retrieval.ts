/**
 * A synthetic retrieval record for tests of the renderers: every count comes from a formula, none
 * was measured.
 */
import {
  type RetrievalCell,
  type RetrievalRecord,
  retrievalSchema,
} from "../suites/retrieval/retrieval_schema.ts";

/** A record with every sweep and figure. */
export function sampleRetrieval(): RetrievalRecord {
  const norm = { levels: 3, pooling: 4, k: 128, scorer: "norm" as const };
  const arms: Partial<RetrievalCell>[] = [
    { arm: "dense" },
    { arm: "random" },
    { arm: "lighthouse-norm", lighthouse: norm },
    { arm: "lighthouse-gla", lighthouse: { ...norm, scorer: "gla" } },
  ];
  const cells = arms.flatMap((arm, i) => [
    ...[2048, 8192].flatMap((context) =>
      [0, 50, 100].map((depth) =>
        cell({ ...arm, context, depth, correct: 90 - 20 * i + depth / 10 })
      )
    ),
    ...[1, 2, 4, 8].map((margin) =>
      cell({ ...arm, sweep: "transition", margin, correct: Math.min(100, 12 * margin - i) })
    ),
    ...["first of a block", "two near-duplicates"].map((stress, j) =>
      cell({ ...arm, sweep: "stress", stress, depth: undefined, correct: 80 - 10 * i - j })
    ),
    ...[128, 256].map((k) =>
      cell({
        ...arm,
        ...(arm.lighthouse ? { lighthouse: { ...arm.lighthouse, k } } : {}),
        sweep: "options",
        correct: 60 + k / 16 - i,
      })
    ),
    ...(arm.lighthouse ? [2, 4, 8] : []).map((margin) =>
      cell({ ...arm, sweep: "alignment", salience: 1, margin, needleSelected: 10 * margin })
    ),
    ...(arm.lighthouse ? [1, 1.2, 1.4] : []).map((salience) =>
      cell({
        ...arm,
        sweep: "salience",
        salience,
        needleSelected: Math.round(220 * (salience - 1)),
      })
    ),
  ]);
  return retrievalSchema.parse({
    profile: "synthetic",
    headDim: 64,
    dtype: "f32",
    seed: 1,
    trials: 100,
    confidence: 0.99,
    cells,
    instrument: [1, 4].map((margin) => ({
      quantity: "accuracy",
      context: 2048,
      margin,
      trials: 100,
      measured: 0.12 * margin,
      law: 0.121 * margin,
      low: 0.1 * margin,
      high: 0.14 * margin,
      passed: true,
    })),
    laws: [1, 2, 4, 8].map((margin) => ({
      context: 2048,
      margin,
      largest: margin / 10,
      mass: margin / 20,
      accuracy: margin / 8.2,
    })),
    survivalLaws: [{ context: 2048, k: 128, salience: 1.25 }],
    checkpoint: {
      name: "synthetic",
      cells: [0, 100].map((depth) => ({ context: 2048, depth, correct: 5, trials: 10 })),
    },
    skipped: ["context 524288: it does not fit (a formula, no measurement)"],
    seconds: 1,
  });
}

function cell(parts: Partial<RetrievalCell>): RetrievalCell {
  const { correct = 50 } = parts;
  return {
    sweep: "grid",
    arm: "dense",
    context: 2048,
    depth: 50,
    margin: 4,
    attended: 2048,
    needles: 1,
    trials: 100,
    correct,
    low: Math.max(0, correct / 100 - 0.1),
    high: Math.min(1, correct / 100 + 0.1),
    needleSelected: 100,
    querySelected: 100,
    lost: { needle: 0, query: 0, diluted: 100 - correct },
    largest: 10,
    mass: 0.1,
    norm: 1,
    outputError: 0,
    paired: [],
    ...parts,
  };
}
