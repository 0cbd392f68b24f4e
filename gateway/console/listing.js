// Lists that come page by page, by a cursor that only the API understands.

import { call } from "./api.js";
import { button, el } from "./dom.js";
import { problemBox } from "./problem.js";

/** Shows a list below each other: `render(entries)` adds a page, and a button asks for the next one. Gives what reloads it. */
export function listing(view, { path, query = {}, member, render, nothing }) {
  const body = el("div", { class: "listing" });
  const foot = el("div", { class: "more" });
  view.append(body, foot);
  let shown = 0;

  async function page(cursor) {
    foot.replaceChildren();
    const answer = await call("GET", path, { query: { ...query, cursor } });
    const entries = answer?.[member] ?? [];
    shown += entries.length;
    if (entries.length > 0) render(body, entries);
    if (shown === 0) body.replaceChildren(nothing());
    if (answer?.nextCursor) foot.append(button("Show more", () => again(answer.nextCursor), { class: "more-button" }));
  }

  async function again(cursor) {
    try {
      await page(cursor);
    } catch (error) {
      foot.replaceChildren(problemBox(error), button("Try again", () => again(cursor)));
    }
  }

  return {
    /** From the beginning. */
    async load() {
      shown = 0;
      body.replaceChildren();
      await page();
    },
  };
}
