/**
 * A synthetic retrieval record for tests of the renderers: every count comes from a formula, none
 * was measured.
 */
import { retrievalSchema } from "../retrieval/record.ts";
import type { RetrievalCell, RetrievalRecord } from "./result.ts";

/** How large a record to make. */
interface SampleRetrievalOptions {
  /** As many cells as the paper's profile plans, about 2,300, with the digits of measured ones. */
  paper?: boolean;
}

/** A record with every sweep and figure. */
export function sampleRetrieval({ paper = false }: SampleRetrievalOptions = {}): RetrievalRecord {
  const powers = (from: number, to: number) =>
    Array.from({ length: to - from + 1 }, (_, i) => 2 ** (from + i));
  const contexts = paper ? [...powers(11, 19), 98_304] : [2048, 8192];
  const depths = paper ? [0, 15, 30, 50, 70, 85, 100] : [0, 50, 100];
  const margins = paper ? [4, 6] : [4];
  const transition = paper ? [0, 1, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8] : [1, 2, 4, 8];
  const saliences = paper
    ? [0.8, 0.9, 1, 1.05, 1.1, 1.15, 1.2, 1.25, 1.3, 1.4, 1.6, 2, 2.5, 3, 4]
    : [1, 1.2, 1.4];
  const budgets = paper ? powers(4, 9) : [128];
  const norm = { levels: 3, pooling: 4, k: 128, scorer: "norm" as const };
  const arms: Partial<RetrievalCell>[] = [
    { arm: "dense" },
    { arm: "random" },
    ...(paper ? [{ arm: "oracle" }, { arm: "window" }] : []),
    { arm: "lighthouse-norm", lighthouse: norm },
    ...(paper
      ? [{ arm: "lighthouse-dilated", lighthouse: { ...norm, scorer: "dilated" as const } }]
      : []),
    { arm: "lighthouse-gla", lighthouse: { ...norm, scorer: "gla" } },
  ];
  const cells = arms.flatMap((arm, i): RetrievalCell[] => {
    const layers = arm.lighthouse ? budgets.map((k) => ({ ...arm.lighthouse!, k })) : [];
    return [
      ...margins.flatMap((margin) =>
        contexts.flatMap((context) =>
          depths.map((depth) => cell({ ...arm, context, depth, margin, correct: 90 - 10 * i }))
        )
      ),
      ...transition.flatMap((margin) =>
        (paper ? contexts : [2048]).map((context) =>
          cell({
            ...arm,
            context,
            sweep: "transition",
            margin,
            correct: Math.min(100, Math.round(12 * margin)),
          })
        )
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
      ...layers.flatMap((lighthouse) => [
        ...[2, 4, 8].map((margin) =>
          cell({
            ...arm,
            lighthouse,
            sweep: "alignment",
            salience: 1,
            margin,
            needleSelected: 10 * margin,
          })
        ),
        ...saliences.map((salience) =>
          cell({
            ...arm,
            lighthouse,
            sweep: "salience",
            salience,
            needleSelected: Math.max(0, Math.min(100, Math.round(220 * (salience - 1)))),
          })
        ),
      ]),
    ];
  });
  if (paper) cells.forEach(addDigits);
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

/** Seven digits that do not repeat, and the comparisons of a measured cell. */
function addDigits(one: RetrievalCell, index: number): void {
  const noise = (i: number) =>
    Number(((Math.sin(12.9898 * index + 78.233 * i) + 1) / 2).toPrecision(7));
  Object.assign(one, { mass: noise(1), norm: noise(2), outputError: noise(3) });
  one.paired = ["dense", "random", "lighthouse-norm"].map((name, i) => ({
    with: name,
    onlyThis: Math.round(50 * noise(4 + i)),
    onlyOther: Math.round(50 * noise(7 + i)),
    probability: noise(10 + i),
  }));
}
