/** Change the password. */
import { html } from "../html.js";
import { isLost } from "../outcomes.js";
import { field, formFault, submit, submitButton } from "./form.js";

/** @typedef {import("../app.js").App} App */

/** @param {App} app */
export function password(app) {
  const hint = app.say("sign_up.rules", { min: app.config.password_min_length });
  return html`
    <div class="narrow" key="password">
      <p class="back"><a href="#/">${app.say("back")}</a></p>
      <h1 tabindex="-1">${app.say("password.title")}</h1>
      <p class="lead">${app.say("password.lead")}</p>
      <form onSubmit=${submit(app, (values, form) => change(app, values, form))} novalidate>
        ${formFault(app)}
        <input type="email" autocomplete="username" value=${app.session?.account.email} hidden readonly />
        ${field({ app, name: "current_password", label: app.say("password.current"), type: "password", autocomplete: "current-password" })}
        ${field({ app, name: "new_password", label: app.say("password.new"), type: "password", autocomplete: "new-password", hint })}
        <label class="check"><input type="checkbox" id="keep" defaultChecked /> ${app.say("password.keep")}</label>
        ${submitButton(app, app.say("password.submit"), app.say("password.busy"))}
      </form>
    </div>
  `;
}

/**
 * @param {App} app
 * @param {Record<string, string>} values
 * @param {HTMLFormElement} form
 */
async function change(app, values, form) {
  const keep = /** @type {HTMLInputElement} */ (form.querySelector("#keep"));
  try {
    await app.curfew.changePassword({
      currentPassword: values.current_password,
      newPassword: values.new_password,
      keepCurrent: keep.checked,
    });
  } catch (error) {
    throw isLost(error) ? { document: null, status: 0, isUnknown: true } : error;
  }
  if (keep.checked) {
    app.open("#/", app.say("password.done"));
  }
}
