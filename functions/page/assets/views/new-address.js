/** Another address for the account: the address, then the code in its mail. */
import { addressForm, askedFor, codeField, forget } from "../codes.js";
import { html } from "../html.js";
import { formFault, submit, submitButton } from "./form.js";

/** @typedef {import("../app.js").App} App */

/** @param {App} app */
export function newAddress(app) {
  const asked = askedFor("new-address");
  const label = app.say("new_address.email");
  return html`
    <div class="narrow" key="new-address">
      <p class="back"><a href="#/">${app.say("back")}</a></p>
      <h1 tabindex="-1">${app.say("new_address.title")}</h1>
      <p class="lead">${app.say("new_address.lead", { email: app.session?.account.email ?? "" })}</p>
      ${asked === null ? addressForm(app, "new-address", (email) => ask(app, email), label) : proof(app, asked)}
    </div>
  `;
}

/**
 * @param {App} app
 * @param {string} email
 */
async function ask(app, email) {
  if (email.trim().toLowerCase() === app.session?.account.email) {
    throw { document: null, isSame: true };
  }
  return app.curfew.requestAddressChange({ email });
}

/**
 * @param {App} app
 * @param {import("../codes.js").Asked} asked
 */
function proof(app, asked) {
  const send = submit(app, async ({ code }) => {
    await app.curfew.changeAddress({ challenge: asked.challenge ?? "", code });
    forget();
    app.open("#/", app.say("new_address.done"));
  });
  return html`<form onSubmit=${send} novalidate key="proof">
    ${formFault(app)} ${codeField(app, asked)} ${submitButton(app, app.say("new_address.submit"), app.say("address.busy"))}
  </form>`;
}
