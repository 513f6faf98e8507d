/** Sign up: the address, then the code in its mail and the password. */
import { addressForm, askedFor, codeField, forget } from "../codes.js";
import { html } from "../html.js";
import { field, formFault, submit, submitButton } from "./form.js";
import { enter } from "./sign-in.js";

/** @typedef {import("../app.js").App} App */

/** @param {App} app */
export function signUp(app) {
  const asked = askedFor("sign-up");
  return html`
    <div class="narrow" key="sign-up">
      <h1 tabindex="-1">${app.say("sign_up.title")}</h1>
      ${asked === null ? addressForm(app, "sign-up", (email) => ask(app, email)) : proof(app, asked)}
      <p class="aside">${app.say("sign_up.have_account")} <a href="#/">${app.say("sign_up.to_sign_in")}</a></p>
    </div>
  `;
}

/**
 * @param {App} app
 * @param {string} email
 */
async function ask(app, email) {
  try {
    return await app.curfew.signUp({ email });
  } catch (error) {
    // A deployment that sends no mail wants the password at once.
    if (/** @type {any} */ (error).document?.field !== "password") {
      throw error;
    }
    return null;
  }
}

/**
 * @param {App} app
 * @param {import("../codes.js").Asked} asked
 */
function proof(app, asked) {
  const { email, challenge } = asked;
  const hint = app.say("sign_up.rules", { min: app.config.password_min_length });
  const send = submit(app, async ({ code, new_password: password }) => {
    await (challenge === null ? app.curfew.signUp({ email, password }) : app.curfew.confirmAccount({ challenge, code, password }));
    forget();
    try {
      await enter(app, email, password, challenge === null ? undefined : { challenge, code });
    } catch (error) {
      // Without mail the answer to a registration does not say whether the address has an account.
      const isTaken = /** @type {any} */ (error).problem === "credentials-invalid";
      throw isTaken ? { document: null, status: 0, isTaken } : error;
    }
  });
  return html`<form onSubmit=${send} novalidate key="proof">
    ${formFault(app)} ${codeField(app, asked)}
    ${field({ app, name: "new_password", label: app.say("sign_in.password"), type: "password", autocomplete: "new-password", hint })}
    ${submitButton(app, app.say("sign_up.submit"), app.say("sign_up.busy"))}
  </form>`;
}
