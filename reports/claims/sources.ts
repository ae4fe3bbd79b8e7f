/**
 * Links to the sources that a report mentions.
 *
 * @module
 */

/** The paper. */
export const PAPER_URL = "https://arxiv.org/abs/2605.06554";

/** The code that the paper's authors published, a patch on torchtitan. */
export const PUBLISHED_CODE_URL = "https://github.com/ighoshsubho/lighthouse-attention";

/**
 * Address of this project's repository, without a trailing slash. Null while it has no public
 * one: then reports name its files without links.
 */
export const REPOSITORY_URL: string | null = null;

/** Every external address that a page may link to. */
export const OUTSIDE: readonly string[] = [PAPER_URL, PUBLISHED_CODE_URL];

/** A source: without an address there is no link. */
export interface Source {
  title: string;
  href: string | null;
}

/** The sources, in the order in which readers need them. */
export function sources(repository: string | null = REPOSITORY_URL): Source[] {
  const file = (path: string) => repository === null ? null : `${repository}/blob/main/${path}`;
  return [
    { title: "The paper, arXiv 2605.06554", href: PAPER_URL },
    { title: "The authors’ code", href: PUBLISHED_CODE_URL },
    ...(repository === null ? [] : [{ title: "This bench", href: repository }]),
    { title: "How it measures (suites/METHOD.md)", href: file("suites/METHOD.md") },
  ];
}
