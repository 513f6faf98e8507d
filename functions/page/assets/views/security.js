/** Security: the authenticator apps and the recovery codes of the account, and codes by mail. */
import { html } from "../html.js";
import { deviceIcon, sign } from "../icons.js";
import { Security } from "../security.js";
import { skeletons, trouble } from "./devices.js";
import { Modal } from "./dialogs.js";
import { factorField } from "./factor.js";
import { field, formFault, submit, submitButton } from "./form.js";

/** @typedef {import("../app.js").App} App */
/** @typedef {Security["factors"]} Factors */
/** @typedef {import("../curfew.js").Factors["factors"][number]} Factor */

/** @param {App} app */
export function security(app) {
  if (app.security === null) {
    app.security = new Security(app);
    void app.security.load();
  }
  const state = app.security;
  if (state.codes !== null) {
    return newCodes(app, state, state.codes);
  }
  if (state.adding !== null) {
    return html`
      <div class="narrow" key="add">
        <h1 tabindex="-1">${app.say("security.add")}</h1>
        ${state.adding === "name" ? nameForm(app, state) : codeForm(app, state, state.adding)}
      </div>
    `;
  }
  return overview(app, state);
}

/**
 * @param {App} app
 * @param {Security} state
 */
function overview(app, state) {
  const { factors, problem, done, removing } = state;
  const others = done && state.isChanged;
  return html`
    <p class="back"><a href="#/">${app.say("back")}</a></p>
    <div class="title spaced">
      <h1 tabindex="-1">${app.say("security.title")}</h1>
      <p>${app.say("security.lead")}</p>
    </div>
    ${done && html`<p class="notice" role="status">${sign("done")} <span>${done}</span></p>`}
    ${others && html`<p class="tools"><button type="button" onClick=${() => state.signOutOthers()}>${app.say("security.others")}</button></p>`}
    ${problem && trouble(app, problem, () => state.load())}
    ${factors ? content(app, state, factors) : !problem && skeletons(app)} ${removing && askToRemove(app, state, removing)}
  `;
}

/**
 * @param {App} app
 * @param {Security} state
 * @param {import("../curfew.js").Factors} shown
 */
function content(app, state, shown) {
  const { factors, recovery_codes: codes, available, sign_in_codes: mailed } = shown;
  const { address_held_until: held, factors_held_until: factorsHeld } = shown;
  const hasApps = available || factors.length > 0;
  const hasMailed = mailed.available || mailed.enabled;
  return html`
    ${held && html`<p class="notice">${app.say("security.held", { date: app.language.date(held) })}</p>`}
    ${factorsHeld && html`<p class="notice">${app.say("security.held_factors", { date: app.language.date(factorsHeld) })}</p>`}
    ${!hasApps && !hasMailed && html`<p class="empty">${app.say("security.unavailable")}</p>`}
    ${hasApps && apps(app, state, shown)} ${(factors.length > 0 || codes) && recoveryCodes(app, state, codes)}
    ${hasMailed && byMail(app, state, mailed, factors.length > 0)} ${known(app, state)}
  `;
}

/**
 * Shows the devices that are recognized.
 * @param {App} app
 * @param {Security} state
 */
function known(app, state) {
  return html`
    <section aria-labelledby="known">
      <div class="section-title"><h2 id="known">${app.say("security.known")}</h2></div>
      <p>${app.say(state.known.length === 0 ? "security.known_none" : "security.known_lead")}</p>
      <ul>
        ${state.known.map((name) => html`<li><bdi>${name}</bdi></li>`)}
      </ul>
    </section>
  `;
}

/**
 * @param {App} app
 * @param {Security} state
 * @param {import("../curfew.js").Factors} shown
 */
function apps(app, state, { factors, available, removal }) {
  return html`
    <section aria-labelledby="apps">
      <div class="section-title">
        <h2 id="apps">${app.say("security.apps")}</h2>
        ${available && html`<button type="button" class=${factors.length === 0 ? "primary" : ""} onClick=${() => state.show({ adding: "name", done: null, problem: null }, "h1")}>
          ${app.say("security.add")}
        </button>`}
      </div>
      ${factors.length === 0 && html`<p class="empty">${app.say("security.none")}</p>`}
      ${factors.length > 0 && removal && askedRemoval(app, state, removal)}
      <ul class="cards">
        ${factors.map((factor) => card(app, state, factor))}
      </ul>
    </section>
  `;
}

