// Asks for a run.

import { at, call } from "./api.js";
import { el, empty, field, fill, heading } from "./dom.js";
import { placeFaults, problemBox } from "./problem.js";
import { selectorForm } from "./selectors.js";
import { may, newKey } from "./session.js";

export async function show({ view, query, go }) {
  view.append(heading("New run"));
  if (!may("export:run")) {
    view.append(empty("This client may not start runs.", "Its token lacks the scope export:run; whoever runs the gateway can make another client."));
    return;
  }
  const { profiles } = await call("GET", at("profiles"), { query: { limit: "200" } });
  const option = (one) => el("option", { value: one.id, disabled: !one.supported, selected: one.id === (query.profile ?? "json-raw") },
    `${one.id}: ${one.name}${one.supported ? "" : " (not made here)"}`);
  const profile = el("select", { required: true }, profiles.map(option));
  const base = el("input", { autocomplete: "off", spellcheck: "false" });
  const reset = el("input", { type: "checkbox" });
  const snapshot = el("input", { autocomplete: "off", spellcheck: "false" });
  const selectors = selectorForm();
  const trouble = el("div");
  const submit = el("button", { type: "submit", class: "primary" }, "Start the run");
  const about = el("p", { class: "quiet" });
  const delta = el("div", { class: "columns" },
    field("Base", base, { hint: "A run or a digest; empty: the newest that fits", path: "options.baseExportId" }),
    el("div", { class: "field", "data-path": "options.resetBaseline" }, el("label", {}, reset, " A delta that builds upon nothing"), el("span", { class: "wrong" })));
  const policy = field("Policy snapshot", snapshot, { hint: "Its id; empty: the newest when the run is planned", path: "options.policySnapshotId" });
  const form = el("form", { class: "card", novalidate: true }, field("Profile", profile, { path: "profileId" }), about, policy, delta, selectors.element,
    trouble, el("div", { class: "actions" }, submit));

  const fit = () => {
    const chosen = profiles.find((one) => one.id === profile.value);
    about.textContent = chosen?.description || "";
    delta.hidden = chosen?.kind !== "mirror:delta";
    policy.hidden = (chosen?.config?.policySnapshotMode ?? "none") === "none";
  };
  profile.addEventListener("change", fit);
  fit();

  // Whoever presses twice, or again after a break, gets the same run; another request has another name.
  let key = newKey();
  form.addEventListener("input", () => {
    key = newKey();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    submit.disabled = true;
    fill(trouble);
    const options = {};
    if (!delta.hidden && base.value.trim()) options.baseExportId = base.value.trim();
    if (!delta.hidden && reset.checked) options.resetBaseline = true;
    if (!policy.hidden && snapshot.value.trim()) options.policySnapshotId = snapshot.value.trim();
    const body = { profileId: profile.value, selectors: selectors.value(), options };
    try {
      const run = await call("POST", at("runs"), { body, headers: { "Idempotency-Key": key } });
      go(`runs/${encodeURIComponent(run.id)}`);
    } catch (error) {
      const left = placeFaults(form, error);
      if (error.problem?.errors && left.length === 0) fill(trouble, el("p", { class: "problem", role: "alert" }, "Some fields need another look; what is wrong stands beside them."));
      else fill(trouble, problemBox(error, "The run was not started"));
    } finally {
      submit.disabled = false;
    }
  });
  view.append(form);
}
