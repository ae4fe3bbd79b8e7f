/// <reference lib="dom" />
/**
 * The browser's ways to give a file or a text to a person.
 *
 * @module
 */

/** Saves a blob under a name, in the browser's folder for downloads. */
export function saveBlob(name: string, blob: Blob): void {
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  // The download has its own hold on the blob by then.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/**
 * Puts a text on the clipboard.
 *
 * @throws {Error} where the browser does not allow it.
 */
export async function copyText(text: string): Promise<void> {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return;
    } catch {
      // Pages from a file are often refused; the older way works there.
    }
  }
  const area = document.createElement("textarea");
  area.value = text;
  area.readOnly = true;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("the browser does not let this page use the clipboard");
}
