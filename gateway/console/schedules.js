// Recurring runs: when they come next, what came of the last one, and a pause.

import { at, call } from "./api.js";
import { confirmed } from "./confirm.js";
import { button, el, empty, facts, fill, heading, say } from "./dom.js";
import { badge, time } from "./format.js";
import { scheduleForm } from "./new_schedule.js";
import { problemBox } from "./problem.js";
import { told as selectorsTold } from "./selectors.js";
import { may } from "./session.js";

const CHANGES = ["export:run", "export:profile:manage"];

export async function show({ view, signal }) {
  const place = el("div");
  const making = el("div");
  const open = async () => {
    try {
      fill(making, await scheduleForm(made));
      making.querySelector("input").focus();
    } catch (error) {
      fill(making, problemBox(error));
    }
  };
  const made = () => {
    fill(making);
    load().catch((error) => fill(making, problemBox(error)));
  };
  view.append(heading("Schedules", may(...CHANGES) ? button("New schedule", open, { class: "primary" }) : null), making, place);
  const load = async () => {
    const { schedules } = await call("GET", at("schedules"), { signal });
    fill(place, schedules.length > 0 ? schedules.map((one) => card(one, load)) : nothing());
  };
  await load();
}

function nothing() {
  return empty("There are no schedules.", may(...CHANGES) ? "A schedule makes runs recur. Make one with “New schedule”." : "A schedule makes runs recur. This client may not make one (scopes export:run and export:profile:manage).");
}

function card(schedule, load) {
  const trouble = el("div");
  const act = async (what, said) => {
    try {
      await what();
      say(said);
      await load();
    } catch (error) {
      fill(trouble, problemBox(error, "That was not done"));
    }
  };
  const turn = () => act(() => call("PATCH", at("schedules", schedule.id), { body: { enabled: !schedule.enabled } }), schedule.enabled ? "Paused" : "Resumed");
  const remove = async () => {
    if (await confirmed(`Delete the schedule ${schedule.id}?`, { detail: "Its runs stay.", yes: "Delete it" })) {
      await act(() => call("DELETE", at("schedules", schedule.id)), "Deleted");
    }
  };
  const actions = may(...CHANGES)
    ? [button(schedule.enabled ? "Pause" : "Resume", turn, { "aria-label": `${schedule.enabled ? "Pause" : "Resume"} ${schedule.id}` }),
      button("Delete", remove, { class: "danger", "aria-label": `Delete ${schedule.id}` })]
    : [];
  const { last } = schedule;
  return el("section", { class: "card", "data-schedule": schedule.id }, el("div", { class: "heading" },
    el("h2", {}, schedule.id, " ", badge(schedule.enabled ? "active" : "paused")), el("div", { class: "actions" }, actions)), trouble,
  facts(
    ["Profile", el("a", { href: `#/profiles/${encodeURIComponent(schedule.profileId)}` }, schedule.profileId)],
    ["When", [el("code", {}, schedule.cron), ` in ${schedule.timeZone}`]],
    ["Next", schedule.enabled ? schedule.upcoming.slice(0, 3).map((due) => el("div", {}, time(due))) : "paused"],
    ["Last", last ? [`${last.outcome} `, time(last.due), last.reason ? `: ${last.reason}` : "", last.run ? [" ", el("a", { href: `#/runs/${encodeURIComponent(last.run)}` }, "its run")] : null] : null],
    ["Selectors", selectorsTold(schedule.selectors)],
    ["Where it was missed", schedule.missed], ["While one is at work", schedule.overlap]));
}
