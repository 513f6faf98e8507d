/** A lost authenticator app: recovery codes first, then a code by mail and the wait of 72 hours. */
import { html } from "../html.js";
import { field, formFault, submit, submitButton } from "./form.js";

/** @typedef {import("../app.js").App} App */
/** @typedef {import("../app.js").Step} Step */

/** @param {App} app */
export function lost(app) {
  const step = /** @type {Step} */ (app.step);
  const { challenge, dueAt } = /** @type {NonNullable<Step["lost"]>} */ (step.lost);
  const back = () => step.answer(null);
  return html`
    <div class="narrow" key="lost">
      <h1 tabindex="-1">${app.say("lost.title")}</h1>
      ${dueAt !== null ? done(app, dueAt) : challenge !== null ? codeForm(app, step, challenge) : choice(app, step)}
      <p class="tools links"><button type="button" class="quiet" onClick=${back}>${app.say("step.back")}</button></p>
    </div>
  `;
}

/**
 * @param {App} app
 * @param {Step} step
 */
function choice(app, step) {
  const send = submit(app, async () => {
    step.lost = { challenge: await step.reportLost(), dueAt: null };
    app.focus("main form input");
  }, [], step);
  const useCode = () => {
    Object.assign(step, { lost: null, way: "recovery_code", form: { isBusy: false, faults: {} } });
    app.focus("main form input");
  };
  return html`
    <p class="lead">${app.say("lost.codes")}</p>
    <p class="tools"><button type="button" onClick=${useCode}>${app.say("factor.use_recovery_code")}</button></p>
    <p class="lead">${app.say("lost.wait")}</p>
    <form onSubmit=${send} novalidate key="ask">
      ${formFault(step)} ${submitButton(app, app.say("lost.ask"), app.say("code.busy"), step.form)}
    </form>
  `;
}

/**
 * @param {App} app
 * @param {Step} step
 * @param {string} challenge
 */
function codeForm(app, step, challenge) {
  const { form } = step;
  const send = submit(app, async ({ code }) => {
    step.lost = { challenge, dueAt: await app.curfew.confirmLost({ challenge, code }) };
    app.focus("h1");
  }, [], step);
  return html`
    <p class="lead">${app.say("lost.sent")}</p>
    <form onSubmit=${send} novalidate key="code">
      ${formFault(step)}
      ${field({ app, form, name: "code", label: app.say("code.code"), type: "text", autocomplete: "one-time-code" })}
      ${submitButton(app, app.say("lost.submit"), app.say("address.busy"), form)}
    </form>
  `;
}

/**
 * @param {App} app
 * @param {string} dueAt
 */
function done(app, dueAt) {
  return html`<p class="lead" role="status">${app.say("lost.done", { date: app.language.date(dueAt) })}</p>`;
}
