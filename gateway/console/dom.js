// The one place where elements are made. Text goes in as text, whatever it holds; there is no way to hand in markup.

const PROPERTIES = new Set(["value", "checked", "disabled", "selected", "indeterminate"]);

/** An element with attributes, listeners (`onclick: f`) and children. What is null, undefined or false is left out. */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) {
      if (typeof value !== "function") throw new TypeError(`${key} is no function`);
      element.addEventListener(key.slice(2), value);
    } else if (PROPERTIES.has(key)) {
      element[key] = value;
    } else {
      if (key === "href" && !isOurs(value)) throw new TypeError("a link that leads elsewhere");
      element.setAttribute(key, value === true ? "" : String(value));
    }
  }
  element.append(...present(children));
  return element;
}

/** Links lead to pages of the console and files of the gateway; what a document names as its address is shown as text. */
function isOurs(target) {
  return /^(#|\/(?![/\\])|blob:)/.test(String(target));
}

function present(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/** Puts other children into an element. */
export function fill(element, ...children) {
  element.replaceChildren(...present(children));
  return element;
}

/** A button that does something. */
export function button(label, act, attributes = {}) {
  return el("button", { type: "button", onclick: act, ...attributes }, label);
}

/** A page's heading with what can be done there. */
export function heading(title, ...actions) {
  return el("div", { class: "heading" }, el("h1", { tabindex: "-1" }, title), el("div", { class: "actions" }, actions));
}

/** What stands where there is nothing: always with what to do next. */
export function empty(title, ...next) {
  return el("div", { class: "empty" }, el("p", {}, el("strong", {}, title)), el("p", {}, next));
}

/** Names and values below each other. */
export function facts(...pairs) {
  const shown = pairs.filter((pair) => pair && pair[1] !== null && pair[1] !== undefined && pair[1] !== "" && !(Array.isArray(pair[1]) && pair[1].length === 0));
  return el("dl", { class: "facts" }, shown.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

/** A table; `columns` are headings, and a row has as many cells. Narrow screens show each row as a card, with the headings. */
export function table(caption, columns, rows) {
  const body = el("tbody", {}, rows);
  const head = el("tr", {}, columns.map((column) => el("th", { scope: "col" }, column)));
  return el("div", { class: "sheet" }, el("table", {}, el("caption", { class: "quiet" }, caption), el("thead", {}, head), body));
}

/** A row of a table; each cell knows its heading. */
export function row(columns, cells, attributes = {}) {
  const isEmpty = (cell) => cell === null || cell === undefined || cell === "";
  return el("tr", attributes, cells.map((cell, at) => el("td", { "data-name": columns[at] }, isEmpty(cell) ? null : el("div", {}, cell))));
}

let fields = 0;

/** A label, its control, a hint and room for what is wrong with it. `path` is what the API calls it. */
export function field(label, control, { hint, path } = {}) {
  const id = `field-${(fields += 1)}`;
  control.id = id;
  control.setAttribute("aria-describedby", `${id}-hint ${id}-wrong`);
  const box = el("div", { class: "field", "data-path": path },
    el("label", { for: id }, label),
    el("span", { class: "hint", id: `${id}-hint` }, hint ?? ""),
    control,
    el("span", { class: "wrong", id: `${id}-wrong` }));
  return box;
}

/** Tells people who do not look at the place where it happened. */
export function say(text) {
  document.getElementById("said").textContent = text;
}
