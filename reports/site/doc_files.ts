/**
 * The project's documents that a site shows, from the repository.
 *
 * @module
 */
import type { DocFile } from "./doc_pages.tsx";

/** Documents in other folders than `docs/`, in the order of the site; those of `docs/` come first. */
const OTHERS = [
  "suites/METHOD.md",
  "reports/gate/GATE.md",
  "kernels/dense_attention/TUNING.md",
  "kernels/lighthouse/TUNING.md",
  "docs/proposals/README.md",
  "docs/proposals/element_access.md",
  "docs/proposals/async_copies.md",
  "fixtures/baselines/README.md",
  "ARCHITECTURE.md",
  "CONTRIBUTING.md",
  "CHANGELOG.md",
];

/** Reads them; documents that a copy of the project lacks are left out. */
export async function readDocs(root: URL): Promise<DocFile[]> {
  const own: string[] = [];
  try {
    for await (const { name, isFile } of Deno.readDir(new URL("docs/", root))) {
      if (isFile && name.endsWith(".md")) own.push(`docs/${name}`);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  const found = await Promise.all(
    ["README.md", ...own.sort(), ...OTHERS].map(async (path): Promise<DocFile[]> => {
      try {
        return [{ path, text: await Deno.readTextFile(new URL(path, root)) }];
      } catch (error) {
        if (error instanceof Deno.errors.NotFound) return [];
        throw error;
      }
    }),
  );
  return found.flat();
}
