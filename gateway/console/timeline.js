// What became of a run's stages, folded from its events: the same whether they come all at once or one by one.

import { el, fill } from "./dom.js";
import { duration, time } from "./format.js";

export const STAGES = ["plan", "resolve", "adapt", "manifest", "sign", "distribute"];
const SAYS = {
  plan: "pins all that the bytes depend on",
  resolve: "cuts the evidence into parts",
  adapt: "writes the parts and joins them",
  manifest: "writes export.json and the tar",
  sign: "signs and writes provenance",
  distribute: "hands over",
};
const ENDS = { "run.succeeded": "succeeded", "run.failed": "failed", "run.aborted": "aborted" };

/** The stages of a run that nothing is known of yet. */
export function unknown() {
  return { stages: new Map(STAGES.map((name) => [name, { state: "pending" }])), end: null, since: null, parts: 0 };
}

/** Takes one event in. */
export function fold(known, event) {
  const type = event.eventType;
  const stage = known.stages.get(event.phase);
  if (type === "run.running") {
    begin(known, "plan", event.at);
  } else if (type === "run.replayed") {
    replayed(known, event);
  } else if (type === "stage.completed" || type === "run.signed") {
    if (stage) finish(known, event, stage);
  } else if (type === "adapter.complete") {
    known.parts += 1;
  } else if (type === "adapter.error" && stage) {
    stage.note = event.message;
  } else if (type in ENDS) {
    end(known, event, ENDS[type]);
  }
}

function begin(known, name, since) {
  const stage = known.stages.get(name);
  if (stage && stage.state === "pending") Object.assign(stage, { state: "running", since });
}

function finish(known, event, stage) {
  const since = stage.since ?? known.since ?? event.at;
  const took = event.metrics?.duration_ms ?? Date.parse(event.at) - Date.parse(since);
  Object.assign(stage, { state: "done", took, until: event.at, note: event.message });
  known.since = event.at;
  const next = STAGES[STAGES.indexOf(event.phase) + 1];
  if (next) begin(known, next, event.at);
}

function end(known, event, state) {
  known.end = state;
  for (const [name, stage] of known.stages) {
    if (stage.state === "running") {
      const isDone = state === "succeeded";
      Object.assign(stage, { state: isDone ? "done" : state, until: event.at, note: isDone ? stage.note : event.message });
      stage.took = Date.parse(event.at) - Date.parse(stage.since);
    }
    if (state === "succeeded" && stage.state === "pending") stage.state = name === "distribute" ? "done" : "kept";
  }
}

/** Results before the stage of a replay are kept; it and what follows are done again. */
function replayed(known, event) {
  const from = Math.max(0, STAGES.indexOf(event.phase ?? "plan"));
  known.end = null;
  known.parts = 0;
  STAGES.forEach((name, index) => {
    const stage = known.stages.get(name);
    if (index >= from || stage.state !== "done") known.stages.set(name, { state: "pending" });
  });
}

/** Shows them; `more(name)` may add something to a stage. */
export function showStages(list, known, more) {
  const items = STAGES.map((name) => {
    const stage = known.stages.get(name);
    const took = stage.took === undefined ? null : duration(Math.max(0, stage.took));
    const since = stage.state === "running" && stage.since ? el("span", { class: "quiet" }, "since ", time(stage.since)) : null;
    return el("li", { class: `stage is-${stage.state}`, "aria-current": stage.state === "running" ? "step" : null, "data-stage": name },
      el("div", { class: "stage-head" }, el("strong", {}, name), el("span", { class: "stage-state" }, stage.state), took ? el("span", { class: "took" }, took) : null),
      el("p", { class: "quiet" }, stage.state === "pending" ? SAYS[name] : stage.note ?? SAYS[name]),
      since, more(name, stage));
  });
  fill(list, items);
}
