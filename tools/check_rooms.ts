/**
 * Checks the code against the drawing of the rooms in ARCHITECTURE.md: which room may import from
 * which, and that no files import each other in a cycle. `deno task check` runs it.
 *
 * A room is a folder, or a single file between folders. Each entry of {@linkcode ROOMS}
 * says what a room may import besides itself; a file belongs to the entry with the longest matching
 * path, where `*` stands for one name. Tests and files whose name starts with `_` may import anything.
 *
 * @module
 */
import { basename, dirname, join, normalize } from "node:path/posix";
import { fileURLToPath } from "node:url";

/** What a layer is, besides its kernels. */
const LAYER = [
  "kernels/gpu",
  "kernels/implementation.ts",
  "kernels/options.ts",
  "kernels/key_heads.ts",
  "kernels/layer_inputs.ts",
  "kernels/layer_plan.ts",
];

const RECORD = [
  "suites/result/result.ts",
  "suites/result/common_schema.ts",
  "suites/result/suite_record.ts",
];

/** What each suite records. */
const RECORDS = "suites/*/record.ts";

const BASE = ["suites/errors.ts", "suites/statistics", "suites/result", ...RECORD, RECORDS];

const KERNELS = ["kernels", "kernels/*"];

const CHECKED = [...KERNELS, ...BASE, "suites/plan", "suites/device", "suites/check"];

const SUITE = [...CHECKED, "suites/measure"];

/**
 * What each room may import besides itself, lowest rooms first. `X/*` is any room below X, of the entries
 * themselves any that has none of its own.
 */
export const ROOMS: Readonly<Record<string, readonly string[]>> = {
  "kernels/gpu": [],
  "kernels/problem.ts": ["kernels/gpu"],
  "kernels/layer_checks.ts": ["kernels/problem.ts"],
  "kernels/implementation.ts": ["kernels/gpu", "kernels/problem.ts", "kernels/layer_checks.ts"],
  "kernels/options.ts": LAYER,
  "kernels/key_heads.ts": ["kernels/gpu"],
  "kernels/layer_inputs.ts": LAYER,
  "kernels/layer_plan.ts": ["kernels/implementation.ts"],
  "kernels/dense_attention": LAYER,
  "kernels/lighthouse": [...LAYER, "kernels/dense_attention"],
  "kernels/sparse_attention": [...LAYER, "kernels/dense_attention"],
  "kernels/retrieval": [...LAYER, "kernels/dense_attention", "kernels/lighthouse"],
  "kernels/training": [...LAYER, "kernels/dense_attention", "kernels/lighthouse"],
  "kernels": ["kernels/*"],

  "suites/errors.ts": KERNELS,
  "suites/statistics": [...KERNELS, "suites/result/result.ts"],
  // A suite's record is its part of the format, and the format consists of these records.
  "suites/result/result.ts": ["suites/result"],
  "suites/result/common_schema.ts": ["suites/result/result.ts"],
  "suites/result/suite_record.ts": ["suites/result/result.ts"],
  [RECORDS]: RECORD,
  "suites/result": [
    ...KERNELS,
    "suites/errors.ts",
    "suites/statistics",
    ...RECORD,
    RECORDS,
  ],
  "suites/plan": [...KERNELS, ...BASE],
  "suites/device": [...KERNELS, ...BASE, "suites/plan"],
  "suites/check": [...KERNELS, ...BASE, "suites/plan"],
  "suites/peers": CHECKED,
  "suites/measure": CHECKED,
  "suites/suite.ts": SUITE,
  // Trained models take the needle test of the retrieval suite.
  "suites/experiments": [...SUITE, "suites/retrieval"],
  // Every other folder below suites/ is a suite.
  "suites/*": [...SUITE, "suites/suite.ts"],
  "suites/suites.ts": ["suites/*"],
  "suites/run": [...KERNELS, "suites/*"],

  "suites/mod.ts": [...KERNELS, "suites/*"],

  "reports": BASE,
  "suites/cli": [...KERNELS, "suites/*", "reports", "live"],
  "live": [...KERNELS, "suites/*", "reports"],
};

