/** Sign in and sign up. */
import { html } from "../html.js";
import { sign } from "../icons.js";
import { field, formFault, submit, submitButton } from "./form.js";

/** @typedef {import("../app.js").App} App */

/** @param {App} app */
export function signIn(app) {
  const send = submit(app, async ({ email, password }) => {
    await enter(app, email, password);
  });
  return html`
    <div class="narrow" key="sign-in">
      ${reason(app)}
      <h1 tabindex="-1">${app.say("sign_in.title")}</h1>
      <p class="lead">${app.say("sign_in.lead")}</p>
      <form onSubmit=${send} novalidate>
        ${formFault(app)}
        ${field({ app, name: "email", label: app.say("sign_in.email"), type: "email", autocomplete: "username" })}
        ${field({ app, name: "password", label: app.say("sign_in.password"), type: "password", autocomplete: "current-password" })}
        ${submitButton(app, app.say("sign_in.submit"), app.say("sign_in.busy"))}
      </form>
      <p class="aside">${app.say("sign_in.no_account")} <a href="#/sign-up">${app.say("sign_in.to_sign_up")}</a></p>
    </div>
  `;
}

/** @param {App} app */
export function signUp(app) {
  const hint = app.say("sign_up.rules", { min: app.config.password_min_length });
  const send = submit(app, async ({ email, new_password: password }) => {
    await app.curfew.signUp({ email, password });
    try {
      await enter(app, email, password);
    } catch (error) {
      // The answer to a registration does not say whether the address has an account.
      const isTaken = /** @type {any} */ (error).problem === "credentials-invalid";
      throw isTaken ? { document: null, status: 0, isTaken } : error;
    }
  });
  return html`
    <div class="narrow" key="sign-up">
      <h1 tabindex="-1">${app.say("sign_up.title")}</h1>
      <form onSubmit=${send} novalidate>
        ${formFault(app)}
        ${field({ app, name: "email", label: app.say("sign_in.email"), type: "email", autocomplete: "username" })}
        ${field({ app, name: "new_password", label: app.say("sign_in.password"), type: "password", autocomplete: "new-password", hint })}
        ${submitButton(app, app.say("sign_up.submit"), app.say("sign_up.busy"))}
      </form>
      <p class="aside">${app.say("sign_up.have_account")} <a href="#/">${app.say("sign_up.to_sign_in")}</a></p>
    </div>
  `;
}

/**
 * Signs in, and checks that the browser kept the cookie.
 * @param {App} app
 * @param {string} email
 * @param {string} password
 */
async function enter(app, email, password) {
  await app.curfew.signIn({ email, password });
  if (app.config.transport === "cookie" && (await app.curfew.check()) === false) {
    // The module shows the sign-in view again, with this reason.
    app.update({ isWithoutCookie: true });
  }
}

/**
 * Says why the person sees the sign-in view.
 * @param {App} app
 */
function reason(app) {
  const { ended } = app;
  if (app.isWithoutCookie) {
    return html`<p class="notice" role="alert">${sign("failed")} <span>${app.say("sign_in.no_cookie")}</span></p>`;
  }
  if (ended === null || ended.because === "replaced") {
    return null;
  }
  const wiped = ended.because === "signed_out" && !ended.toWipe && html`<br />${app.say("ended.wiped")}`;
  return html`<p class="notice" role="alert">${sign("shield")} <span>${sentence(app, ended)}${wiped}</span></p>`;
}

/**
 * @param {App} app
 * @param {import("../curfew.js").Ended} ended
 */
function sentence(app, ended) {
  if (ended.because !== "signed_out") {
    return app.say(`ended.${ended.because}`);
  }
  const date = app.language.date(ended.signed_out_at);
  if (ended.reason !== "signed_out") {
    return app.say(`ended.${ended.reason}`, { date });
  }
  const by = ended.signed_out_by;
  if (app.ownSignOut !== null && app.ownSignOut === ended.sign_out) {
    return app.say("ended.self");
  }
  return by ? app.say("ended.signed_out_by", { date, name: by.name }) : app.say("ended.signed_out", { date });
}
