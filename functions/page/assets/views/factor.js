/** The field for a factor: a code of an authenticator app, or a recovery code. */
import { html } from "../html.js";
import { field } from "./form.js";

/** @typedef {import("../app.js").App} App */
/** @typedef {import("../app.js").Way} Way */

/**
 * @param {App} app
 * @param {Way} way
 * @param {import("./form.js").Form} [form]
 */
export function factorField(app, way, form = app.form) {
  const label = app.say(`factor.${way}`);
  return way === "totp"
    ? field({ app, form, name: way, label, type: "text", autocomplete: "one-time-code", inputmode: "numeric" })
    : field({ app, form, name: way, label, type: "text", autocomplete: "off" });
}

/**
 * The button that leads to the other kind.
 * @param {App} app
 * @param {Way} way
 * @param {(way: Way) => void} choose
 */
export function otherFactor(app, way, choose) {
  const other = way === "totp" ? "recovery_code" : "totp";
  return html`<button type="button" class="quiet" onClick=${() => choose(other)}>${app.say(`factor.use_${other}`)}</button>`;
}

/**
 * Returns the factor among the values of a form.
 * @param {Record<string, string>} values
 * @returns {import("../curfew.js").Factor}
 */
export function factorIn({ totp, recovery_code: recoveryCode }) {
  return { totp, recoveryCode };
}
