// What the tenant may have, and what is left of it.

import { at, call } from "./api.js";
import { el, heading, row, table } from "./dom.js";
import { bytes, number, time } from "./format.js";

const COLUMNS = ["Quota", "Used", "Limit", "Left", ""];

export async function show({ view, signal }) {
  const answer = await call("GET", at("quota"), { signal });
  view.append(heading("Quota"), el("p", { class: "quiet" }, `Of the tenant ${answer.tenant}.`),
    table("Quotas", COLUMNS, answer.quotas.map(quotaRow)));
  const active = Object.entries(answer.profileActiveRuns ?? {});
  if (active.length > 0) {
    view.append(el("h2", {}, "At work at one time, by profile"), table("Most runs of a profile", ["Profile", "Limit"],
      active.map(([profile, limit]) => row(["Profile", "Limit"], [profile, number(limit)]))));
  }
}

function quotaRow(quota) {
  const isBound = Number.isInteger(quota.limit) && quota.limit > 0;
  const bar = isBound ? el("meter", { min: "0", max: String(quota.limit), high: String(quota.limit * 0.9), value: quota.used, "aria-label": `${quota.name}: ${quota.used} of ${quota.limit} used` }) : null;
  const shown = quota.name.startsWith("bytes") ? bytes : number;
  return row(COLUMNS, [
    inWords(quota.name), shown(quota.used), isBound ? shown(quota.limit) : "none", Number.isInteger(quota.remaining) ? shown(quota.remaining) : "",
    [bar, quota.resetsAt ? el("div", { class: "quiet" }, "begins anew ", time(quota.resetsAt)) : null],
  ]);
}

/** `runsPerDay` as runs per day. */
function inWords(name) {
  return name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}
