/** The second step of a sign-in: a code of the authenticator app, or a recovery code. */
import { html } from "../html.js";
import { factorField, factorIn, otherFactor } from "./factor.js";
import { formFault, submit, submitButton } from "./form.js";
import { later } from "./later.js";

/** @typedef {import("../app.js").App} App */

const lost = later(async () => (await import("./lost.js")).lost);

/** @param {App} app */
export function secondStep(app) {
  const step = /** @type {import("../app.js").Step} */ (app.step);
  if (step.lost !== null) {
    return lost(app);
  }
  const { way, form } = step;
  const choose = (/** @type {import("../app.js").Way} */ other) => {
    if (!form.isBusy) {
      Object.assign(step, { way: other, form: { isBusy: false, faults: {} } });
      app.focus("main form input");
    }
  };
  const loseApp = () => {
    if (!form.isBusy) {
      Object.assign(step, { lost: { challenge: null, dueAt: null }, form: { isBusy: false, faults: {} } });
      app.focus("h1");
    }
  };
  const send = submit(app, (values, sent) => answer(step, values, sent), [], step);
  return html`
    <div class="narrow" key="second-step">
      <h1 tabindex="-1">${app.say("step.title")}</h1>
      <p class="lead">${app.say(`step.${way}`)}</p>
      <form onSubmit=${send} novalidate>
        ${formFault(step)} ${factorField(app, way, form)}
        <label class="check"><input type="checkbox" id="remember" /> ${app.say("step.remember")}</label>
        ${submitButton(app, app.say("sign_in.submit"), app.say("sign_in.busy"), form)}
      </form>
      <p class="tools links">
        ${otherFactor(app, way, choose)}
        <button type="button" class="quiet" onClick=${() => step.answer(null)}>${app.say("step.back")}</button>
      </p>
      <p class="tools links"><button type="button" class="quiet" onClick=${loseApp}>${app.say("step.lost")}</button></p>
    </div>
  `;
}

/**
 * Sends the code. The form stays busy until the sign-in is done or asks again.
 * @param {import("../app.js").Step} step
 * @param {Record<string, string>} values
 * @param {HTMLFormElement} form
 * @returns {Promise<void>}
 */
function answer(step, values, form) {
  const remember = /** @type {HTMLInputElement} */ (form.querySelector("#remember")).checked;
  return new Promise((_, refuse) => {
    step.refuse = refuse;
    step.answer({ ...factorIn(values), remember });
  });
}
