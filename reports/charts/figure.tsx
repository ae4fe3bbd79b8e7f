/**
 * Shared by all figures: title, text alternative, legend, two drawings (one for a narrow screen),
 * the data table beside them, and the numbers to save.
 *
 * @module
 */
import type { DrawingSize } from "./drawing.ts";
import type { ComponentChildren, JSX } from "preact";
import { render } from "preact-render-to-string";
import { ABSENT, formatCount } from "../text/format.ts";
import { type ChartCell, type ChartData, embedChartData } from "./chart_data.ts";
import type { SeriesStyle } from "./palette.ts";
import { markerPath } from "./palette.ts";
import { MARKED_COLUMNS } from "../html/style.ts";

/** A table of text with a caption. */
export interface DataTable {
  caption: string;
  columns: { title: string; numeric?: boolean }[];
  rows: ComponentChildren[][];
  /** Has every row in the page, however long it is. */
  whole?: boolean;
}

/** What a figure shows and saves. */
export interface FigureProps {
  /** Unique in the document. */
  id: string;
  title: string;
  /** What the drawing shows, in sentences, for readers who do not see it. */
  description: string;
  draw: (size: DrawingSize) => JSX.Element;
  /** Width of the column on a wide screen, 760 by default. */
  width?: number;
  height?: number;
  compactHeight?: number;
  legend?: {
    label: string;
    style: SeriesStyle;
    dash?: string;
    hollow?: boolean;
    faint?: boolean;
  }[];
  table: DataTable;
  /** The numbers for export, unrounded; by default those of the table. */
  data?: ChartData;
  /** Source and caveats, under the drawing. */
  note?: ComponentChildren;
}

/** Up to this width one drawing serves every screen. */
const NARROW = 400;
/** Up to this width a drawing switches to its compact form later than a whole column does. */
const HALF = 600;
/** How far a drawing is stretched in a wide column, keeping the size of its texts. */
const MOST_STRETCH = 1.12;

/** Rows that a page has as they are, if a table is longer than {@linkcode LONG_TABLE}. */
const ROWS_SHOWN = 40;
/** Rows from which on the rest of a table is packed: the script of the page adds it. */
const LONG_TABLE = 60;

/** A figure with its drawings and its data. */
export function Figure(props: FigureProps): JSX.Element {
  const { id, title, description, draw, legend, table, note } = props;
  const named = legend?.filter(({ faint }) => !faint) ?? [];
  const { width = 760, height = 430, compactHeight = 330 } = props;
  // A narrow drawing serves every screen.
  const sizes: DrawingSize[] = width <= NARROW ? [{ width, height, compact: false }] : [
    { width, height, compact: false },
    { width: 350, height: compactHeight, compact: true },
  ];
  return (
    <figure id={id} class="figure">
      <figcaption id={`${id}-title`}>{title}</figcaption>
      <p id={`${id}-text`} hidden>{description}</p>
      {named.length > 1 && (
        <ul class="legend" aria-hidden="true">
          {named.map(({ label, style, hollow, dash }) => (
            <li>
              <Swatch style={style} hollow={hollow} dash={dash} />
              {label}
            </li>
          ))}
          {legend!.length > named.length && (
            <li>grey: {legend!.length - named.length} further settings, in the table</li>
          )}
        </ul>
      )}
      {sizes.map((size) => (
        <svg
          class={"drawing" + (size.compact ? " compact" : sizes.length > 1 ? " wide" : "") +
            (sizes.length > 1 && width <= HALF ? " half" : "")}
          viewBox={`0 0 ${size.width} ${size.height}`}
          style={{ maxWidth: `${Math.round(MOST_STRETCH * size.width)}px` }}
          role="img"
          aria-labelledby={`${id}-title ${id}-text`}
        >
          {draw(size)}
        </svg>
      ))}
      {note !== undefined && <p class="source">{note}</p>}
      <details class="data">
        <summary>The numbers of this figure</summary>
        <Table {...table} />
      </details>
      <Export title={title} data={props.data ?? tableData(table)} />
    </figure>
  );
}