/** A source file of the repository and what it imports, as paths from the root. */
export interface Source {
  /** For example `kernels/gpu/device.ts`. */
  readonly path: string;
  /** Files of the repository, type-only imports included, each once. */
  readonly imports: readonly string[];
}

/** The room of a file, and its entry in `rooms`; undefined if none matches. */
export function roomOf(
  path: string,
  rooms: Readonly<Record<string, unknown>>,
): { readonly room: string; readonly entry: string } | undefined {
  const patterns = Object.keys(rooms).filter((key) => key.includes("*"));
  for (let room = path; room !== "."; room = dirname(room)) {
    if (Object.hasOwn(rooms, room)) return { room, entry: room };
    const entry = patterns.find((pattern) => matches(pattern, room));
    if (entry !== undefined) return { room, entry };
  }
  return undefined;
}

/** Whether a path matches a pattern in which `*` stands for one name. */
function matches(pattern: string, path: string): boolean {
  const [want, have] = [pattern, path].map((one) => one.split("/"));
  return want.length === have.length && want.every((part, i) => part === "*" || part === have[i]);
}

/** One line for each import that no rule allows. */
export function findForbidden(
  sources: readonly Source[],
  rooms: Readonly<Record<string, readonly string[]>> = ROOMS,
): string[] {
  const allows = (rule: string, room: string) =>
    rule === room || matches(rule, room) ||
    (rule.endsWith("/*") && room.startsWith(rule.slice(0, -1)));
  return sources.filter(({ path }) => !isFree(path)).flatMap(({ path, imports }) => {
    const own = roomOf(path, rooms);
    if (own === undefined) return [`${path} belongs to no room`];
    const { room: from, entry } = own;
    return imports.flatMap((target) => {
      const to = roomOf(target, rooms)?.room;
      if (to === undefined || to === from || rooms[entry].some((rule) => allows(rule, to))) {
        return [];
      }
      return [`${path} (${from}) imports ${target} (${to})`];
    });
  });
}

/** Import cycles, one line each; of files that share a cycle only one line is printed. */
export function findCircles(sources: readonly Source[]): string[] {
  const imports = new Map(sources.map((source) => [source.path, source.imports]));
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (path: string, way: readonly string[]) => {
    const start = way.indexOf(path);
    if (start >= 0) {
      circles.push([...way.slice(start), path].join(" -> "));
      return;
    }
    if (done.has(path)) return;
    for (const next of imports.get(path) ?? []) visit(next, [...way, path]);
    done.add(path);
  };
  for (const { path } of sources) visit(path, []);
  return circles;
}

/** Every TypeScript file below the given folders of the repository. */
export async function readSources(root: URL, folders: readonly string[]): Promise<Source[]> {
  const paths: string[] = [];
  for (const folder of folders) {
    for await (const path of listFiles(root, folder)) {
      if (/\.tsx?$/.test(path)) paths.push(path);
    }
  }
  return await Promise.all(
    paths.sort().map(async (path) => {
      const text = await Deno.readTextFile(new URL(path, root));
      // Comments contain examples with imports of their own.
      const code = text.replace(/^\s*(\/\*\*?[\s\S]*?\*\/|\/\/.*)/gm, "");
      const found = code.matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*)"(\.{1,2}\/[^"]+)"/g);
      const imports = [...found].map(([, target]) => normalize(join(dirname(path), target)));
      return { path, imports: [...new Set(imports)] };
    }),
  );
}

async function* listFiles(root: URL, folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(new URL(`${folder}/`, root))) {
    const path = `${folder}/${name}`;
    if (isDirectory) yield* listFiles(root, path);
    else yield path;
  }
}

/** Tests and their helpers. */
function isFree(path: string): boolean {
  return /_test\.tsx?$/.test(path) || basename(path).startsWith("_");
}

if (import.meta.main) {
  const root = new URL("..", import.meta.url);
  const sources = await readSources(root, ["kernels", "suites", "reports", "live"]);
  const faults = [...findForbidden(sources), ...findCircles(sources).map((c) => `circle: ${c}`)];
  for (const fault of faults) console.error(fault);
  if (faults.length > 0) {
    console.error(
      `check: ${faults.length} imports break the rules in ${fileURLToPath(import.meta.url)}`,
    );
    Deno.exit(1);
  }
}
