// A form for a webhook. Its secret is in one answer only, so it is shown here and nowhere again.

import { at, call } from "./api.js";
import { button, el, field, fill } from "./dom.js";
import { copyButton } from "./format.js";
import { placeFaults, problemBox } from "./problem.js";

const EVENTS = ["run.succeeded", "run.failed", "run.aborted"];

/** The form; `done` is called once the webhook is there and its secret was seen. */
export function webhookForm(done) {
  const url = el("input", { type: "url", autocomplete: "off", placeholder: "hooks.example/export" });
  const description = el("input", { autocomplete: "off" });
  const profile = el("input", { autocomplete: "off", spellcheck: "false" });
  const events = EVENTS.map((name) => el("input", { type: "checkbox", value: name, checked: true }));
  const trouble = el("div");
  const form = el("form", { class: "card", novalidate: true }, el("h2", {}, "New webhook"),
    el("div", { class: "columns" },
      field("Address", url, { hint: "Whole, with its scheme", path: "url" }), field("Description", description, { path: "description" }),
      field("Only runs of this profile", profile, { hint: "Its id; empty: of all", path: "profileId" }),
      el("div", { class: "field", "data-path": "events", role: "group", "aria-label": "Told of" }, el("span", { class: "label" }, "Told of"),
        el("div", { class: "checks" }, events.map((box, index) => el("label", {}, box, " ", EVENTS[index]))), el("span", { class: "wrong" }))),
    trouble, el("div", { class: "actions" }, el("button", { type: "submit", class: "primary" }, "Make it")));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    fill(trouble);
    const body = { url: url.value.trim(), events: events.filter((box) => box.checked).map((box) => box.value) };
    if (description.value.trim()) body.description = description.value.trim();
    if (profile.value.trim()) body.profileId = profile.value.trim();
    try {
      // Without an Idempotency-Key: an answer that holds a secret does not come twice.
      const made = await call("POST", at("webhooks"), { body });
      showSecret(form, made.secret, done);
    } catch (error) {
      const left = placeFaults(form, error);
      if (left.length > 0 || !error.problem?.errors?.length) fill(trouble, problemBox(error, "The webhook was not made"));
    }
  });
  return form;
}

/** Fills `place` with a secret that no other answer has. */
export function showSecret(place, secret, done) {
  fill(place, el("h2", { tabindex: "-1" }, "Its secret"),
    el("p", {}, "Receivers check signatures with it. It is shown now and never again:"),
    el("p", { class: "digest" }, el("code", { class: "whole" }, secret), copyButton(secret, "secret")),
    el("div", { class: "actions" }, button("I have it", done, { class: "primary" })));
  place.querySelector("h2").focus();
}
