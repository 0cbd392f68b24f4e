// A form for a recurring run; it can be asked when the run would come, before anything is made.

import { at, call } from "./api.js";
import { button, el, field, fill, say } from "./dom.js";
import { time } from "./format.js";
import { placeFaults, problemBox } from "./problem.js";
import { selectorForm } from "./selectors.js";
import { newKey } from "./session.js";

/** The form; `done` is called once the schedule is there. */
export async function scheduleForm(done) {
  const { profiles } = await call("GET", at("profiles"), { query: { limit: "200" } });
  const id = el("input", { autocomplete: "off", spellcheck: "false" });
  const profile = el("select", {}, profiles.filter((one) => one.supported).map((one) => el("option", { value: one.id }, one.id)));
  const cron = el("input", { autocomplete: "off", spellcheck: "false", placeholder: "30 2 * * *" });
  const zone = el("input", { autocomplete: "off", spellcheck: "false", value: Intl.DateTimeFormat().resolvedOptions().timeZone ?? "UTC" });
  const missed = el("select", {}, el("option", { value: "once" }, "one run is made up for"), el("option", { value: "skip" }, "it is left out"));
  const overlap = el("select", {}, el("option", { value: "skip" }, "it is left out"), el("option", { value: "allow" }, "both are made"));
  const selectors = selectorForm();
  const trouble = el("div", { role: "status" });
  const form = el("form", { class: "card", novalidate: true }, el("h2", {}, "New schedule"),
    el("div", { class: "columns" },
      field("Id", id, { hint: "Small letters, digits and -", path: "id" }), field("Profile", profile, { path: "profileId" }),
      field("When", cron, { hint: "Minute, hour, day, month, day of week; or @daily", path: "cron" }),
      field("Time zone", zone, { hint: "Such as Europe/Berlin", path: "timeZone" }),
      field("When it was missed", missed, { path: "missed" }), field("While one is at work", overlap, { path: "overlap" })),
    el("details", {}, el("summary", {}, "Only some evidence"), selectors.element), trouble,
    el("div", { class: "actions" }, el("button", { type: "submit", class: "primary" }, "Make it"), button("When would it run?", () => send(true))));

  async function send(isDry) {
    fill(trouble);
    const body = {
      id: id.value.trim() || (isDry ? "preview" : ""), profileId: profile.value, cron: cron.value.trim(), timeZone: zone.value.trim(),
      missed: missed.value, overlap: overlap.value, selectors: selectors.value(),
    };
    try {
      const query = isDry ? { dryRun: "true" } : {};
      const made = await call("POST", at("schedules"), { body, query, headers: { "Idempotency-Key": newKey() } });
      placeFaults(form, null);
      if (isDry) {
        fill(trouble, el("p", {}, "It would run:"), el("ul", {}, made.upcoming.map((due) => el("li", {}, time(due)))));
        return;
      }
      say(`The schedule ${made.id} was made`);
      done();
    } catch (error) {
      const left = placeFaults(form, error);
      if (left.length > 0 || !error.problem?.errors?.length) fill(trouble, problemBox(error, "The schedule was not made"));
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(false);
  });
  return form;
}
