/** The frame of every view: the header, the footer, and the view itself. */
import { html } from "../html.js";
import { sign } from "../icons.js";
import { LANGUAGES } from "../languages/index.js";
import { address } from "./address.js";
import { confirm } from "./confirm.js";
import { devices, trouble } from "./devices.js";
import { dialog, prove } from "./dialogs.js";
import { later } from "./later.js";
import { secondStep } from "./second-step.js";
import { signIn } from "./sign-in.js";
import { signUp } from "./sign-up.js";

/** @typedef {import("../app.js").App} App */

// Views that few people open are not part of the first download.
const messages = later(async () => (await import("./messages.js")).messages);
const newAddress = later(async () => (await import("./new-address.js")).newAddress);
const notice = later(async () => (await import("./notice.js")).notice);
const pass = later(async () => (await import("./pass.js")).pass);
const password = later(async () => (await import("./password.js")).password);
const past = later(async () => (await import("./past.js")).past);
const receipt = later(async () => (await import("./receipt.js")).receipt);
const recover = later(async () => (await import("./recover.js")).recover);
const verified = later(async () => (await import("./verified.js")).verified);
const security = later(async () => (await import("./security.js")).security);

/** The views of a signed-in person, by the name in the address. @type {Record<string, (app: App) => unknown>} */
const VIEWS = {
  devices,
  past,
  messages,
  "sign-outs": receipt,
  password,
  security,
  address: newAddress,
  confirm: address,
  verified,
};

/** The views of a person who is not signed in. @type {Record<string, (app: App) => unknown>} */
const OPEN_VIEWS = { "sign-up": signUp, confirm, forgotten: recover, recover, pass };

/** @param {App} app */
export function page(app) {
  return html`
    <a class="skip" href="#content" onClick=${skip}>${app.say("skip")}</a>
    ${header(app)}
    <main id="content" tabindex="-1">${leaving(app)} ${view(app)}</main>
    ${footer(app)}
    <p class="unseen" role="status">${app.announcement}</p>
    ${app.dialog && dialog(app, app.dialog)} ${app.proving && prove(app, app.proving)}
  `;
}

/** @param {App} app */
function view(app) {
  if (app.isStarting) {
    return html`<p class="starting">${app.say("loading")}</p>`;
  }
  if (app.step !== null) {
    return secondStep(app);
  }
  if (app.route.name === "notice") {
    return notice(app);
  }
  if (app.session === null) {
    const isOpen = Object.keys(OPEN_VIEWS).includes(app.route.name);
    return (isOpen ? OPEN_VIEWS[app.route.name] : signIn)(app);
  }
  if (app.route.name === "recover") {
    return recover(app);
  }
  // A session whose token was lost has this way back.
  if (app.route.name === "sign-in") {
    return signIn(app);
  }
  const isToConfirm = app.route.name !== "confirm" || app.session.account.confirm_address;
  const isKnown = Object.keys(VIEWS).includes(app.route.name) && isToConfirm;
  return (isKnown ? VIEWS[app.route.name] : devices)(app);
}

/** Shows the sign-out of this device, until it is answered. @param {App} app */
function leaving(app) {
  const { isBusy, problem, retry } = app.leaving;
  if (problem !== null) {
    return trouble(app, app.say("outcome.failed", { problem }), retry);
  }
  return isBusy && html`<p class="notice" role="status">${sign("waiting")} ${app.say("outcome.pending")}</p>`;
}

/** @param {App} app */
function header(app) {
  const { name, logo } = app.config;
  return html`
    <header class="top">
      <a class="brand" href="#/">
        ${logo ? html`<img src=${logo} alt="" />` : sign("shield")}
        <span>${name}</span>
      </a>
      ${app.session &&
      html`<nav aria-label=${app.say("nav")}>
        ${link(app, "devices", "#/")} ${link(app, "password", "#/password")}
        ${link(app, "security", "#/security")}
        <button type="button" class="quiet" onClick=${() => askToSignOut(app)}>${app.say("nav.sign_out")}</button>
      </nav>`}
    </header>
  `;
}

/**
 * @param {App} app
 * @param {string} name
 * @param {string} address
 */
function link(app, name, address) {
  const isCurrent = app.route.name === name;
  return html`<a href=${address} aria-current=${isCurrent ? "page" : null}>${app.say(`nav.${name}`)}</a>`;
}

/** @param {App} app */
function askToSignOut(app) {
  if (app.session) {
    app.ask("current", [app.session.device]);
  }
}

/** @param {App} app */
function footer(app) {
  const change = (/** @type {{ target: HTMLSelectElement }} */ { target }) => app.chooseLanguage(target.value);
  return html`
    <footer>
      <label>
        <span>${app.say("language")}</span>
        <select onChange=${change} value=${app.language.tag}>
          ${Object.entries(LANGUAGES).map(([tag, { name }]) => html`<option value=${tag} lang=${tag}>${name}</option>`)}
        </select>
      </label>
      ${app.config.links.map(({ text, url }) => html`<a href=${url} rel="noreferrer">${text}</a>`)}
    </footer>
  `;
}

/** @param {Event} event */
function skip(event) {
  event.preventDefault();
  document.getElementById("content")?.focus();
}
