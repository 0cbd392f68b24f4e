// One run: its stages as they happen, what it waits for, why it failed, and what may be done with it.

import { at, call } from "./api.js";
import { confirmed } from "./confirm.js";
import { button, el, facts, field, fill, heading, say } from "./dom.js";
import { badge, bytes, copyButton, duration, number, time } from "./format.js";
import { problemBox } from "./problem.js";
import { result } from "./run_result.js";
import { told as selectorsTold } from "./selectors.js";
import { may, newKey } from "./session.js";
import { follow } from "./stream.js";
import { STAGES, fold, showStages, unknown } from "./timeline.js";

export async function show({ view, names, signal }) {
  const id = names[0];
  let run = await call("GET", at("runs", id), { signal });
  const known = unknown();
  const parts = new Map();
  const place = {
    head: el("div"), trouble: el("div"), state: el("p", { class: "live quiet", role: "status" }), progress: el("div"),
    stages: el("ol", { class: "stages", "aria-label": "Stages" }), result: el("div"), about: el("div"),
  };
  view.append(place.head, place.trouble, place.state,
    el("section", { "aria-label": "Progress" }, place.progress, place.stages), place.result, place.about);
  const bar = el("progress", { "aria-label": "Records written" });
  const counted = el("span", { class: "quiet" });

  function drawStages() {
    showStages(place.stages, known, (name, stage) => {
      const isShown = name === "adapt" && (stage.state === "running" || (stage.state === "done" && run.progress?.partsTotal));
      if (!isShown) return null;
      const { done, total, partsDone, partsTotal } = progressOf(run, known, parts);
      bar.max = total || 1;
      if (total) bar.value = Math.min(done, total);
      else bar.removeAttribute("value");
      counted.textContent = `${number(done)} of ${total ? number(total) : "?"} records, ${partsDone} of ${partsTotal || "?"} parts`;
      return el("div", { class: "progress" }, bar, counted);
    });
  }

  let asked = 0;
  let shown = 0;
  /** Answers may overtake each other: an older one never takes the place of a newer one. */
  async function refresh() {
    const turn = (asked += 1);
    const found = await call("GET", at("runs", id), { signal });
    if (turn < shown) return;
    shown = turn;
    run = found;
    draw();
  }

  let isPlanned = false;
  /** Ticks may come by the hundred: stages are drawn once a frame. */
  function drawSoon() {
    if (isPlanned) return;
    isPlanned = true;
    requestAnimationFrame(() => {
      isPlanned = false;
      drawStages();
    });
  }

  function draw() {
    const isOver = ["succeeded", "failed", "aborted"].includes(run.status);
    fill(place.head, heading(["Run ", badge(run.status)], actions(run, isOver, act)),
      el("p", { class: "digest" }, el("code", { class: "whole" }, run.id), copyButton(run.id, "run id")));
    fill(place.trouble, trouble(run));
    drawStages();
    fill(place.result, run.status === "succeeded" ? result(run) : null);
    fill(place.about, about(run));
  }

  async function act(what, title) {
    try {
      await what();
      await refresh();
      follows();
    } catch (error) {
      place.trouble.append(problemBox(error, title));
    }
  }

  let following = false;
  let last = 0;
  /** Until nothing follows; a replay starts it again behind what is known. */
  function follows() {
    if (following) return;
    following = true;
    follow(id, { after: last, signal, state: stateShown, told }).catch((error) => {
      if (!signal.aborted) fill(place.state, problemBox(error, "Its events cannot be followed"));
    }).finally(() => {
      following = false;
    });
  }

  function stateShown(state) {
    const texts = { live: "Live: what happens is shown at once.", waiting: "The gateway does not answer; asking again …", over: "" };
    place.state.textContent = texts[state];
    if (state === "over" && !["succeeded", "failed", "aborted"].includes(run.status)) refresh().catch(() => {});
  }

  function told(event) {
    if (Number.isInteger(event.ordinal)) {
      last = event.ordinal;
      fold(known, event);
      if (event.eventType === "run.replayed") parts.clear();
      const isSeen = event.eventType.startsWith("run.") || event.eventType === "stage.completed";
      if (event.eventType === "stage.completed") say(`${event.phase} is done`);
      if (isSeen) refresh().then(() => said(event)).catch(() => {});
    } else if (event.step === "stage.waiting") {
      run.waiting = event.waiting ?? null;
      fill(place.trouble, trouble(run));
    } else if (Number.isInteger(event.part)) {
      parts.set(event.part, event.records);
    }
    drawSoon();
  }

  function said(event) {
    if (event.eventType === "run.succeeded") say("The run succeeded. Its bundle can be downloaded.");
    if (event.eventType === "run.failed") say("The run failed.");
  }

  draw();
  follows();
}

