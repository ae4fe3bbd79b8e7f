/**
 * Judges a result again after the right time of the canary turned out shorter than calibrated.
 *
 * @module
 */
import { inconclusiveReason, judgeAgain, rejudge } from "../device/clock.ts";
import { pairedRatio } from "../measure/paired_ratio.ts";
import type { Session } from "../measure/session.ts";
import { withSamples } from "../plan/case_record.ts";
import type { CaseRecord, Result } from "../result/result_schema.ts";

/** The same for cases whose samples are still being taken. */
export function rejudgeLive(live: Session["live"], factor: number): void {
  for (const running of live) {
    const { samples, first } = running;
    samples.splice(0, samples.length, ...rejudge(samples, factor));
    if (!first) continue;
    const again = judgeAgain({ canary: first.canary, device: first.device ?? {} }, factor);
    running.first = { ...first, ...again, off: first.off || again.off };
  }
}

/**
 * Cases and ratios judged again.
 *
 * @param options `factor`: how many times shorter the canary's time is; `seed` of the bootstraps.
 */
export function rejudgeResult(
  { cases, ratios }: Pick<Result, "cases" | "ratios">,
  options: { factor: number; seed: number },
): Pick<Result, "cases" | "ratios"> {
  const { seed } = options;
  const judged = cases.map((record) => rejudgeCase(record, options));
  const byId = new Map(judged.map((record) => [record.id, record]));
  return {
    cases: judged,
    ratios: ratios.flatMap((ratio) => {
      const [a, b] = [byId.get(ratio.numerator), byId.get(ratio.denominator)];
      return (a && b && pairedRatio({ a, b }, { seed })) || [];
    }),
  };
}

function rejudgeCase(record: CaseRecord, options: { factor: number; seed: number }): CaseRecord {
  if (record.samples.length === 0) return record;
  const samples = rejudge(record.samples, options.factor);
  const { statistic: _, throughput: __, ...rest } = record;
  const reason = record.status === "ok" ? inconclusiveReason(samples) : record.reason;
  const status = record.status === "ok" && reason !== undefined ? "inconclusive" : record.status;
  return withSamples({ ...rest, status, ...(reason !== undefined && { reason }) }, {
    samples,
    seed: options.seed,
  });
}
