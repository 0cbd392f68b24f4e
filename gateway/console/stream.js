// The events of a run as they happen: NDJSON over fetch, since an EventSource cannot send a proof. Whoever lost the stream comes back
// behind the last event that it has, and waits longer each time that nobody answers.

import { at, refusedBy, send } from "./api.js";
import { fromJson } from "./encoding.js";
import { Unreachable } from "./problem.js";

/** The gateway says something at least every 15 s; after this silence the connection is dead, whatever it looks like. */
const SILENCE = 45_000;
const LONGEST_PAUSE = 30_000;
/** An event is small: more without a line feed is none. */
const LONGEST_LINE = 1 << 20;

/** Follows until nothing will ever follow, or `signal`. `told(event)` gets events, and `state` is `live`, `waiting` or `over`. */
export async function follow(run, { after = 0, told, state, signal }) {
  let last = after;
  let failures = 0;
  while (!signal.aborted) {
    const cut = new AbortController();
    const stop = () => cut.abort();
    signal.addEventListener("abort", stop);
    try {
      const headers = { Accept: "application/x-ndjson", ...(last > 0 ? { "Last-Event-ID": String(last) } : {}) };
      const response = await send("GET", at("runs", run, "events"), { headers, signal: cut.signal });
      if (response.status === 204) {
        state("over");
        return;
      }
      if (!response.ok) throw await refusedBy(response);
      state("live");
      for await (const event of lines(response.body, cut)) {
        failures = 0;
        if (Number.isInteger(event.ordinal)) last = Math.max(last, event.ordinal);
        told(event);
      }
    } catch (error) {
      if (signal.aborted) return;
      // What is refused for good is not asked for again.
      if (error.status >= 400 && error.status < 500 && error.status !== 429) throw error;
      if (!(error instanceof Unreachable) && !error.status && !cut.signal.aborted && !(error instanceof TypeError)) throw error;
      failures += 1;
    } finally {
      signal.removeEventListener("abort", stop);
      cut.abort();
    }
    if (signal.aborted) return;
    if (failures > 0) state("waiting");
    await pause(failures === 0 ? 200 : Math.min(LONGEST_PAUSE, 1000 * 2 ** (failures - 1)) * (0.75 + Math.random() / 2), signal);
  }
}

/** The JSON documents of a body, one a line; comments and what is none are passed over. */
async function* lines(body, cut) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const watch = setTimeout(() => cut.abort(), SILENCE);
      const { done, value } = await reader.read().finally(() => clearTimeout(watch));
      if (done) return;
      rest += value;
      const whole = rest.split("\n");
      rest = whole.pop();
      if (rest.length > LONGEST_LINE) return;
      for (const line of whole) {
        const event = line.startsWith("{") ? fromJson(line) : null;
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

export function pause(millis, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, millis);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}
