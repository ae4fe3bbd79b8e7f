/**
 * A figure of the page: a drawing for a wide and one for a narrow place, and its numbers as a table.
 *
 * @module
 */
import type { ComponentChildren, JSX } from "preact";
import type { DrawingSize } from "../reports/charts/drawing.ts";
import { Swatch } from "../reports/charts/figure.tsx";
import type { SeriesStyle } from "../reports/charts/palette.ts";

const SIZES: readonly DrawingSize[] = [
  { width: 760, height: 360, compact: false },
  { width: 350, height: 300, compact: true },
];

/** The figure. `id` is unique in the document; `title` names the drawing for readers who do not see it. */
export function LiveFigure(
  { id, title, legend = [], draw, children }: {
    id: string;
    title: ComponentChildren;
    /** Default: none. */
    legend?: readonly { readonly label: string; readonly style: SeriesStyle }[];
    /** What lies inside the `svg` element. */
    draw: (size: DrawingSize) => JSX.Element;
    /** The numbers. */
    children: ComponentChildren;
  },
): JSX.Element {
  return (
    <figure class="figure">
      <figcaption id={`${id}-title`}>{title}</figcaption>
      {legend.length > 0 && (
        <ul class="legend" aria-hidden="true">
          {legend.map(({ label, style }) => (
            <li key={label}>
              <Swatch style={style} dash={style.dash} />
              {label}
            </li>
          ))}
        </ul>
      )}
      {SIZES.map((size) => (
        <svg
          class={size.compact ? "drawing compact" : "drawing wide"}
          viewBox={`0 0 ${size.width} ${size.height}`}
          style={{ maxWidth: `${size.width}px` }}
          role="img"
          aria-labelledby={`${id}-title`}
        >
          {draw(size)}
        </svg>
      ))}
      <details>
        <summary>As a table</summary>
        {children}
      </details>
    </figure>
  );
}
