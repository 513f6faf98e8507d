/** The address of a signed-in account that was never confirmed: a button, then the code in the mail. */
import { askedFor, codeField, forget, remember } from "../codes.js";
import { html } from "../html.js";
import { formFault, submit, submitButton } from "./form.js";

/** @typedef {import("../app.js").App} App */

/** Asks to confirm the address, above the devices. @param {App} app */
export function askToConfirm(app) {
  return app.session?.account.confirm_address && html`<p class="notice">
    <span>${app.say("address.ask", { email: app.session.account.email })} <a href="#/confirm">${app.say("address.to_confirm")}</a></span>
  </p>`;
}

/** @param {App} app */
export function address(app) {
  const asked = askedFor("address");
  return html`
    <div class="narrow" key="address">
      <p class="back"><a href="#/">${app.say("back")}</a></p>
      <h1 tabindex="-1">${app.say("address.title")}</h1>
      ${asked === null ? question(app) : proof(app, asked)}
    </div>
  `;
}

/** @param {App} app */
function question(app) {
  const email = app.session?.account.email ?? "";
  const send = submit(app, async () => {
    remember({ purpose: "address", email, challenge: await app.curfew.signUp({ email }) });
    app.focus("form input:not([hidden])");
  });
  return html`<form onSubmit=${send} novalidate key="ask">
    <p class="lead">${app.say("address.lead", { email })}</p>
    ${formFault(app)} ${submitButton(app, app.say("address.send"), app.say("code.busy"))}
  </form>`;
}

/**
 * @param {App} app
 * @param {import("../codes.js").Asked} asked
 */
function proof(app, asked) {
  const send = submit(app, async ({ code }) => {
    await app.curfew.confirmAddress({ challenge: asked.challenge ?? "", code });
    forget();
    app.open("#/", app.say("address.done"));
  });
  return html`<form onSubmit=${send} novalidate key="proof">
    ${formFault(app)} ${codeField(app, asked)} ${submitButton(app, app.say("address.submit"), app.say("address.busy"))}
  </form>`;
}
