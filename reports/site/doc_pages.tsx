/**
 * The project's documents as pages of the site: converts Markdown to HTML with known tags only.
 *
 * @module
 */
import type { JSX } from "preact";
import { Marked, type Token, type Tokens } from "marked";
import { dirname, join, normalize } from "node:path/posix";
import { formatPlural } from "../text/format.ts";
import { relative, type SiteFile, sitePage } from "./site_page.tsx";

/** A document. */
export interface DocFile {
  /** From the root of the repository: `docs/glossary.md`. */
  readonly path: string;
  /** Markdown. */
  readonly text: string;
}

/** A heading of a document. */
interface Heading {
  readonly id: string;
  readonly text: string;
  readonly depth: number;
}

/** A document as shown. */
interface DocPage {
  readonly source: DocFile;
  /** Of the page: `docs/glossary.html`. */
  readonly path: string;
  readonly title: string;
  /** The first sentences. */
  readonly summary: string;
  readonly headings: readonly Heading[];
  readonly html: string;
}

/** The index and a page for each document; nothing without any. */
export function docPages(files: readonly DocFile[]): SiteFile[] {
  const path = "docs/index.html";
  const paths = pathsOf(files);
  const pages = files.map((file) => renderDoc(file, paths));
  return [indexOf(pages, path), ...pages.map((page) => docPage(page, pages))];
}

/** Paths of the pages by those of the documents; `TUNING.md` of two folders are two pages. */
function pathsOf(files: readonly DocFile[]): Map<string, string> {
  const taken = new Set(["index"]);
  return new Map(files.map(({ path }) => {
    const parts = path.replace(/\.md$/, "").toLowerCase().split("/").map(slugOf);
    const own = path.startsWith("docs/") ? parts.slice(1) : parts;
    const short = own[own.length - 1];
    const name = taken.has(short) || short === "readme" && own.length > 1 ? own.join("-") : short;
    taken.add(name);
    return [path, `docs/${name}.html`];
  }));
}

function indexOf(pages: readonly DocPage[], path: string): SiteFile {
  return sitePage({
    path,
    entry: "Docs",
    heading: "How it is measured, and what the words mean.",
    title: "Documents",
    facts: [formatPlural(pages.length, "document")],
    children: (
      <section id="documents">
        <h2 class="visually-hidden">Documents</h2>
        {pages.length === 0
          ? <p class="lead">This site was made without the project’s documents.</p>
          : (
            <dl class="said">
              {pages.map((page) => (
                <>
                  <dt>
                    <a href={relative(path, page.path)}>{page.title}</a>
                  </dt>
                  <dd>{page.summary}</dd>
                </>
              ))}
            </dl>
          )}
      </section>
    ),
  });
}

function docPage(page: DocPage, pages: readonly DocPage[]): SiteFile {
  const { path, title, html, headings } = page;
  return sitePage({
    path,
    entry: "Docs",
    kicker: "Document",
    heading: title,
    facts: [page.source.path],
    children: (
      <section id="document" class="with-contents">
        <div class="doc" dangerouslySetInnerHTML={{ __html: html }} />
        <Contents headings={headings} page={page} pages={pages} />
      </section>
    ),
  });
}

function Contents(
  { headings, page, pages }: {
    headings: readonly Heading[];
    page: DocPage;
    pages: readonly DocPage[];
  },
): JSX.Element {
  const inside = headings.filter(({ depth }) => depth === 2 || depth === 3);
  return (
    <div class="contents" role="navigation" aria-label="Documents">
      {inside.length > 1 && (
        <>
          <strong>On this page</strong>
          <ul>
            {inside.map(({ id, text, depth }) => (
              <li class={depth === 3 ? "deep" : undefined}>
                <a href={`#${id}`}>{text}</a>
              </li>
            ))}
          </ul>
        </>
      )}
      <strong>Documents</strong>
      <ul>
        {pages.map((other) => (
          <li>
            <a
              href={relative(page.path, other.path)}
              aria-current={other === page ? "page" : undefined}
            >
              {other.title}
            </a>
          </li>
        ))}
      </ul>
    </div>
  );
}

/** Where links may lead besides pages of the site. */
const OUTSIDE = /^https?:\/\//;

/**
 * A document as HTML. Raw HTML in it is shown as text; links lead to pages of the site or to http and
 * https addresses, and all other links stay as text.
 */
