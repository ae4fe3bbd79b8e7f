/**
 * Text that breaks into lines where a reader would break it.
 *
 * @module
 */
import type { ComponentChildren, JSX } from "preact";

/** Text whose numbers stay whole: no line ends inside an interval or between a sign and its value. */
export function together(text: string): ComponentChildren {
  return text.split(/(\([^()]*\d[^()]*\)|\b[A-Za-z] = \S+)/).map((part, i) =>
    i % 2 === 1 ? <span class="nb">{part}</span> : part
  );
}

/** A command that breaks before its options and nowhere else. */
export function Command({ children }: { children: string }): JSX.Element {
  const parts = children.split(/ (?=--?[A-Za-z])/);
  return (
    <code class="command">
      {parts.map((part, i) => (
        <>
          {i > 0 ? " " : ""}
          <span class={part.length <= 40 ? "nb" : "long"}>{part}</span>
        </>
      ))}
    </code>
  );
}