/**
 * The numbers of the enclosing `<figure>`, and the place for the save buttons, which the
 * script of the page makes.
 */
export function Export({ data }: { title: string; data: ChartData }): JSX.Element {
  return (
    <>
      <p class="export"></p>
      <script
        type="application/json"
        class="chart-data"
        dangerouslySetInnerHTML={{ __html: embedChartData(data) }}
      />
    </>
  );
}

/** A table that scrolls sideways in its own box if necessary. */
export function Table({ caption, columns, rows, whole = false }: DataTable): JSX.Element {
  // Set once per column: a long table would repeat it thousands of times.
  const marks = columns.flatMap(({ numeric }, i) =>
    i === 0 ? numeric ? ["n"] : [] : !numeric && i < MARKED_COLUMNS ? [`t${i + 1}`] : []
  );
  const shown = rows.length > LONG_TABLE && !whole ? rows.slice(0, ROWS_SHOWN) : rows;
  const toRow = (row: ComponentChildren[]) => (
    <tr>
      {row.map((cell, i) =>
        i === 0
          ? (
            <th
              scope="row"
              class={!columns[i]?.numeric && isLong(cell) ? "long" : undefined}
            >
              {cell}
            </th>
          )
          // Most cells are numbers, so text is what is marked.
          : (
            <td class={!columns[i]?.numeric && i >= MARKED_COLUMNS ? "t" : undefined}>
              {cell}
            </td>
          )
      )}
    </tr>
  );
  return (
    <div class="scroll" tabIndex={0} role="group" aria-label={caption}>
      <table class={marks.length > 0 ? marks.join(" ") : undefined}>
        <caption>{caption}</caption>
        <thead>
          <tr>
            {columns.map(({ title, numeric }) => (
              <th scope="col" class={number(numeric)}>{title}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {shown.map(toRow)}
        </tbody>
      </table>
      {shown.length < rows.length && (
        <>
          <p class="more-rows">
            {formatCount(shown.length)} of {formatCount(rows.length)} rows
          </p>
          <template class="rows">{rows.slice(shown.length).map(toRow)}</template>
        </>
      )}
    </div>
  );
}

/** The marker of a series on a piece of its line, as a small picture for legends. */
export function Swatch(
  { style, dash, hollow = false }: { style: SeriesStyle; dash?: string; hollow?: boolean },
): JSX.Element {
  const half = dash === undefined ? 8 : 15;
  return (
    <svg
      class="swatch"
      viewBox={`${-half} -8 ${2 * half} 16`}
      width={2 * half - 2}
      height="14"
      style={{ color: style.color }}
      aria-hidden="true"
    >
      {dash !== undefined && <path class="curve" stroke-dasharray={dash} d="M-15,0H15" />}
      <path class={hollow ? "marker hollow" : "marker"} d={markerPath(style.marker, 80)} />
    </svg>
  );
}

/** A table's own cells as data: plain numbers as numbers, anything with a unit as text. */
function tableData({ columns, rows }: DataTable): ChartData {
  return {
    columns: columns.map(({ title }) => title),
    rows: rows.map((row) =>
      row.map((cell, i): ChartCell => {
        const text = typeof cell === "string" ? cell : textOf(cell);
        if (text === ABSENT) return null;
        const plain = text.replace(/,(?=\d{3})/g, "").replace(/^−/, "-");
        return columns[i]?.numeric && /^-?\d+(\.\d+)?$/.test(plain) ? Number(plain) : text;
      })
    ),
  };
}

function textOf(cell: ComponentChildren): string {
  return render(<>{cell}</>).replace(/<[^>]*>/g, " ").replace(/\s+/g, " ").trim()
    .replace(/&(lt|gt|quot|amp|#39);/g, (_, name: string) => ENTITIES[name]);
}

const ENTITIES: Record<string, string> = { lt: "<", gt: ">", quot: '"', amp: "&", "#39": "'" };

function number(numeric: boolean | undefined): string | undefined {
  return numeric ? "number" : undefined;
}

/** Whether a row's name is long enough to reserve room for it. */
function isLong(cell: ComponentChildren): boolean {
  return typeof cell === "string" && cell.length > 24;
}
