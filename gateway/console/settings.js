// Pages of settings of one kind, each on a card: what there is, and a form for a new one.

import { at, call } from "./api.js";
import { button, el, empty, fill, heading, say } from "./dom.js";
import { problemBox } from "./problem.js";
import { may } from "./session.js";

/** Who may change settings that make runs, or tell of them. */
const CHANGES = ["export:run", "export:profile:manage"];

export function mayChange() {
  return may(...CHANGES);
}

/**
 * Shows what `path` lists under the member of that name. `title` and `one` name the kind, `what` says in a sentence what it is for, `form(done)`
 * makes the form for a new one, `card(each, load)` shows one.
 */
export async function settings({ view, signal, path, title, one, what, form, card }) {
  const place = el("div");
  const making = el("div");
  const done = () => {
    fill(making);
    load().catch((error) => fill(making, problemBox(error)));
  };
  const open = async () => {
    try {
      fill(making, await form(done));
      making.querySelector("input").focus();
    } catch (error) {
      fill(making, problemBox(error));
    }
  };
  const load = async () => {
    const found = (await call("GET", at(path), { signal }))[path];
    fill(place, found.length > 0 ? found.map((each) => card(each, load)) : nothing(title, one, what));
  };
  view.append(heading(title, mayChange() ? button(`New ${one}`, open, { class: "primary" }) : null), making, place);
  await load();
}

function nothing(title, one, what) {
  const next = mayChange() ? `Make one with “New ${one}”.` : `This client may not make one (scopes ${CHANGES.join(" and ")}).`;
  return empty(`There are no ${title.toLowerCase()}.`, `${what} ${next}`);
}

/** Does something with a setting, tells that it was done, and shows all anew; a fault stands in `trouble`. */
export async function act(what, { said, load, trouble }) {
  try {
    await what();
    say(said);
    await load();
  } catch (error) {
    fill(trouble, problemBox(error, "That was not done"));
  }
}
