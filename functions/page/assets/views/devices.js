/** The devices that are signed in. */
import { html } from "../html.js";
import { sign } from "../icons.js";
import { describe, signOf } from "../outcomes.js";
import { askToConfirm } from "./address.js";
import { card } from "./card.js";

/** @typedef {import("../app.js").App} App */
/** @typedef {import("../app.js").Device} Device */

/** The number of devices from which on the list can be searched. */
const SEARCH_FROM = 8;
/** The most devices that are signed out one by one: a session may end 30 in an hour. */
const MAX_SELECTED = 25;
const DAY = 24 * 60 * 60 * 1000;

/** @param {App} app */
export function devices(app) {
  const { devices: loaded, problem } = app.signedIn;
  return html`
    <div class="title">
      <h1 tabindex="-1">${app.say("title")}</h1>
      ${loaded && html`<p>${summary(app, loaded)}</p>`}
    </div>
    ${tabs(app)} ${app.notice && html`<p class="notice" role="status">${sign("done")} ${app.notice}</p>`}
    ${askToConfirm(app)} ${problem && trouble(app, problem, () => app.loadDevices())}
    ${loaded ? list(app, loaded) : !problem && skeletons(app)}
  `;
}

/**
 * @param {App} app
 * @param {Device[]} loaded
 */
function summary(app, loaded) {
  const said = app.say("devices.summary", { n: loaded.length, email: app.session?.account.email ?? "" });
  return html`${said} <a href="#/address">${app.say("new_address.title")}</a>`;
}

/** @param {App} app */
export function tabs(app) {
  const { name } = app.route;
  const current = (/** @type {boolean} */ isCurrent) => (isCurrent ? "page" : null);
  const isOther = name === "past" || name === "messages";
  return html`
    <nav class="tabs" aria-label=${app.say("title")}>
      <a href="#/" aria-current=${current(!isOther)}>${app.say("devices.signed_in")}</a>
      <a href="#/past" aria-current=${current(name === "past")}>${app.say("devices.past")}</a>
      <a href="#/messages" aria-current=${current(name === "messages")}>${app.say("messages.title")}</a>
    </nav>
  `;
}

/**
 * @param {App} app
 * @param {string} problem
 * @param {() => void} retry
 */
export function trouble(app, problem, retry) {
  return html`
    <div class="trouble" role="alert">
      ${sign("failed")}
      <p>${problem}</p>
      <button type="button" onClick=${retry}>${app.say("retry")}</button>
    </div>
  `;
}

/** @param {App} app */
export function skeletons(app) {
  return html`
    <p class="unseen" role="status">${app.say("loading")}</p>
    <ul class="cards" aria-hidden="true">
      ${[1, 2, 3].map(() => html`<li class="card skeleton"><span class="kind"></span><div><i></i><i></i></div></li>`)}
    </ul>
  `;
}

/**
 * @param {App} app
 * @param {Device[]} loaded
 */
function list(app, loaded) {
  const gone = app.outcomes.devices().filter((it) => !loaded.some((device) => device.id === it.id));
  const all = [...loaded, ...gone].sort((a, b) => Date.parse(b.last_active_at) - Date.parse(a.last_active_at));
  const current = all.find((device) => device.current);
  const others = all.filter((device) => !device.current);
  const signedIn = loaded.filter((device) => !device.current);
  const shown = others.filter((device) => matches(app, device));
  return html`
    ${current && section("this-device", app.say("devices.this"), null, html`<ul class="cards">${card(app, current)}</ul>`)}
    ${section(
      "other-devices",
      app.say("devices.others"),
      signedIn.length > 0 && tools(app, signedIn),
      html`
        ${everyone(app)} ${others.length >= SEARCH_FROM && search(app)} ${signedIn.length > 1 && selecting(app, signedIn)}
        ${signedIn.length === 0 && html`<p class="empty">${app.say("devices.alone")}</p>`}
        ${others.length > 0 &&
        shown.length === 0 &&
        html`<p class="empty">${app.say("devices.none_found", { text: app.find })}</p>`}
        <ul class="cards">
          ${shown.map((device) => card(app, device))}
        </ul>
      `,
    )}
    ${bar(app, loaded)}
  `;
}

