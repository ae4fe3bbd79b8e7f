/**
 * WGSL of what workgroups of the backward passes on matrix units visit: the walk over a tile's
 * columns, the parts and pieces of lists that are cut, and whether others add to the same sums. See
 * `dense_matrix_backward_codegen.ts`.
 *
 * @module
 */
import { flatWgsl } from "../../gpu/wgsl.ts";
import type { BackwardKernel } from "./dense_matrix_backward_codegen.ts";

/**
 * Opens the walk of own rows over the columns of a rectangle. If it is empty, partial sums stay
 * unchanged, except in their first and last rectangle.
 */
export function openPath(
  { walk, apart }: BackwardKernel,
  { own, from, end }: { readonly own: string; readonly from: string; readonly end: string },
): string[] {
  if (!walk) return [];
  const open = `let path = openWalk(params.firstHead + group.x, ${own}, ${from}, ${end});`;
  if (apart) return [open, "if (path.rows == 0u) { return; }"];
  return [
    open,
    "if (path.rows == 0u && earlier && later) { return; }",
  ];
}

/**
 * Whether other rectangles add to the sums of keys before and after this one, if no walk says so.
 */
export function openEdges({ walk, apart, group }: BackwardKernel): string[] {
  if (apart) return [];
  const later = group > 1
    ? "let later = true; // another pass adds the heads of a group"
    : walk
    ? "let later = params.complete == 0u || params.parts > 1u;"
    : "let later = params.endQuery < params.rows;";
  return [
    "let earlier = params.firstQuery > params.firstKey;",
    later,
  ];
}

/** The first key of the workgroup; with a walk also its range of queries, and the walk over it. */
export function openTile(kernel: BackwardKernel): string[] {
  const { ownRows, walk, apart } = kernel;
  if (!walk) return [`let own0 = params.firstKey + group.y * ${ownRows}u;`];
  const open = openPath(kernel, { own: "own0", from: "partFirst", end: "partEnd" });
  if (kernel.packed) {
    return [
      `let tiles = params.partialRows / ${ownRows}u; // of a piece of a list`,
      "let slotTile = params.firstQuery / params.partQueries * tiles + group.y;",
      "let slot = slotTile / tiles;",
      "let piece = pieceAt(params.firstHead + group.x, slot, params.partQueries);",
      "let slotKey = piece.x;",
      `let own0 = slotKey + group.y % tiles * ${ownRows}u;`,
      "let partFirst = piece.y * params.partQueries;",
      "let partEnd = min(partFirst + params.partQueries, params.endQuery);",
      "if (partFirst < params.firstQuery) { return; }",
      ...open,
      "let earlier = false;",
      "let later = path.seeing < partFirst || path.past > partEnd;",
    ];
  }
  return [
    "let tiles = groups.y / params.parts;",
    "let part = group.y / tiles;",
    `let own0 = params.firstKey + group.y % tiles * ${ownRows}u;`,
    "let partFirst = params.firstQuery + part * params.partQueries;",
    "let partEnd = min(partFirst + params.partQueries, params.endQuery);",
    ...open,
    ...apart
      ? [
        "let rangeQueries = params.parts * params.partQueries;",
        "let earlier = path.seeing + rangeQueries < partFirst + params.partQueries;",
        "let before = params.parts > 1u && path.seeing < partFirst;",
        "let later = before || path.past > partEnd; // or other parts add to the same sums",
      ]
      : [],
  ];
}

/**
 * Stores a lane's part of dS where own rows and columns are rows of different tensors. Keys out of
 * the range of a query's tile are not seen by any query of it, and have no place.
 */
export function leaveApartGradients(): string {
  return flatWgsl`
    {
      let relative = (own - walkOrigin(path, query0)) / 16u;
      let blocks = (group.x * params.keyBlocks + relative) * params.queryBlocks;
      let at = (blocks + (query0 - params.firstQuery) / 16u) * 32u + scoreRow;
      if (relative < params.keyBlocks) { scoreGradients[at] = select(vec4u(), yw, live); }
    }
  `;
}
