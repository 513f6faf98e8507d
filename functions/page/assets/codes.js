/** What this browser has asked a code for, and the field in which it is typed. */
import { html } from "./html.js";
import { field, formFault, submit, submitButton } from "./views/form.js";

/** @typedef {import("./app.js").App} App */

/**
 * @typedef {object} Asked
 * @property {"sign-up" | "recovery" | "pass" | "address" | "new-address"} purpose
 * @property {string} email
 * @property {string | null} challenge what the code works with; null where no mail is sent
 * @property {string | null} [problem] the problem of the sign-in that needs the code
 * @property {"others"} [signOut] whether the sign-in is to sign out everything else
 */

/** In `localStorage`, because the link in the mail opens another tab. */
const KEY = "page.code";
/** The lifetime of a code. */
const LIFETIME_MS = 600_000;

/** @param {Asked} asked */
export function remember(asked) {
  localStorage.setItem(KEY, JSON.stringify({ ...asked, at: Date.now() }));
}

export function forget() {
  localStorage.removeItem(KEY);
}

/**
 * Returns what was asked for in this browser, while its code can be typed.
 * @param {Asked["purpose"]} purpose
 * @returns {Asked | null}
 */
export function askedFor(purpose) {
  const asked = JSON.parse(localStorage.getItem(KEY) ?? "null");
  if (asked !== null && Date.now() - asked.at > LIFETIME_MS) {
    forget();
    return null;
  }
  return asked?.purpose === purpose ? asked : null;
}

/**
 * The form that asks for a code.
 * @param {App} app
 * @param {Asked["purpose"]} purpose
 * @param {(email: string) => Promise<string | null>} ask returns the challenge, or null where no mail is sent
 * @param {string} [label]
 */
export function addressForm(app, purpose, ask, label = app.say("sign_in.email")) {
  const send = submit(app, async ({ email }) => {
    remember({ purpose, email, challenge: await ask(email) });
    app.focus("form input:not([hidden])");
  });
  return html`<form onSubmit=${send} novalidate key="address">
    ${formFault(app)}
    ${field({ app, name: "email", label, type: "email", autocomplete: "username" })}
    ${submitButton(app, app.say("code.next"), app.say("code.busy"))}
  </form>`;
}

/**
 * The address, for password managers, and the code, already typed if the mail's link was opened.
 * @param {App} app
 * @param {Asked} asked
 */
export function codeField(app, { email, challenge }) {
  const again = (/** @type {Event} */ event) => {
    event.preventDefault();
    forget();
    app.update();
  };
  const value = ["confirm", "pass"].includes(app.route.name) ? app.route.id : undefined;
  const sent = challenge !== null && html`
    <p class="lead">${app.say("code.sent", { email })}</p>
    ${field({ app, name: "code", label: app.say("code.code"), type: "text", autocomplete: "one-time-code", value })}
  `;
  return html`
    <input type="email" autocomplete="username" value=${email} hidden readonly />
    ${sent}
    <p class="aside"><a href="#/" onClick=${again}>${app.say("code.other_address")}</a></p>
  `;
}
