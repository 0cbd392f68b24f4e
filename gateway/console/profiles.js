// The profiles of the tenant, and making one.

import { at, call } from "./api.js";
import { button, el, empty, field, fill, heading, row, say, table } from "./dom.js";
import { time } from "./format.js";
import { fromJson } from "./encoding.js";
import { listing } from "./listing.js";
import { placeFaults, problemBox } from "./problem.js";
import { may, newKey } from "./session.js";

const COLUMNS = ["Profile", "Name", "Kind", "Revision", "Made", ""];
const KINDS = ["json:raw", "json:policy", "trivy:db", "trivy:java-db", "mirror:full", "mirror:delta"];

export async function show({ view, go }) {
  const place = el("div");
  const open = may("export:profile:manage") ? button("New profile", () => fill(place, form(go)), { class: "primary" }) : null;
  view.append(heading("Profiles", open), place);
  const list = listing(view, {
    path: at("profiles"), member: "profiles",
    render: (body, profiles) => body.append(table("Profiles", COLUMNS, profiles.map(profileRow))),
    nothing: () => empty("There are no profiles.", "Make one: it says what kind of bundle is made, and where it goes."),
  });
  await list.load();
}

function profileRow(profile) {
  const start = may("export:run") && profile.supported ? el("a", { href: `#/new?profile=${encodeURIComponent(profile.id)}`, class: "button small" }, "Run") : null;
  return row(COLUMNS, [
    el("a", { href: `#/profiles/${encodeURIComponent(profile.id)}` }, profile.id),
    [el("span", { class: "breaks" }, profile.name), profile.description ? el("div", { class: "quiet breaks" }, profile.description) : null],
    [profile.kind, profile.supported ? null : el("span", { class: "quiet" }, " (not made here)")],
    String(profile.revision), profile.createdBy === "system" ? el("span", { class: "quiet" }, "built in") : [time(profile.createdAt), el("span", { class: "quiet" }, ` by ${profile.createdBy}`)], start,
  ]);
}

function form(go) {
  const id = el("input", { autocomplete: "off", spellcheck: "false" });
  const name = el("input", { autocomplete: "off" });
  const description = el("input", { autocomplete: "off" });
  const kind = el("select", {}, KINDS.map((one) => el("option", { value: one }, one)));
  const config = el("textarea", { rows: "6", spellcheck: "false", placeholder: '{"partitionRecords": 5000}' });
  const trouble = el("div");
  const made = el("form", { class: "card", novalidate: true },
    el("h2", {}, "New profile"),
    el("div", { class: "columns" },
      field("Name", name, { path: "name" }), field("Id", id, { hint: "Empty: made from the name", path: "id" }),
      field("Kind", kind, { path: "kind" }), field("Description", description, { path: "description" })),
    field("Configuration", config, { hint: "JSON; what is left out has its default", path: "config" }), trouble,
    el("div", { class: "actions" }, el("button", { type: "submit", class: "primary" }, "Make it")));
  made.addEventListener("submit", async (event) => {
    event.preventDefault();
    fill(trouble);
    const body = { name: name.value.trim(), kind: kind.value };
    if (id.value.trim()) body.id = id.value.trim();
    if (description.value.trim()) body.description = description.value.trim();
    if (config.value.trim()) body.config = fromJson(config.value);
    if (config.value.trim() && body.config === null) {
      config.closest(".field").querySelector(".wrong").textContent = "this is no JSON";
      config.focus();
      return;
    }
    try {
      const profile = await call("POST", at("profiles"), { body, headers: { "Idempotency-Key": newKey() } });
      say(`The profile ${profile.id} was made`);
      go(`profiles/${encodeURIComponent(profile.id)}`);
    } catch (error) {
      const left = placeFaults(made, error);
      if (left.length > 0 || !error.problem?.errors?.length) fill(trouble, problemBox(error, "The profile was not made"));
    }
  });
  return made;
}
