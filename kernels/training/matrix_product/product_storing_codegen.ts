/**
 * WGSL that stores the results of a product on matrix units: 16 rows of every subgroup at a time go
 * through workgroup memory, between barriers, and each thread hands its octets of them to the
 * epilogue.
 *
 * What an epilogue loads for 16 rows is loaded at once, while the 16 before them are stored. The
 * octets are written out: a loop would wait for each one's loads.
 *
 * @module
 */
import { range, wgsl } from "../../gpu/wgsl.ts";
import { type Factor, inOrder, rowAt } from "./product_staging_codegen.ts";

/** What the statements that store results need. */
export interface Storing {
  /** Numbers of a subgroup's matrices one above the other, and side by side. */
  readonly down: readonly number[];
  readonly across: readonly number[];
  /** Columns of a subgroup. */
  readonly columns: number;
  /** Vectors from one row of results to the next in workgroup memory. */
  readonly stride: number;
  readonly left: Factor;
  readonly right: Factor;
  /** Whether the epilogue takes what `addedOctet` loads. */
  readonly added: boolean;
}

/** Statements that store all results. */
export function storeResults(storing: Storing): string[] {
  const { down, across, stride, added } = storing;
  const load = (i: number) => added && i < down.length ? loadAdded(storing, i) : [];
  return [
    ...load(0),
    `let own = subgroup * ${16 * stride}u;`,
    ...down.flatMap((i) => [
      "workgroupBarrier();",
      ...across.map((j) =>
        `subgroupMatrixStore<row_major>(&scratch, own + ${4 * j}u, r${i}_${j}, ${stride}u);`
      ),
      ...load(i + 1),
      "workgroupBarrier();",
      ...storeRows(storing, i),
    ]),
  ];
}

/** WGSL of the row and of the octet in it that a thread stores as its n-th of 16 rows. */
function placeOfOctet({ columns }: Storing, n: number): { row: string; octet: string } {
  const octets = columns / 8;
  if (32 % octets === 0) {
    return { row: `(lane / ${octets}u + ${n * 32 / octets}u)`, octet: `(lane % ${octets}u)` };
  }
  const nth = `(lane + ${32 * n}u)`;
  return { row: `(${nth} / ${octets}u)`, octet: `(${nth} % ${octets}u)` };
}

/** WGSL of where an octet of the i-th 16 rows lies in the result: its row and its first column. */
function resultPlace(
  { left }: Storing,
  { i, row, octet }: { readonly i: number; readonly row: string; readonly octet: string },
): string {
  return `row0 + ownRow + ${16 * i}u + ${rowAt(left, row)}, column0 + ownColumn + ${octet} * 8u`;
}

/** Octets of 16 rows that a thread stores. */
const octetsOf = ({ columns }: Storing) => range(columns / 16);

/** Statements that load what a thread's octets of the i-th 16 rows take. */
function loadAdded(storing: Storing, i: number): string[] {
  return octetsOf(storing).map((n) => {
    const place = resultPlace(storing, { i, ...placeOfOctet(storing, n) });
    return `let added${i}_${n} = addedOctet(${place});`;
  });
}

/** Statements that store a thread's octets of the i-th 16 rows. */
function storeRows(storing: Storing, i: number): string[] {
  const { right, added, stride } = storing;
  const [a, b] = inOrder(right);
  return octetsOf(storing).map((n) => {
    const { row, octet } = placeOfOctet(storing, n);
    const place = resultPlace(storing, { i, row: "row", octet: "octet" });
    return wgsl`
      {
        let row = ${row};
        let octet = ${octet};
        let at = own + row * ${stride}u + octet * 2u;
        // Of 8 threads in a row half read their second vector first, so that no bank is met twice.
        let swap = (octet >> 2u) & 1u;
        let x = bitcast<vec4f>(scratch[at + swap]);
        let y = bitcast<vec4f>(scratch[at + 1u - swap]);
        let a = select(x, y, swap == 1u);
        let b = select(y, x, swap == 1u);
        storeOctet(group.z, ${place}, ${a}, ${b}${added ? `, added${i}_${n}` : ""});
      }
    `;
  });
}
