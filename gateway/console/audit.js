// Who did what.

import { at } from "./api.js";
import { el, empty, field, heading, row, table } from "./dom.js";
import { badge, time } from "./format.js";
import { listing } from "./listing.js";

const COLUMNS = ["When", "Who", "Did", "To what", "Outcome"];
const ACTIONS = [
  "profile.created", "profile.revised", "profile.deleted", "run.submitted", "run.cancelled", "run.replayed", "approval.used", "bundle.downloaded",
  "manifest.read", "file.read", "link.created", "link.followed", "registry.pulled", "vex.pulled", "schedule.created", "schedule.changed",
  "schedule.deleted", "webhook.created", "webhook.changed", "webhook.deleted", "webhook.sent", "key.used", "access.refused", "request.made",
];

export async function show({ view, query, go }) {
  const action = el("select", { onchange: () => go("audit", { action: action.value }) },
    el("option", { value: "" }, "anything"), ACTIONS.map((name) => el("option", { value: name, selected: name === query.action }, name)));
  view.append(heading("Audit log"), el("div", { class: "filters" }, field("What was done", action)));
  const list = listing(view, {
    path: at("audit"), query: { action: query.action }, member: "entries",
    render: (body, entries) => body.append(table("Newest first", COLUMNS, entries.map(entryRow))),
    nothing: () => empty("There is nothing like that.", query.action ? "Choose another action." : "What changes something appears here."),
  });
  await list.load();
}

function entryRow(entry) {
  const outcome = [badge(entry.outcome), entry.errorCode ? [" ", el("code", {}, entry.errorCode)] : null];
  return row(COLUMNS, [
    time(entry.at), [el("span", { class: "breaks" }, entry.actor), entry.remote ? el("div", { class: "quiet" }, entry.remote) : null],
    entry.action, el("code", { class: "breaks" }, entry.object), outcome,
  ]);
}
