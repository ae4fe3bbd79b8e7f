"use strict";
// The only script of a page. Without it nothing is lost but the buttons that save files: every
// figure has its table, and every page its links.
(() => {
  const save = (name, type, parts) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(parts, { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  const cell = (value) => {
    if (value === null) return "";
    if (typeof value === "number") return String(value);
    // A spreadsheet must read text as text, never as a formula.
    const text = /^[=+\-@\t\r]/.test(value) ? "'" + value : value;
    return /[",\n\r]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
  };
  const formats = {
    csv: (_, { columns, rows }) =>
      [columns, ...rows].map((row) => row.map(cell).join(",") + "\r\n"),
    json: (title, { columns, rows }) => {
      const records = rows.map((row) =>
        Object.fromEntries(columns.map((column, i) => [column, row[i]]))
      );
      return [JSON.stringify({ title, rows: records }, null, 1), "\n"];
    },
  };
  const types = { csv: "text/csv", json: "application/json" };
  // The text of a script that holds packed JSON.
  const unpack = (id) => {
    const text = document.getElementById(id).textContent;
    const packed = new Blob([Uint8Array.from(atob(text), (char) => char.charCodeAt(0))]);
    const stream = packed.stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).json()
      .then((value) => typeof value === "string" ? JSON.parse(value) : fromColumns(value));
  };
  // The way back from the columns of pack_json.ts.
  const fromColumns = (value) => {
    if (Array.isArray(value)) return value.map(fromColumns);
    if (value === null || typeof value !== "object") return value;
    if (!Array.isArray(value[""])) {
      return Object.fromEntries(
        Object.entries(value).map(([key, field]) => [key, fromColumns(field)]),
      );
    }
    const [keys, packed] = value[""];
    const columns = packed.map(fromColumns);
    return columns[0].map((_, row) => {
      const cells = columns.map((column) => column[row]);
      if (keys === null) return cells;
      const present = keys.map((key, i) => [key, cells[i]]);
      return Object.fromEntries(present.filter(([, cell]) => cell === null || cell[""] !== 0));
    });
  };
  const figures = [...document.querySelectorAll("figure")];
  for (const button of document.querySelectorAll("button[data-export]")) {
    button.hidden = false;
    button.onclick = async () => {
      const format = button.dataset.export;
      const figure = button.closest("figure");
      const data = (await unpack("chart-data"))[figures.indexOf(figure)];
      const title = figure.querySelector("figcaption").textContent;
      save(figure.id + "." + format, types[format], formats[format](title, data));
    };
  }
  for (const button of document.querySelectorAll("button[data-result]")) {
    button.hidden = false;
    button.onclick = async () => {
      const { result } = button.dataset;
      save(result + ".json", types.json, [JSON.stringify(await unpack(result))]);
    };
  }
})();
