/** The link in the mail to the address before a change: undoes the change, by the mail's reference. */
import { html } from "../html.js";
import { sign } from "../icons.js";
import { field, formFault, submit, submitButton } from "./form.js";

/** @typedef {import("../app.js").App} App */

/**
 * @param {App} app
 * @param {"undoes" | "holds"} effect
 * @param {(reference: string) => Promise<void>} press
 */
export function undoForm(app, effect, press) {
  const send = submit(app, ({ reference }) => press(reference));
  const hint = app.say("undo.hint");
  return html`
    <p>${app.say(`undo.${effect}`)}</p>
    <form onSubmit=${send} novalidate>
      ${formFault(app)}
      ${field({ app, name: "reference", label: app.say("undo.reference"), type: "text", autocomplete: "off", hint })}
      ${submitButton(app, app.say(`undo.submit.${effect}`), app.say("loading"))}
    </form>
  `;
}

/**
 * @param {App} app
 * @param {"undoes" | "holds"} effect
 */
export function undone(app, effect) {
  return html`
    <p class="outcome done">${sign("done")} <span>${app.say(`undo.done_text.${effect}`)}</span></p>
    ${effect === "undoes" && html`<p><a class="button" href="#/forgotten">${app.say("notice.new_password")}</a></p>`}
  `;
}
