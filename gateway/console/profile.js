// One profile: its configuration, and those of its earlier revisions.

import { at, call } from "./api.js";
import { confirmed } from "./confirm.js";
import { button, el, empty, facts, fill, heading, say } from "./dom.js";
import { time } from "./format.js";
import { listing } from "./listing.js";
import { problemBox } from "./problem.js";
import { may } from "./session.js";

export async function show({ view, names, go, signal }) {
  const id = names[0];
  const profile = await call("GET", at("profiles", id), { signal });
  const trouble = el("div");
  const remove = async () => {
    if (!(await confirmed(`Delete the profile ${profile.id}?`, { detail: "Its runs stay, and its id is never given away again.", yes: "Delete it" }))) return;
    try {
      await call("DELETE", at("profiles", profile.id));
      say(`The profile ${profile.id} was deleted`);
      go("profiles");
    } catch (error) {
      fill(trouble, problemBox(error, "It was not deleted"));
    }
  };
  view.append(heading(`Profile ${profile.id}`,
    may("export:run") && profile.supported ? el("a", { href: `#/new?profile=${encodeURIComponent(profile.id)}`, class: "button primary" }, "Run it") : null,
    el("a", { href: `#/runs?profile=${encodeURIComponent(profile.id)}`, class: "button" }, "Its runs"),
    may("export:profile:manage") && profile.createdBy !== "system" ? button("Delete", remove, { class: "danger" }) : null), trouble, card(profile));
  view.append(el("h2", {}, "Revisions"));
  const list = listing(view, {
    path: at("profiles", id, "revisions"), member: "revisions",
    render: (body, revisions) => body.append(...revisions.map((one) => el("details", { class: "card" },
      el("summary", {}, `Revision ${one.revision}, `, time(one.createdAt), ` by ${one.createdBy}`), configuration(one)))),
    nothing: () => empty("There are no revisions.", "A change of the configuration makes one."),
  });
  await list.load();
}

function card(profile) {
  return el("section", { class: "card" }, facts(
    ["Name", profile.name], ["Description", profile.description], ["Kind", profile.kind],
    ["Revision", String(profile.revision)], ["Made", [time(profile.createdAt), ` by ${profile.createdBy}`]],
    ["Labels", Object.entries(profile.labels ?? {}).map(([name, value]) => el("div", {}, `${name}: ${value}`))]), configuration(profile));
}

function configuration(profile) {
  return el("pre", { tabindex: "0", "aria-label": "Configuration" }, JSON.stringify(profile.config, null, 2));
}
