/** A pass: the address, then the code in its mail and the password. It is past the limits that others have used up. */
import { addressForm, askedFor, codeField, forget } from "../codes.js";
import { html } from "../html.js";
import { codeElsewhere } from "./confirm.js";
import { field, formFault, submit, submitButton } from "./form.js";
import { enter } from "./sign-in.js";

/** @typedef {import("../app.js").App} App */

/** @param {App} app */
export function pass(app) {
  const asked = askedFor("pass");
  if (asked === null && app.route.id !== undefined) {
    return codeElsewhere(app);
  }
  return html`
    <div class="narrow" key="pass">
      <h1 tabindex="-1">${app.say("pass.title")}</h1>
      <p class="lead">${app.say(lead(asked))}</p>
      ${asked === null ? addressForm(app, "pass", (email) => app.curfew.requestPass({ email })) : proof(app, asked)}
      <p class="aside"><a href="#/">${app.say("pass.without")}</a></p>
    </div>
  `;
}

/** Returns the text that says why there is a code. @param {import("../codes.js").Asked | null} asked */
function lead(asked) {
  if (asked?.signOut) {
    return "pass.others";
  }
  const texts = new Map([
    ["address-unconfirmed", "pass.unconfirmed"],
    ["code-required", "pass.wanted"],
  ]);
  return texts.get(asked?.problem ?? "") ?? "pass.lead";
}

/**
 * @param {App} app
 * @param {import("../codes.js").Asked} asked
 */
function proof(app, asked) {
  const send = submit(app, async ({ code, password }) => {
    await enter(app, asked.email, password, { challenge: asked.challenge ?? "", code }, asked.signOut);
    forget();
  });
  return html`<form onSubmit=${send} novalidate key="proof">
    ${formFault(app)} ${codeField(app, asked)}
    ${field({ app, name: "password", label: app.say("sign_in.password"), type: "password", autocomplete: "current-password" })}
    ${submitButton(app, app.say("sign_in.submit"), app.say("sign_in.busy"))}
  </form>`;
}