/**
 * @param {App} app
 * @param {Security} state
 * @param {import("../curfew.js").Factors["sign_in_codes"]} mailed
 * @param {boolean} hasApp
 */
function byMail(app, state, { enabled, always }, hasApp) {
  const busy = state.isBusy ? "true" : null;
  const label = app.say(enabled ? "security.mailed_turn_off" : "security.mailed_turn_on");
  return html`
    <section aria-labelledby="mailed">
      <div class="section-title">
        <h2 id="mailed">${app.say("security.mailed")}</h2>
        ${!always && html`<button type="button" aria-disabled=${busy} onClick=${() => state.setMailed(!enabled)}>
          ${label}<span class="unseen"> · ${app.say("security.mailed")}</span>
        </button>`}
      </div>
      <p>${app.say(always ? "security.mailed_always" : "security.mailed_lead")}</p>
      ${!always && html`<p>${app.say(enabled ? "security.mailed_on" : "security.mailed_off")}</p>`}
      ${hasApp && html`<p class="hint">${app.say("security.mailed_instead")}</p>`}
    </section>
  `;
}

/**
 * The removal that somebody asked for who can't show an app.
 * @param {App} app
 * @param {Security} state
 * @param {{ due_at: string }} removal
 */
function askedRemoval(app, state, { due_at: dueAt }) {
  const busy = state.isBusy ? "true" : null;
  return html`
    <p class="notice">${sign("waiting")} <span>${app.say("security.removal", { date: app.language.date(dueAt) })}</span></p>
    <p class="tools">
      <button type="button" aria-disabled=${busy} onClick=${() => state.stopRemoval()}>${app.say("security.removal_stop")}</button>
    </p>
  `;
}

/**
 * @param {App} app
 * @param {Security} state
 * @param {Factor} factor
 */
function card(app, state, factor) {
  const { id, name, added_at: added } = factor;
  return html`
    <li class="card" key=${id}>
      <span class="kind">${deviceIcon("phone")}</span>
      <div class="about">
        <h3><bdi>${name}</bdi></h3>
        <p>${app.say("security.added", { date: app.language.date(added) })}</p>
        <p>${standing(app, factor)}</p>
      </div>
      <div class="actions">
        <button type="button" onClick=${() => state.show({ removing: factor })}>
          ${app.say("security.remove")}<span class="unseen"> · ${name}</span>
        </button>
      </div>
    </li>
  `;
}

/** Says what an app counts for. @param {App} app @param {Factor} factor */
function standing(app, { settled, settles_at: settles }) {
  if (settled) {
    return app.say("security.settled");
  }
  return settles ? app.say("security.young", { date: app.language.date(settles) }) : app.say("security.unnotified");
}

/**
 * @param {App} app
 * @param {Security} state
 * @param {{ left: number, made_at: string }} [codes]
 */
function recoveryCodes(app, state, codes) {
  const left = codes && app.say("security.codes_left", { n: codes.left, date: app.language.date(codes.made_at) });
  const label = app.say(codes ? "security.make_new" : "security.make");
  const busy = state.isBusy ? "true" : null;
  return html`
    <section aria-labelledby="codes">
      <div class="section-title">
        <h2 id="codes">${app.say("security.codes")}</h2>
        <button type="button" class=${codes ? "" : "primary"} aria-disabled=${busy} onClick=${() => state.makeCodes()}>
          ${label}
        </button>
      </div>
      <p>${left ?? app.say("security.codes_none")}</p>
      <p class="hint">${app.say(codes ? "security.replaces" : "security.codes_lead")}</p>
    </section>
  `;
}

/**
 * @param {App} app
 * @param {Security} state
 * @param {Factor} factor
 */
