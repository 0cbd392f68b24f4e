// Dead letters: commands that no stage could do, and the way back.

import { at, call } from "./api.js";
import { button, el, empty, facts, heading, say } from "./dom.js";
import { time } from "./format.js";
import { listing } from "./listing.js";
import { problemBox } from "./problem.js";
import { may, newKey } from "./session.js";

export async function show({ view, query, go }) {
  view.append(heading("Dead letters", query.run ? el("a", { href: "#/letters", class: "button" }, "Of all runs") : null),
    el("p", { class: "quiet" }, "Commands that nobody could do, oldest first. Once the cause is mended a replay of the run takes up what is done."));
  const list = listing(view, {
    path: at("dead-letters"), query: { run: query.run }, member: "letters",
    render: (body, letters) => body.append(...letters.map((one) => card(one, go))),
    nothing: () => empty("There are none.", query.run ? "This run failed for another reason, which its page names." : "That is how it should be; there is nothing to do."),
  });
  await list.load();
}

function card({ id, runId, generation, phase, part, letter }, go) {
  const trouble = el("div");
  const replay = async () => {
    try {
      await call("POST", at("dead-letters", String(id), "replay"), { headers: { "Idempotency-Key": newKey() } });
      say("The run is replayed");
      go(`runs/${encodeURIComponent(runId)}`);
    } catch (error) {
      trouble.replaceChildren(problemBox(error, "It was not replayed"));
    }
  };
  return el("section", { class: "card" },
    el("div", { class: "heading" }, el("h2", {}, `${phase ?? letter.consumer}${Number.isInteger(part) ? `, part ${part}` : ""}`),
      el("div", { class: "actions" }, may("export:run") ? button("Replay its run", replay, { class: "primary" }) : null)), trouble,
    facts(["Run", el("a", { href: `#/runs/${encodeURIComponent(runId)}` }, runId)], ["Generation", String(generation)], ["When", time(letter.at)],
      ["Why", letter.reason], ["Code", el("code", {}, letter.code)], ["Tried", `${letter.deliveries} times`], ["Subject", el("code", { class: "breaks" }, letter.subject)]),
    el("details", {}, el("summary", {}, "What it said"), el("pre", { tabindex: "0" }, letter.payload.slice(0, 20_000))));
}