/** What is done for certain comes from the ledger; what is under way is told by ticks, which may be lost. */
function progressOf(run, known, parts) {
  const { recordsDone = 0, recordsTotal = 0, partsDone = 0, partsTotal = 0 } = run.progress ?? {};
  let live = 0;
  for (const records of parts.values()) live += records;
  const done = known.stages.get("adapt").state === "done" ? Math.max(recordsDone, recordsTotal) : Math.max(recordsDone, Math.min(live, recordsTotal || live));
  return { done, total: recordsTotal, partsDone: Math.max(partsDone, Math.min(known.parts, partsTotal)), partsTotal };
}

function actions(run, isOver, act) {
  if (!may("export:run")) return [];
  if (!isOver) {
    const cancel = async () => {
      const isSure = await confirmed("Cancel this run?", { detail: "It ends as aborted. Nothing of it is handed over; it can be replayed.", yes: "Cancel the run" });
      if (isSure) await act(() => call("POST", at("runs", run.id, "cancel")), "It was not cancelled");
    };
    return [button("Cancel", cancel, { class: "danger" })];
  }
  if (run.status === "succeeded" || run.expiry) return [];
  const from = el("select", {}, el("option", { value: "" }, "where it stopped"), STAGES.map((name) => el("option", { value: name }, name)));
  const replay = () => {
    const body = from.value ? { from: from.value } : {};
    return act(() => call("POST", at("runs", run.id, "replay"), { body, headers: { "Idempotency-Key": newKey() } }), "It was not replayed");
  };
  return [field("Replay from", from), button("Replay", replay, { class: "primary" })];
}

function trouble(run) {
  if (run.waiting) {
    const stores = { staging: "the staging store", evidence: "the evidence ledger" };
    return el("div", { class: "notice" }, el("strong", {}, `Waits for ${stores[run.waiting.reason] ?? run.waiting.reason}`), " since ", time(run.waiting.since),
      el("p", {}, "It goes on by itself once that is back. Nothing is lost."));
  }
  if (run.status !== "failed" && !run.errorCode) return null;
  const fix = run.status === "failed"
    ? "Mend the cause and replay the run: it keeps what is done. Its dead letters say more where a command could not be done."
    : null;
  return el("div", { class: "problem", role: "alert" }, el("strong", {}, run.status === "failed" ? "The run failed" : "The run ended early"),
    run.errorMessage ? el("p", {}, run.errorMessage) : null,
    el("p", {}, el("code", {}, run.errorCode ?? "")), fix ? el("p", {}, fix, " ", el("a", { href: `#/letters?run=${encodeURIComponent(run.id)}` }, "Dead letters of this run")) : null);
}

function about(run) {
  const expiry = run.expiry;
  return el("section", { class: "card" }, el("h2", {}, "What was asked for"), facts(
    ["Profile", el("a", { href: `#/profiles/${encodeURIComponent(run.profileId)}` }, `${run.profileId}, revision ${run.profileRevision}`)],
    ["Selectors", selectorsTold(run.selectors)],
    ["Requested", [time(run.requestedAt), ` by ${run.requestedBy}`]],
    ["Started", time(run.startedAt)], ["Ended", time(run.completedAt)], ["Took", duration(run.durationMs)],
    ["Generation", run.generation > 1 ? `${run.generation}${run.replay ? `, of ${run.replay.of}` : ""}` : null],
    ["Base", run.base ? el("a", { href: `#/runs/${encodeURIComponent(run.base)}` }, run.base) : null],
    ["Policy snapshot", run.policySnapshotId?.id],
    ["Inputs", run.inputs?.length ? `${number(run.inputs.reduce((sum, input) => sum + input.count, 0))} records in ${run.inputs.length} ranges` : null],
    ["Written", run.progress?.bytesDone ? bytes(run.progress.bytesDone) : null],
    ["Retention", expiry ? ["its time is over since ", time(expiry.since), expiry.prunedAt ? ["; removed ", time(expiry.prunedAt)] : null] : null],
    ["Correlation id", el("code", {}, run.correlationId)]));
}