function askToRemove(app, state, { name }) {
  const close = () => state.show({ removing: null });
  return html`
    <${Modal} title=${app.say("security.remove_ask", { name })} close=${close}>
      <div class="dialog-text" id="dialog-text">${app.say("security.remove_text")}</div>
      <div class="buttons">
        <button type="button" onClick=${close}>${app.say("cancel")}</button>
        <button type="button" class="danger solid" onClick=${() => state.remove()}>${app.say("security.remove")}</button>
      </div>
    </${Modal}>
  `;
}

/**
 * @param {App} app
 * @param {Security} state
 */
function nameForm(app, state) {
  const send = submit(app, ({ name }) => state.begin(name));
  return html`<form onSubmit=${send} novalidate key="name">
    ${formFault(app)}
    ${field({ app, name: "name", label: app.say("security.name"), type: "text", autocomplete: "off", hint: app.say("security.name_hint") })}
    ${submitButton(app, app.say("code.next"), app.say("security.busy"))} ${cancel(app, state)}
  </form>`;
}

/**
 * @param {App} app
 * @param {Security} state
 * @param {import("../curfew.js").BegunFactor} begun
 */
function codeForm(app, state, { id, secret, uri, qr_code: picture }) {
  const send = submit(app, ({ totp }) => state.confirm(id, totp));
  return html`<form onSubmit=${send} novalidate key="code">
    <p class="lead">${app.say("security.scan")}</p>
    ${qrCode(app, picture)}
    <p class="lead">${app.say("security.key")}</p>
    <p class="secret">${secret.match(/.{1,4}/g)?.join(" ")}</p>
    <p class="aside"><a href=${uri}>${app.say("security.open")}</a></p>
    ${formFault(app)} ${factorField(app, "totp")}
    ${submitButton(app, app.say("security.confirm"), app.say("security.busy"))} ${cancel(app, state)}
  </form>`;
}

/**
 * @param {App} app
 * @param {Security} state
 */
function cancel(app, state) {
  return html`<button type="button" onClick=${() => state.show({ adding: null }, "h1")}>${app.say("cancel")}</button>`;
}

/**
 * Draws the QR code of the answer. Only its size and its squares are taken: the page's policy
 * (Trusted Types) lets nobody parse markup.
 * @param {App} app
 * @param {string} picture an SVG image with one path
 */
function qrCode(app, picture) {
  const size = /viewBox="0 0 (\d+) \d+"/.exec(picture)?.[1];
  const squares = / d="([MhvHVz\d.,-]+)"/.exec(picture)?.[1];
  return size && squares && html`
    <svg class="qr" viewBox=${`0 0 ${size} ${size}`} role="img" aria-label=${app.say("security.qr")}>
      <rect width=${size} height=${size} fill="#fff" />
      <path d=${squares} fill="#000" />
    </svg>
  `;
}

/**
 * @param {App} app
 * @param {Security} state
 * @param {string[]} codes
 */
function newCodes(app, state, codes) {
  return html`
    <div class="narrow" key="codes">
      <h1 tabindex="-1">${app.say("security.new_codes")}</h1>
      <p class="lead">${app.say("security.new_codes_lead")}</p>
      <ol class="codes">
        ${codes.map((code) => html`<li key=${code}>${code}</li>`)}
      </ol>
      ${state.done && html`<p class="notice" role="status">${state.done}</p>`}
      <p class="tools">
        <button type="button" onClick=${() => copy(app, state, codes)}>${app.say("security.copy")}</button>
        <button type="button" onClick=${() => window.print()}>${app.say("receipt.print")}</button>
        <button type="button" class="primary" onClick=${() => state.show({ codes: null, done: null }, "h1")}>
          ${app.say("security.saved")}
        </button>
      </p>
    </div>
  `;
}

/**
 * @param {App} app
 * @param {Security} state
 * @param {string[]} codes
 */
async function copy(app, state, codes) {
  try {
    await navigator.clipboard.writeText(codes.join("\n"));
    state.show({ done: app.say("receipt.copied") });
  } catch {
    state.show({ done: app.say("receipt.copy_failed") });
  }
}
