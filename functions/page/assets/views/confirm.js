/** The link in a mail that confirms an address: it works in the browser that asked, and shows its code elsewhere. */
import { askedFor } from "../codes.js";
import { html } from "../html.js";
import { signUp } from "./sign-up.js";

/** @typedef {import("../app.js").App} App */

/** @param {App} app */
export function confirm(app) {
  return askedFor("sign-up") === null ? codeElsewhere(app) : signUp(app);
}

/** Shows the code of a link that was not opened where it was asked for. @param {App} app */
export function codeElsewhere(app) {
  return html`
    <div class="narrow" key="confirm">
      <h1 tabindex="-1">${app.say("code.code")}</h1>
      <p class="code">${app.route.id}</p>
      <p class="lead">${app.say("code.elsewhere")}</p>
    </div>
  `;
}
