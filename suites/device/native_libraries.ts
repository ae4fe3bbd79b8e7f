/**
 * Native libraries that a command may load: Dawn's add-on and CUDA's driver.
 *
 * @module
 */
import { CUDA_LIBRARIES } from "./cuda_context.ts";

/**
 * Folders where Deno keeps npm packages; Dawn's add-on is in one of them.
 *
 * @param read the value of an environment variable; for tests.
 */
export function packageFolders(
  read: (name: string) => string | undefined = (name) => Deno.env.get(name),
): string[] {
  const at = (name: string, below: string) => {
    const value = read(name);
    return value ? [`${value}/${below}`] : [];
  };
  return [
    ...at("HOME", ".cache/deno/npm"),
    ...at("XDG_CACHE_HOME", "deno/npm"),
    ...at("HOME", "Library/Caches/deno/npm"),
    ...at("LOCALAPPDATA", "deno/npm"),
    ...at("DENO_DIR", "npm"),
  ];
}

/**
 * Resolves an `ffi` entry of a permission set in `deno.json` to paths: `$DAWN` and `$CUDA`
 * are these libraries, anything else is a path.
 *
 * @param read the value of an environment variable; for tests.
 */
export function libraryPaths(
  entry: string,
  read?: (name: string) => string | undefined,
): readonly string[] {
  if (entry === "$DAWN") return packageFolders(read);
  if (entry === "$CUDA") return CUDA_LIBRARIES;
  return [entry];
}
