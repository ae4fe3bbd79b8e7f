/**
 * Links to the sources that a report mentions.
 *
 * @module
 */

/** The paper. */
export const PAPER_URL = "https://arxiv.org/abs/2605.06554";

/** The code that the paper's authors published, a patch on torchtitan. */
export const PUBLISHED_CODE_URL = "https://github.com/ighoshsubho/lighthouse-attention";

/** Every external address that a page may link to. */
export const OUTSIDE: readonly string[] = [PAPER_URL, PUBLISHED_CODE_URL];

/** What a result says of the tool that the sources need. */
export interface SourceTool {
  readonly repository?: string;
  readonly commit: string | null;
}

/** A source: without an address there is no link. */
export interface Source {
  title: string;
  href: string | null;
}

/**
 * The sources, in the order in which readers need them.
 *
 * @param tool of a result. Without an address of a repository, or with one of another form than GitHub's,
 * the project's files are named without links.
 */
export function sources({ repository, commit }: SourceTool): Source[] {
  const known = /^https:\/\/github\.com\/[\w.-]+\/[\w.-]+$/.test(repository ?? "");
  const at = /^[0-9a-f]{7,64}$/.test(commit ?? "") ? commit : "HEAD";
  return [
    { title: "The paper, arXiv 2605.06554", href: PAPER_URL },
    { title: "The authors’ code", href: PUBLISHED_CODE_URL },
    ...(known ? [{ title: "This bench", href: repository! }] : []),
    {
      title: "How it measures (suites/METHOD.md)",
      href: known ? `${repository}/blob/${at}/suites/METHOD.md` : null,
    },
  ];
}
