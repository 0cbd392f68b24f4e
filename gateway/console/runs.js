// The runs of the tenant: newest first, filtered, and kept fresh.

import { at, call } from "./api.js";
import { button, el, empty, field, fill, heading, row, table } from "./dom.js";
import { badge, bytes, duration, number, time } from "./format.js";
import { problemBox } from "./problem.js";
import { may } from "./session.js";
import { pause } from "./stream.js";

const COLUMNS = ["Run", "Status", "Profile", "Requested", "Took", "Records", "Size"];
const STATUSES = ["pending", "running", "succeeded", "failed", "aborted"];
const FRESH = 4000;

export async function show({ view, query, go, signal }) {
  const start = may("export:run") ? el("a", { href: "#/new", class: "button primary" }, "New run") : null;
  const body = el("tbody");
  const sheet = table("Runs, newest first", COLUMNS, []);
  const place = el("div");
  const foot = el("div", { class: "more" });
  const trouble = el("div", { "aria-live": "polite" });
  view.append(heading("Runs", start), await filters(query, go), trouble, place, foot);
  sheet.querySelector("tbody").replaceWith(body);
  const known = new Map();
  let reached = null;

  function put(runs, older) {
    for (const run of older ? runs : runs.toReversed()) {
      const text = JSON.stringify(run);
      const former = known.get(run.id);
      if (former?.text === text) continue;
      const shown = runRow(run);
      if (former) former.shown.replaceWith(shown);
      else if (older) body.append(shown);
      else body.prepend(shown);
      known.set(run.id, { text, shown });
    }
  }

  async function look() {
    const page = await call("GET", at("runs"), { query: { ...query, limit: "25" }, signal });
    if (reached === null) reached = page.nextCursor ?? "";
    // Under a filter a run leaves the list when its status is another one.
    if (query.status && page.runs.length < 25) {
      const here = new Set(page.runs.map((run) => run.id));
      for (const [id, { shown }] of known) {
        if (!here.has(id)) {
          shown.remove();
          known.delete(id);
        }
      }
    }
    put(page.runs, known.size === 0);
    fill(place, known.size > 0 ? sheet : nothing(query));
    fill(trouble);
    fill(foot, reached ? button("Show older", older) : null);
  }

  async function older() {
    try {
      const page = await call("GET", at("runs"), { query: { ...query, limit: "25", cursor: reached }, signal });
      reached = page.nextCursor ?? "";
      put(page.runs, true);
      fill(foot, reached ? button("Show older", older) : null);
    } catch (error) {
      fill(foot, problemBox(error), button("Try again", older));
    }
  }

  await look();
  (async () => {
    while (!signal.aborted) {
      await pause(FRESH, signal);
      // A page that nobody looks at asks for nothing.
      if (signal.aborted || document.hidden) continue;
      try {
        await look();
      } catch (error) {
        if (!signal.aborted) fill(trouble, problemBox(error, "Not fresh at the moment"));
      }
    }
  })();
}

/** A form whose fields stand in the address, so that what is shown can be linked. */
async function filters(query, go) {
  const change = () => go("runs", { status: status.value, profile: profile.value });
  const option = (value, label, now) => el("option", { value, selected: value === (now ?? "") }, label);
  const status = el("select", { onchange: change }, option("", "any status", query.status), STATUSES.map((name) => option(name, name, query.status)));
  const ids = await profileIds();
  if (query.profile && !ids.includes(query.profile)) ids.push(query.profile);
  const profile = el("select", { onchange: change }, option("", "any profile", query.profile), ids.map((id) => option(id, id, query.profile)));
  return el("div", { class: "filters" }, field("Status", status), field("Profile", profile));
}

async function profileIds() {
  const page = await call("GET", at("profiles"), { query: { limit: "200" } });
  return page.profiles.map((profile) => profile.id);
}

function nothing(query) {
  if (query.status || query.profile) {
    return empty("No run is like that.", "Choose another status or profile, or ", el("a", { href: "#/runs" }, "see all runs"), ".");
  }
  return may("export:run")
    ? empty("There are no runs yet.", "Start one: ", el("a", { href: "#/new" }, "New run"), ". It takes a profile, and can be watched here.")
    : empty("There are no runs yet.", "This client may not start one (scope export:run). Runs that others start appear here.");
}

function runRow(run) {
  const progress = run.progress ?? {};
  const size = run.bundle ? run.bundle.bytes : null;
  const records = run.bundle ? run.bundle.records : progress.recordsDone;
  return row(COLUMNS, [
    el("a", { href: `#/runs/${encodeURIComponent(run.id)}`, class: "id" }, el("code", { title: run.id }, `${run.id.slice(0, 10)}…${run.id.slice(-4)}`)),
    [badge(run.status), run.waiting ? el("span", { class: "quiet" }, ` waits for ${run.waiting.reason}`) : null],
    run.profileId,
    time(run.requestedAt),
    duration(run.durationMs) ?? "",
    records ? number(records) : "",
    bytes(size) ?? "",
  ]);
}
