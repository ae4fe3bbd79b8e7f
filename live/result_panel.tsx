/**
 * A finished run or dropped files: the ratio, the verdicts, the whole report in place, and the ways to
 * take it along.
 *
 * @module
 */
import { Component, createRef, type JSX } from "preact";
import { renderReport } from "../reports/render_report.ts";
import { Findings } from "./findings.tsx";
import type { PublishedDevice } from "./page_html.ts";
import type { Export } from "./exports.ts";
import type { ShownResult } from "./state.ts";

/** What a person can do with results. */
export interface ResultActions {
  readonly save: (what: Export, result: ShownResult) => void;
  readonly copy: (result: ShownResult) => void;
  readonly close: () => void;
}

const SAVES: readonly (readonly [Export, string])[] = [
  ["json", "JSON"],
  ["csv", "CSV"],
  ["markdown", "Markdown"],
  ["report", "report"],
  ["picture", "picture"],
];

/** One result with its report, or the comparison of several. */
export function ResultPanel(
  { shown, copied, published, actions }: {
    shown: readonly ShownResult[];
    /** It was copied a moment ago. */
    copied: boolean;
    published: readonly PublishedDevice[];
    actions: ResultActions;
  },
): JSX.Element {
  const [first] = shown;
  const alone = shown.length === 1;
  return (
    <section class="result" aria-labelledby="result-title">
      <h2 id="result-title" tabIndex={-1}>
        {alone ? `Result: ${first.name}` : `Comparison of ${shown.length} results`}
      </h2>
      {alone && <Findings result={first.result} published={published} large />}
      <p class="actions">
        <button type="button" onClick={actions.close}>
          {first.own ? "Measure again" : "Close"}
        </button>
        {alone && (
          <button type="button" class="primary" onClick={() => actions.copy(first)}>
            {copied ? "Copied" : "Copy JSON"}
          </button>
        )}
      </p>
      {alone && (
        <p class="actions">
          <span>Download:</span>
          {SAVES.map(([what, label]) => (
            <button
              type="button"
              key={what}
              aria-label={`Download ${label}`}
              onClick={() => actions.save(what, first)}
            >
              {label}
            </button>
          ))}
        </p>
      )}
      {alone && first.own && (
        <p class="contribute">
          Nothing was sent anywhere. To publish this run, download its JSON, put the file into the
          folder <code>results/</code>{" "}
          of the repository and open a pull request; the README there has the steps.
        </p>
      )}
      <ReportFrame shown={shown} />
    </section>
  );
}

/** The report as its own document, as high as its content. */
class ReportFrame extends Component<{ shown: readonly ShownResult[] }> {
  readonly #frame = createRef<HTMLIFrameElement>();
  #observer?: ResizeObserver;
  #page?: { readonly shown: readonly ShownResult[]; readonly html: string };

  /** Rendering takes a moment: once for the same results. */
  override shouldComponentUpdate(next: { shown: readonly ShownResult[] }): boolean {
    return next.shown !== this.props.shown;
  }

  override componentWillUnmount(): void {
    this.#observer?.disconnect();
  }

  #html(): string {
    const { shown } = this.props;
    if (this.#page?.shown !== shown) {
      const results = shown.map(({ result }) => result);
      const html = renderReport(results.length === 1 ? results[0] : results);
      this.#page = { shown, html };
    }
    return this.#page!.html;
  }

  #fit(): void {
    const frame = this.#frame.current!;
    const root = frame.contentDocument?.documentElement;
    if (!root) return;
    const resize = () => frame.style.height = `${root.scrollHeight}px`;
    this.#observer?.disconnect();
    this.#observer = new ResizeObserver(resize);
    this.#observer.observe(root);
    resize();
  }

  override render(): JSX.Element {
    return (
      <iframe
        ref={this.#frame}
        class="report"
        title="Report"
        srcDoc={this.#html()}
        onLoad={() => this.#fit()}
      />
    );
  }
}
