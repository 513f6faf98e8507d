/** Sign in. */
import { remember } from "../codes.js";
import { html } from "../html.js";
import { sign } from "../icons.js";
import { field, formFault, submit, submitButton } from "./form.js";

/** @typedef {import("../app.js").App} App */

/** @param {App} app */
export function signIn(app) {
  const send = submit(app, async ({ email, password }, _, button) => {
    const signOut = button === "others" ? button : undefined;
    try {
      await enter(app, email, password, undefined, signOut);
    } catch (error) {
      const { challenge, problem } = /** @type {import("../curfew.js").CurfewError} */ (error);
      if (!challenge || problem === "second-step-required") {
        throw error;
      }
      // The code was mailed. The view of the pass has its field.
      remember({ purpose: "pass", email, challenge, problem, signOut });
      location.hash = "#/pass";
    }
  });
  return html`
    <div class="narrow" key="sign-in">
      ${app.notice && html`<p class="notice" role="status">${sign("done")} <span>${app.notice}</span></p>`} ${reason(app)}
      <h1 tabindex="-1">${app.say("sign_in.title")}</h1>
      <p class="lead">${app.say("sign_in.lead")}</p>
      <form onSubmit=${send} novalidate>
        ${formFault(app)}
        ${field({ app, name: "email", label: app.say("sign_in.email"), type: "email", autocomplete: "username" })}
        ${field({ app, name: "password", label: app.say("sign_in.password"), type: "password", autocomplete: "current-password" })}
        ${submitButton(app, app.say("sign_in.submit"), app.say("sign_in.busy"))}
        <button type="submit" name="others" aria-disabled=${app.form.isBusy ? "true" : null}>${app.say("sign_in.others")}</button>
      </form>
      <p class="aside"><a href="#/forgotten">${app.say("sign_in.forgotten")}</a> · <a href="#/pass">${app.say("sign_in.no_way_in")}</a></p>
      <p class="aside">${app.say("sign_in.no_account")} <a href="#/sign-up">${app.say("sign_in.to_sign_up")}</a></p>
    </div>
  `;
}

/**
 * Signs in, and checks that the browser kept the cookie. If the sign-in is too weak to sign the
 * others out, it does that afterwards, which asks for a proof.
 * @param {App} app
 * @param {string} email
 * @param {string} password
 * @param {{ challenge: string, code: string }} [pass]
 * @param {"others"} [signOut]
 */
export async function enter(app, email, password, pass, signOut) {
  try {
    await app.curfew.signIn({ email, password, pass, signOut });
  } catch (error) {
    const { challenge, problem } = /** @type {import("../curfew.js").CurfewError} */ (error);
    if (!signOut || challenge || problem !== "verification-required") {
      throw error;
    }
    // A young app verifies nothing, and the team's own login verifies sessions only, so this
    // device signs in first. The refused step used up nothing, so its answer is sent again.
    app.stepAgain = app.stepShown;
    await enter(app, email, password, pass);
    if (!app.isWithoutCookie) {
      app.outcomes.signOutOthers();
    }
    return;
  } finally {
    app.step = null;
    app.stepShown = null;
    app.stepAgain = null;
  }
  if (app.config.transport === "cookie" && (await app.curfew.check()) === false) {
    // The module shows the sign-in view again, with this reason.
    app.update({ isWithoutCookie: true });
  } else if (signOut) {
    app.greet(app.say("sign_in.others_done"));
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
    const said = app.say(`ended.${ended.reason}`, { date });
    const isRecovery = ["recovered", "address_restored"].includes(ended.reason);
    return isRecovery ? html`${said} <a href="#/forgotten">${app.say("ended.not_you")}</a>` : said;
  }
  const by = ended.signed_out_by;
  if (by && by.id === app.leftDevice) {
    return app.say("ended.self");
  }
  return by ? app.say("ended.signed_out_by", { date, name: by.name }) : app.say("ended.signed_out", { date });
}
