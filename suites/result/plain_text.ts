/**
 * Makes text from other people's files harmless.
 *
 * @module
 */

/**
 * Text from a result file made harmless for any output: control characters (terminal escapes, line
 * breaks) become spaces and characters that reorder or hide text are dropped.
 */
export function plainText(text: string): string {
  return text
    // deno-lint-ignore no-control-regex
    .replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ")
    .replace(/[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g, "");
}