/**
 * @param {string} id
 * @param {string} title
 * @param {unknown} action
 * @param {unknown} content
 */
function section(id, title, action, content) {
  return html`
    <section aria-labelledby=${id}>
      <div class="section-title">
        <h2 id=${id}>${title}</h2>
        ${action}
      </div>
      ${content}
    </section>
  `;
}

/**
 * @param {App} app
 * @param {Device[]} others
 */
function tools(app, others) {
  const ask = () => app.ask("everywhere", others);
  return html`<button type="button" class="danger" onClick=${ask}>${app.say("devices.everywhere")}</button>`;
}

/** Shows how far the sign-out of all other devices is. @param {App} app */
function everyone(app) {
  const outcome = app.outcomes.ofOthers();
  if (!outcome) {
    return null;
  }
  const name = app.say("outcome.others");
  const isOver = !["pending", "checking"].includes(outcome.state);
  return html`
    <div class=${`outcome wide ${signOf(outcome)}`}>
      ${sign(signOf(outcome))}
      <p><strong>${name}</strong> ${describe(app, outcome)}</p>
      ${outcome.signOut && html`<a href=${`#/sign-outs/${outcome.signOut}`}>${app.say("outcome.receipt")}</a>`}
      ${isOver &&
      html`<button type="button" class="icon-only" onClick=${() => app.outcomes.dismiss("others")}>
        ${sign("close")}<span class="unseen">${app.say("outcome.dismiss", { name })}</span>
      </button>`}
    </div>
  `;
}

/** @param {App} app */
function search(app) {
  const change = (/** @type {{ target: HTMLInputElement }} */ { target }) => app.update({ find: target.value });
  return html`
    <label class="search">
      <span class="unseen">${app.say("devices.find")}</span>
      <input type="search" value=${app.find} placeholder=${app.say("devices.find")} onInput=${change} />
    </label>
  `;
}

/**
 * @param {App} app
 * @param {Device} device
 */
function matches(app, device) {
  const text = [device.name, device.os, device.browser, device.app, device.model, app.language.place(device.location)];
  return text.join(" ").toLowerCase().includes(app.find.trim().toLowerCase());
}

/**
 * @param {App} app
 * @param {Device[]} others
 */
function selecting(app, others) {
  const days = Math.min(90, Math.ceil(app.config.session_idle_days / 2));
  const isUnused = (/** @type {Device} */ device) => Date.now() - Date.parse(device.last_active_at) > days * DAY;
  const unused = others.filter(isUnused).slice(0, MAX_SELECTED);
  const toggle = () => app.update({ selection: app.selection ? null : new Set() });
  const select = () => app.update({ selection: new Set(unused.map(({ id }) => id)) });
  return html`
    <div class="tools">
      <button type="button" class="quiet" onClick=${toggle}>
        ${app.say(app.selection ? "devices.select_done" : "devices.select")}
      </button>
      ${unused.length > 0 &&
      html`<button type="button" class="quiet" onClick=${select}>
        ${app.say("devices.select_unused", { n: unused.length, days })}
      </button>`}
    </div>
  `;
}

/**
 * The bar with what can be done to the selected devices.
 * @param {App} app
 * @param {Device[]} loaded
 */
function bar(app, loaded) {
  const chosen = loaded.filter(({ id }) => app.selection?.has(id));
  if (chosen.length === 0) {
    return null;
  }
  const ask = () => app.ask("several", chosen);
  return html`
    <div class="bar">
      <p role="status">${app.say("devices.selected", { n: chosen.length })}</p>
      ${chosen.length > MAX_SELECTED
        ? html`<p>${app.say("devices.too_many", { n: MAX_SELECTED })}</p>`
        : html`<button type="button" class="danger" onClick=${ask}>
            ${app.say("devices.sign_out_selected", { n: chosen.length })}
          </button>`}
    </div>
  `;
}
