// What the page can do beyond being read: sort, filter, fold. Without it nothing is missing.
"use strict";

const MISSING = ["", "–"];
const NUMBER = /^<?\s*([+−-]?(?:\d[\d,]*)?\.?\d+(?:e[+-]?\d+)?)(?![\w.])/i;
const DIRECTIONS = { numbers: ["descending", "ascending"], words: ["ascending", "descending"] };

function made(tag, fields, ...inside) {
  const node = Object.assign(document.createElement(tag), fields);
  node.append(...inside);
  return node;
}

function text(node) {
  return node.textContent.replace(/\s+/g, " ").trim();
}

/** A place whose words are read out as they change, and what changes them. */
function live(className) {
  const status = made("span", { className });
  status.setAttribute("role", "status");
  return [status, (words) => (status.textContent = words)];
}

/** The number that a cell begins with, its words, or null where it says nothing. */
function content(cell) {
  const words = cell ? text(cell) : "";
  if (MISSING.includes(words)) return null;
  const found = NUMBER.exec(words);
  return found ? Number(found[1].replace("−", "-").replaceAll(",", "")) : words;
}

function apart(row) {
  return row.querySelector(":scope > th[scope=rowgroup]") !== null;
}

/** Rows of a table's body between its headings: only these change places. */
function groups(body) {
  const found = [];
  for (const row of body.rows) {
    if (apart(row) || !found.length) found.push({ head: apart(row) ? row : null, rows: [] });
    if (!apart(row)) found.at(-1).rows.push(row);
  }
  return found;
}

/** Headings that stand over one column and reach down to the rows, with the column's place. */
function columns(head) {
  const taken = [];
  const found = [];
  for (const [y, row] of [...head.rows].entries()) {
    let x = 0;
    for (const cell of row.cells) {
      while (taken[y]?.[x]) x += 1;
      for (let down = 0; down < cell.rowSpan; down += 1) {
        taken[y + down] ??= [];
        for (let right = 0; right < cell.colSpan; right += 1) taken[y + down][x + right] = true;
      }
      if (cell.colSpan === 1 && y + cell.rowSpan === head.rows.length) found.push([cell, x]);
      x += cell.colSpan;
    }
  }
  return found;
}

function order(first, second, direction) {
  if (first === null || second === null) return (first === null) - (second === null);
  const sign = direction === "ascending" ? 1 : -1;
  if (typeof first === "number" && typeof second === "number") return sign * (first - second);
  return sign * String(first).localeCompare(String(second), "en", { numeric: true });
}

/** A button in each heading: best first, the other way round, then as given. */
function sortable(table, say) {
  const given = new Map([...table.rows].map((row, place) => [row, place]));
  const heads = columns(table.tHead);
  for (const [head, place] of heads) {
    const name = text(head);
    const button = made("button", { type: "button" }, ...head.childNodes);
    button.addEventListener("click", () => {
      const cells = [...table.tBodies].flatMap((body) => groups(body).flatMap((each) => each.rows));
      const values = new Map(cells.map((row) => [row, content(row.cells[place])]));
      const kind = [...values.values()].some((value) => typeof value === "string");
      const steps = DIRECTIONS[kind ? "words" : "numbers"];
      const next = steps[steps.indexOf(head.getAttribute("aria-sort")) + 1];
      for (const [other] of heads) other.removeAttribute("aria-sort");
      if (next) head.setAttribute("aria-sort", next);
      for (const body of table.tBodies) {
        const sorted = groups(body).flatMap(({ head: title, rows }) => {
          const moves = (row) => !row.classList.contains("average");
          rows.sort(
            (a, b) =>
              (next && moves(a) - moves(b)) ||
              (next && order(values.get(a), values.get(b), next)) ||
              given.get(a) - given.get(b),
          );
          return title ? [title, ...rows] : rows;
        });
        body.append(...sorted);
      }
      say(next ? `Sorted by ${name}, ${next}, within each block.` : "In the order given.");
    });
    head.append(button);
  }
}

/** Check boxes for the data sets and methods that the rows name. */
function filterable(table, frame) {
  const rows = [...table.tBodies].flatMap((body) => groups(body).flatMap((each) => each.rows));
  const keys = { "Data sets": (row) => row.parentNode.dataset.set, Methods: (row) => row.dataset.of };
  const boxes = [];
  const panel = made("details", { className: "filter" }, made("summary", {}, "Filter"));
  for (const [legend, key] of Object.entries(keys)) {
    const names = [...new Set(rows.map(key))].filter(Boolean);
    if (names.length < 2) continue;
    const set = made("fieldset", {}, made("legend", {}, legend));
    for (const name of names) {
      const box = made("input", { type: "checkbox", checked: true });
      box.addEventListener("change", apply);
      boxes.push({ box, key, name });
      set.append(made("label", {}, box, name));
    }
    panel.append(set);
  }
  if (!boxes.length) return;
  const [status, say] = live("shown");
  const all = made("button", { type: "button", textContent: "Show all" });
  all.addEventListener("click", () => {
    for (const { box } of boxes) box.checked = true;
    apply();
  });
  panel.append(all);
  panel.open = matchMedia("(min-width: 64rem)").matches;
  frame.before(panel, status); // outside, so that a folded panel and paper say what is hidden

  function apply() {
    const off = boxes.filter(({ box }) => !box.checked);
    for (const row of rows) row.hidden = off.some(({ key, name }) => key(row) === name);
    for (const body of table.tBodies) {
      const found = groups(body).map(({ head, rows: own }) => [head, own.some((row) => !row.hidden)]);
      for (const [head, some] of found) if (head?.classList.contains("apart")) head.hidden = !some;
      body.hidden = !found.some(([, some]) => some);
    }
    const shown = rows.filter((row) => !row.hidden).length;
    const some = shown < rows.length ? `${shown} of ${rows.length}` : `All ${shown}`;
    say(`${some} rows are shown.`);
  }
}

document.documentElement.classList.add("script");
for (const table of document.querySelectorAll("table[data-sort]")) {
  const frame = table.closest(".scroll") ?? table;
  const [status, say] = live("unseen");
  frame.before(status);
  sortable(table, say);
  if ("filter" in table.dataset) filterable(table, status);
}

const contents = document.querySelector("nav details");
const narrow = matchMedia("(max-width: 63.99rem)");
const fold = () => (contents.open = !narrow.matches);
narrow.addEventListener("change", fold);
addEventListener("click", (event) => {
  if (!contents.contains(event.target) || event.target.closest("a")) fold();
});
addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !contents.open || !narrow.matches) return;
  if (contents.contains(document.activeElement)) contents.querySelector("summary").focus();
  fold();
});
fold();

let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("main details:not([open])")];
  for (const each of opened) each.open = true;
});
addEventListener("afterprint", () => {
  for (const each of opened) each.open = false;
});