function renderDoc(source: DocFile, paths: ReadonlyMap<string, string>): DocPage {
  const own = paths.get(source.path)!;
  const headings: Heading[] = [];
  const taken = new Set(["main", "document"]);
  const marked = new Marked({ gfm: true });
  marked.use({
    renderer: {
      html: ({ text }) => escapeHtml(text),
      image: ({ text }) => escapeHtml(text),
      heading(token) {
        const text = plain(token.tokens);
        const id = uniqueId(text, taken);
        headings.push({ id, text, depth: token.depth });
        // The page's heading replaces the document's first one.
        if (token.depth === 1 && headings.length === 1) return "";
        const level = Math.max(2, token.depth);
        return `<h${level} id="${id}">${this.parser.parseInline(token.tokens)}</h${level}>\n`;
      },
      link(token) {
        const text = this.parser.parseInline(token.tokens);
        const href = hrefOf(token.href, { from: source.path, page: own, paths });
        return href === null ? text : `<a href="${escapeHtml(href)}">${text}</a>`;
      },
      code: ({ text }) =>
        `<pre tabindex="0"><code>${escapeHtml(text.replace(/\n$/, ""))}</code></pre>\n`,
      table(token) {
        const cells = (row: readonly Tokens.TableCell[], name: string) =>
          row.map((cell) => {
            const scope = name === "th" ? ' scope="col"' : "";
            const align = cell.align === "right" ? ' class="number"' : "";
            return `<${name}${scope}${align}>${this.parser.parseInline(cell.tokens)}</${name}>`;
          }).join("");
        const body = token.rows.map((row) => `<tr>${cells(row, "td")}</tr>`).join("\n");
        return `<div class="scroll" tabindex="0" role="group" aria-label="Table">` +
          `<table><thead><tr>${cells(token.header, "th")}</tr></thead>` +
          `<tbody>${body}</tbody></table></div>\n`;
      },
    },
  });
  const tokens = marked.lexer(source.text);
  const html = marked.parser(tokens);
  const first = tokens.find(({ type }) => type === "paragraph") as Tokens.Paragraph | undefined;
  return {
    source,
    path: own,
    title: headings.find(({ depth }) => depth === 1)?.text ?? source.path,
    summary: first === undefined ? "" : sentencesOf(plain(first.tokens)),
    headings,
    html,
  };
}

/** The address of a link on a page; null if a reader of the site cannot reach it. */
function hrefOf(
  href: string,
  { from, page, paths }: { from: string; page: string; paths: ReadonlyMap<string, string> },
): string | null {
  if (OUTSIDE.test(href)) return URL.canParse(href) ? new URL(href).href : null;
  const [target, anchor] = href.split("#", 2);
  if (target !== "" && /^[a-z]+:/i.test(target)) return null;
  const hash = anchor === undefined ? "" : `#${slugOf(anchor)}`;
  if (target === "") return hash === "" ? null : hash;
  const to = paths.get(normalize(join(dirname(from), target)));
  return to === undefined ? null : relative(page, to) + hash;
}

/** The text of inline tokens without markup. */
function plain(tokens: readonly Token[] | undefined): string {
  return (tokens ?? []).map((token) =>
    "tokens" in token && token.tokens !== undefined
      ? plain(token.tokens)
      : "text" in token
      ? unescapeHtml(String(token.text))
      : ""
  ).join("").replace(/\s+/g, " ").trim();
}

const SENTENCES = new Intl.Segmenter("en", { granularity: "sentence" });

/** The first sentences, up to about 240 characters. */
function sentencesOf(text: string): string {
  let found = "";
  for (const { segment } of SENTENCES.segment(text)) {
    if (found !== "" && (found + segment).length > 240) break;
    found += segment;
  }
  return found.trim();
}

/** GitHub's anchors of headings, for the characters in ours. */
function slugOf(text: string): string {
  return text.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, "").trim().replace(/\s+/g, "-")
    .replace(/[^a-z0-9-]/g, "-") || "part";
}

function uniqueId(text: string, taken: Set<string>): string {
  const base = slugOf(text);
  let id = base;
  for (let i = 1; taken.has(id); i++) id = `${base}-${i}`;
  taken.add(id);
  return id;
}

const ESCAPES: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => ESCAPES[char]);
}

/** Undoes the escapes of marked in the text of a token. */
function unescapeHtml(text: string): string {
  return Object.entries(ESCAPES).toReversed().reduce(
    (found, [char, escaped]) => found.replaceAll(escaped, char),
    text,
  );
}
