// Asks before something is done that cannot be undone.

import { button, el } from "./dom.js";

/** Whether the person says yes. */
export function confirmed(question, { detail, yes }) {
  return new Promise((resolve) => {
    const close = (answer) => () => dialog.close(answer);
    const dialog = el("dialog", { "aria-labelledby": "confirm-question" },
      el("h2", { id: "confirm-question" }, question),
      detail ? el("p", {}, detail) : null,
      el("div", { class: "actions" }, button("Keep it as it is", close("no")), button(yes, close("yes"), { class: "danger" })));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
