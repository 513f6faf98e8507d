/** A forgotten password: the address, then the code in its mail and a new password; or the link in the mail. */
import { addressForm, askedFor, codeField, forget } from "../codes.js";
import { html } from "../html.js";
import { factorField, factorIn, otherFactor } from "./factor.js";
import { field, formFault, submit, submitButton } from "./form.js";

/** @typedef {import("../app.js").App} App */

/** @param {App} app */
export function recover(app) {
  const link = app.route.name === "recover" ? app.route.id : undefined;
  const asked = askedFor("recovery");
  const isFirst = link === undefined && asked === null;
  return html`
    <div class="narrow" key="recover">
      <h1 tabindex="-1">${app.say("recover.title")}</h1>
      <p class="lead">${app.say("recover.lead")}</p>
      ${isFirst ? addressForm(app, "recovery", (email) => app.curfew.requestPasswordReset({ email })) : proof(app, link, asked)}
      <p class="aside"><a href="#/">${app.say("recover.without")}</a></p>
    </div>
  `;
}

/**
 * @param {App} app
 * @param {string | undefined} link the link's secret, which works anywhere
 * @param {import("../codes.js").Asked | null} asked
 */
function proof(app, link, asked) {
  const hint = app.say("sign_up.rules", { min: app.config.password_min_length });
  const send = submit(app, async ({ code, new_password: password, ...values }, form) => {
    const isLost = /** @type {HTMLInputElement | null} */ (form.querySelector("#remove_factors"))?.checked;
    const challenge = asked?.challenge ?? "";
    const mailed = link === undefined ? { challenge, code, password } : { link, password };
    try {
      await app.curfew.resetPassword({ ...mailed, ...factorIn(values), removeFactors: isLost });
    } catch (error) {
      askForFactor(app, error);
      return;
    }
    forget();
    app.open("#/", app.say("recover.done"));
  });
  return html`<form onSubmit=${send} novalidate key="proof">
    ${formFault(app)} ${link === undefined && asked !== null && codeField(app, asked)}
    ${field({ app, name: "new_password", label: app.say("password.new"), type: "password", autocomplete: "new-password", hint })}
    ${app.recoveryFactor !== null && factor(app, app.recoveryFactor)}
    ${submitButton(app, app.say("recover.submit"), app.say("password.busy"))}
  </form>`;
}

/**
 * What the account needs besides the mail.
 * @param {App} app
 * @param {import("../app.js").Way} way
 */
function factor(app, way) {
  const choose = (/** @type {import("../app.js").Way} */ other) => {
    app.recoveryFactor = other;
    app.focus(`#${other}`);
  };
  return html`
    <p class="lead" role="status">${app.say("recover.factor")}</p>
    ${factorField(app, way)}
    ${way === "recovery_code" && html`<label class="check">
      <input type="checkbox" id="remove_factors" /> ${app.say("recover.remove")}
    </label>`}
    <p class="tools links">${otherFactor(app, way, choose)}</p>
  `;
}

/**
 * Adds the field for a factor, if that is what was missing. Everything typed stays.
 * @param {App} app
 * @param {unknown} error
 */
function askForFactor(app, error) {
  if (/** @type {any} */ (error).problem !== "factor-required") {
    throw error;
  }
  app.recoveryFactor = "totp";
  app.focus("#totp");
}
