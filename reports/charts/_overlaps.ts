/**
 * Finds faults of the texts in a page's drawings, measured in a browser.
 *
 * @module
 */

/** A fault of one drawing. */
export interface TextFault {
  /** Id of the figure, and which of its drawings. */
  figure: string;
  kind: "text over text" | "text over mark" | "text over line" | "out of its drawing" | "text size";
  detail: string;
}

/**
 * Texts of the visible drawings that cover each other, cover a data point or its line, extend
 * beyond the drawing, or are scaled far from their size. Runs inside the page.
 */
export function findTextFaults(): TextFault[] {
  interface Box {
    left: number;
    right: number;
    top: number;
    bottom: number;
  }
  const faults: TextFault[] = [];
  const boxOf = (element: Element): Box => element.getBoundingClientRect();
  /** The box of the letters: a line's box has extra room above and below them. */
  const lettersOf = (element: Element): Box => {
    const { left, right, top, bottom } = boxOf(element);
    const trim = 0.18 * (bottom - top);
    return { left, right, top: top + trim, bottom: bottom - trim };
  };
  const common = (a: Box, b: Box) =>
    Math.min(
      Math.min(a.right, b.right) - Math.max(a.left, b.left),
      Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top),
    );
  for (const svg of document.querySelectorAll<SVGSVGElement>("svg.drawing")) {
    const frame = boxOf(svg);
    if (frame.right - frame.left < 2) continue;
    const compact = svg.classList.contains("compact") ? " (compact)" : "";
    const figure = (svg.closest("figure")?.id ?? "") + compact;
    const add = (kind: TextFault["kind"], detail: string) => faults.push({ figure, kind, detail });
    const texts = [...svg.querySelectorAll("text")].filter((text) => text.textContent !== "")
      .map((element) => ({
        element,
        text: element.textContent!,
        box: lettersOf(element),
      }));
    const scale = (frame.right - frame.left) / svg.viewBox.baseVal.width;
    if (scale < 0.72 || scale > 1.35) add("text size", `scaled by ${scale.toFixed(2)}`);
    const marks = [...svg.querySelectorAll(".marker, .mark path, use, circle.dot")].map(boxOf);
    const matrix = svg.getScreenCTM()!;
    const lines = [...svg.querySelectorAll<SVGPathElement>(".curve, .law")].flatMap((path) => {
      const length = path.getTotalLength();
      return Array.from({ length: Math.ceil(length / 3) + 1 }, (_, i) => {
        const { x, y } = path.getPointAtLength(3 * i).matrixTransform(matrix);
        return { left: x, right: x, top: y, bottom: y };
      });
    });
    texts.forEach(({ text, box, element }, i) => {
      for (const other of texts.slice(i + 1)) {
        if (common(box, other.box) > 0.5) add("text over text", `“${text}” and “${other.text}”`);
      }
      if (element.closest(".cells") === null && marks.some((mark) => common(box, mark) > 1.5)) {
        add("text over mark", `“${text}”`);
      }
      if (lines.some((point) => common(box, point) > -0.5 && common(box, point) <= 0)) {
        const inside = lines.filter(({ left: x, top: y }) =>
          x > box.left + 1 && x < box.right - 1 && y > box.top + 1 && y < box.bottom - 1
        );
        if (inside.length > 0) add("text over line", `“${text}”`);
      }
      const out = Math.max(
        frame.left - box.left,
        box.right - frame.right,
        frame.top - box.top,
        box.bottom - frame.bottom,
      );
      if (out > 1.5) add("out of its drawing", `“${text}” by ${out.toFixed(0)} px`);
    });
  }
  return faults;
}
