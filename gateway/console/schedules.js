// Recurring runs: when they come next, what came of the last one, and a pause.

import { at, call } from "./api.js";
import { confirmed } from "./confirm.js";
import { button, el, facts } from "./dom.js";
import { badge, time } from "./format.js";
import { scheduleForm } from "./new_schedule.js";
import { told as selectorsTold } from "./selectors.js";
import { act, mayChange, settings } from "./settings.js";

export function show({ view, signal }) {
  return settings({
    view, signal, path: "schedules", title: "Schedules", one: "schedule", what: "A schedule makes runs recur.", form: scheduleForm, card,
  });
}

function card(schedule, load) {
  const trouble = el("div");
  const doing = (what, said) => act(what, { said, load, trouble });
  const turn = () => doing(() => call("PATCH", at("schedules", schedule.id), { body: { enabled: !schedule.enabled } }), schedule.enabled ? "Paused" : "Resumed");
  const remove = async () => {
    if (await confirmed(`Delete the schedule ${schedule.id}?`, { detail: "Its runs stay.", yes: "Delete it" })) {
      await doing(() => call("DELETE", at("schedules", schedule.id)), "Deleted");
    }
  };
  const actions = mayChange()
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
