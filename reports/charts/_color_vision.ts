/**
 * How different colours look, with and without a colour vision deficiency.
 *
 * @module
 */

type Triple = readonly [number, number, number];

/**
 * Matrices on linear RGB for a complete deficiency: Machado, Oliveira and Fernandes, "A
 * Physiologically-based Model for Simulation of Color Vision Deficiency", 2009, table 1.
 */
const VISIONS: Record<string, readonly [Triple, Triple, Triple]> = {
  usual: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
  protanopia: [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
  deuteranopia: [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.011820, 0.042940, 0.968881],
  ],
  tritanopia: [
    [1.255528, -0.076749, -0.178779],
    [-0.078411, 0.930809, 0.147602],
    [0.004733, 0.691367, 0.303900],
  ],
};

function linear(hex: string): Triple {
  const [r, g, b] = [1, 3, 5].map((at) => {
    const value = parseInt(hex.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return [r, g, b];
}

const dot = (a: Triple, b: Triple) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];

/** CIE L*a*b* of linear RGB under D65. */
function lab(rgb: Triple): Triple {
  const f = (t: number) => t > 216 / 24389 ? Math.cbrt(t) : (24389 / 27 * t + 16) / 116;
  const x = f(dot([0.4124, 0.3576, 0.1805], rgb) / 0.9505);
  const y = f(dot([0.2126, 0.7152, 0.0722], rgb));
  const z = f(dot([0.0193, 0.1192, 0.9505], rgb) / 1.089);
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

/** Smallest distance of two colours (CIE 1976) under any of the visions. */
export function leastDistance(a: string, b: string): number {
  return Math.min(
    ...Object.values(VISIONS).map((vision) => {
      const [one, other] = [a, b].map((hex) => {
        const rgb = linear(hex);
        const seen = vision.map((row) => Math.min(1, Math.max(0, dot(row, rgb))));
        return lab([seen[0], seen[1], seen[2]]);
      });
      return Math.hypot(one[0] - other[0], one[1] - other[1], one[2] - other[2]);
    }),
  );
}

/** Contrast of two colours as WCAG 2 defines it, 1 to 21. */
export function contrast(a: string, b: string): number {
  const [low, high] = [a, b].map((hex) => dot([0.2126, 0.7152, 0.0722], linear(hex)))
    .sort((one, other) => one - other);
  return (high + 0.05) / (low + 0.05);
}
