/**
 * Where a reader finds what a report speaks of.
 *
 * @module
 */

/** The paper. */
export const PAPER_URL = "https://arxiv.org/abs/2605.06554";

/** The code that the paper's authors published, a patch on torchtitan. */
export const PUBLISHED_CODE_URL = "https://github.com/ighoshsubho/lighthouse-attention";

/**
 * Address of this project's repository, without a slash at its end. Null while it has none that is
 * public: then reports name files of it and link to none.
 */
export const REPOSITORY_URL: string | null = null;

/** Every address outside of its files that a page may link to. */
export const OUTSIDE: readonly string[] = [PAPER_URL, PUBLISHED_CODE_URL];

/** Where to read of something: without an address there is nothing to link to. */
export interface Source {
  title: string;
  href: string | null;
}

/** The sources, in the order in which a reader wants them. */
export function sources(repository: string | null = REPOSITORY_URL): Source[] {
  const file = (path: string) => repository === null ? null : `${repository}/blob/main/${path}`;
  return [
    { title: "The paper, arXiv 2605.06554", href: PAPER_URL },
    { title: "The authors’ code", href: PUBLISHED_CODE_URL },
    ...(repository === null ? [] : [{ title: "This bench", href: repository }]),
    { title: "How it measures (suites/METHOD.md)", href: file("suites/METHOD.md") },
  ];
}
