// Which evidence a run takes: as a form, and as words.

import { el, field } from "./dom.js";
import { time } from "./format.js";

const KINDS = ["advisory", "vex", "sbom"];
const LISTS = [
  ["sources", "Sources", "One a line, such as advisories/osv/pypa"],
  ["ecosystems", "Ecosystems", "One a line, such as npm"],
  ["products", "Products", "Package URL prefixes, such as pkg:npm/lodash"],
  ["sbomSubjects", "SBOM subjects", "Compared whole"],
  ["severities", "Severities", "Of policy findings, such as critical"],
  ["include", "Only these documents", "Subjects or document ids; a trailing * makes a prefix"],
  ["exclude", "Without these documents", "Wins over all others"],
];

/** A form of selectors; `value()` gives what the API takes, with empty members left out. */
export function selectorForm() {
  const kinds = KINDS.map((name) => el("input", { type: "checkbox", value: name }));
  const lists = LISTS.map(([name, label, hint]) => ({ name, box: el("textarea", { rows: "2", spellcheck: "false" }), label, hint }));
  const last = el("input", { placeholder: "7d", autocomplete: "off" });
  const from = el("input", { type: "datetime-local" });
  const until = el("input", { type: "datetime-local" });
  const element = el("fieldset", {}, el("legend", {}, "Evidence"),
    el("p", { class: "quiet" }, "What is left empty restricts nothing."),
    el("div", { class: "field", "data-path": "selectors.kinds", role: "group", "aria-label": "Kinds" }, el("span", { class: "label" }, "Kinds"),
      el("div", { class: "checks" }, kinds.map((box, at) => el("label", {}, box, " ", KINDS[at]))), el("span", { class: "wrong" })),
    el("div", { class: "columns" }, lists.map(({ name, box, label, hint }) => field(label, box, { hint, path: `selectors.${name}` }))),
    el("div", { class: "columns", "data-path": "selectors.window" },
      field("Observed within", last, { hint: "A span up to now: 12h, 7d, 4w", path: "selectors.window.last" }),
      field("Observed from", from, { hint: "Your local time", path: "selectors.window.from" }),
      field("Observed until", until, { hint: "Your local time", path: "selectors.window.until" }),
      el("span", { class: "wrong" })));
  const instant = (input) => (input.value ? new Date(input.value).toISOString() : undefined);
  return {
    element,
    value() {
      const chosen = {};
      const checked = kinds.filter((box) => box.checked).map((box) => box.value);
      if (checked.length > 0) chosen.kinds = checked;
      for (const { name, box } of lists) {
        const entries = box.value.split("\n").map((line) => line.trim()).filter(Boolean);
        if (entries.length > 0) chosen[name] = entries;
      }
      const window = { last: last.value.trim() || undefined, from: instant(from), until: instant(until) };
      if (window.last || window.from || window.until) chosen.window = window;
      return chosen;
    },
  };
}

/** Selectors in words. */
export function told(selectors) {
  const parts = [];
  for (const [name, value] of Object.entries(selectors ?? {})) {
    if (Array.isArray(value) && value.length > 0) {
      const shown = value.slice(0, 20).join(", ");
      parts.push(el("div", {}, el("span", { class: "quiet" }, `${name}: `), value.length > 20 ? `${shown} and ${value.length - 20} more` : shown));
    }
  }
  const window = selectors?.window;
  if (window?.last) parts.push(el("div", {}, `observed within ${window.last}`));
  if (window?.from) parts.push(el("div", {}, "observed from ", time(window.from)));
  if (window?.until) parts.push(el("div", {}, "observed until ", time(window.until)));
  return parts.length > 0 ? parts : "everything";
}
