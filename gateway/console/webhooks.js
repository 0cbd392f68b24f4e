// Who is told of the ends of runs, and what became of each message.

import { at, call } from "./api.js";
import { confirmed } from "./confirm.js";
import { button, el, empty, facts, fill, row, say, table } from "./dom.js";
import { badge, duration, time } from "./format.js";
import { listing } from "./listing.js";
import { showSecret, webhookForm } from "./new_webhook.js";
import { problemBox } from "./problem.js";
import { newKey } from "./session.js";
import { act, mayChange, settings } from "./settings.js";

const COLUMNS = ["Message", "State", "Run", "Made", "Tries", ""];

export function show({ view, signal }) {
  return settings({
    view, signal, path: "webhooks", title: "Webhooks", one: "webhook", what: "A webhook is told of the ends of runs.", form: webhookForm, card,
  });
}

function card(webhook, load) {
  const trouble = el("div");
  const messages = el("div");
  const doing = (what, said) => act(what, { said, load, trouble });
  const turn = () => doing(() => call("PATCH", at("webhooks", webhook.id), { body: { enabled: !webhook.enabled } }), webhook.enabled ? "Switched off" : "Switched on");
  const test = async () => {
    try {
      await call("POST", at("webhooks", webhook.id, "test"), { headers: { "Idempotency-Key": newKey() } });
      say("A message is on its way");
      if (folded.open) await deliveries(webhook, messages);
      else folded.open = true;
    } catch (error) {
      fill(trouble, problemBox(error, "Nothing was sent"));
    }
  };
  const remove = async () => {
    if (await confirmed("Delete this webhook?", { detail: webhook.url, yes: "Delete it" })) await doing(() => call("DELETE", at("webhooks", webhook.id)), "Deleted");
  };
  /** Both secrets sign for a day, so nothing is refused until the receiver has the new one. */
  const rotate = async () => {
    const detail = "Messages are signed with the new and the present secret for a day; give the receiver the new one until then.";
    if (!(await confirmed("Give it another secret?", { detail, yes: "Rotate the secret" }))) return;
    try {
      // Without an Idempotency-Key: an answer that holds a secret does not come twice.
      const { secret } = await call("POST", at("webhooks", webhook.id, "secret"), { body: {} });
      const box = el("div", { class: "notice" });
      fill(trouble, box);
      showSecret(box, secret, load);
    } catch (error) {
      fill(trouble, problemBox(error, "The secret was not rotated"));
    }
  };
  const actions = mayChange()
    ? [button("Send a test", test), button("Rotate secret", rotate), button(webhook.enabled ? "Switch off" : "Switch on", turn), button("Delete", remove, { class: "danger" })]
    : [];
  const folded = el("details", { ontoggle: (event) => event.target.open && deliveries(webhook, messages) }, el("summary", {}, "Messages"), messages);
  return el("section", { class: "card" },
    el("div", { class: "heading" }, el("h2", { class: "breaks" }, webhook.url, " ", badge(webhook.enabled ? "active" : "off")), el("div", { class: "actions" }, actions)),
    trouble,
    facts(["Description", webhook.description], ["Told of", webhook.events.join(", ")], ["Only of", webhook.profileId],
      ["Off because", webhook.disabledBecause],
      ["Former secret", webhook.formerSecretUntil ? ["signs as well until ", time(webhook.formerSecretUntil)] : null], ["Made", [time(webhook.createdAt), ` by ${webhook.createdBy}`]]),
    folded);
}

async function deliveries(webhook, place) {
  fill(place);
  const list = listing(place, {
    path: at("webhooks", webhook.id, "deliveries"), member: "deliveries",
    render: (body, found) => body.append(table("Newest first", COLUMNS, found.map((one) => deliveryRow(webhook, one, place)))),
    nothing: () => empty("Nothing was sent yet.", "Send a test, or wait for the end of a run."),
  });
  try {
    await list.load();
  } catch (error) {
    fill(place, problemBox(error));
  }
}

function deliveryRow(webhook, delivery, place) {
  const again = async () => {
    try {
      await call("POST", at("webhooks", webhook.id, "deliveries", delivery.id, "replay"), { headers: { "Idempotency-Key": newKey() } });
      say("It is sent again");
      await deliveries(webhook, place);
    } catch (error) {
      place.append(problemBox(error, "It was not sent again"));
    }
  };
  const attempts = delivery.attempts.map((one) => el("li", {}, time(one.at), `: ${one.status ?? one.error ?? ""} after ${duration(one.durationMs)}`));
  return row(COLUMNS, [
    delivery.event, badge(delivery.state), delivery.run ? el("a", { href: `#/runs/${encodeURIComponent(delivery.run)}` }, el("code", {}, `${delivery.run.slice(0, 10)}…`)) : "",
    time(delivery.createdAt), attempts.length > 0 ? el("ul", { class: "plain" }, attempts) : String(delivery.tries),
    mayChange() ? button("Send again", again, { class: "small" }) : null,
  ]);
}
