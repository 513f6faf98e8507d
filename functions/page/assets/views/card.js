/** One device. */
import { html } from "../html.js";
import { deviceIcon, sign } from "../icons.js";
import { describe, signOf } from "../outcomes.js";

/** @typedef {import("../app.js").App} App */
/** @typedef {import("../app.js").Device} Device */
/** @typedef {import("../outcomes.js").Outcome} Outcome */

const MINUTE = 60_000;
/** A device touches its session every five minutes while it is in use. */
const ACTIVE_MS = 6 * MINUTE;
const NEW_MS = 7 * 24 * 60 * MINUTE;

/**
 * @param {App} app
 * @param {Device} device
 */
export function card(app, device) {
  const outcome = app.outcomes.of(device);
  const isChoosing = app.selection !== null && !device.current && !outcome;
  return html`
    <li class="card" key=${device.id}>
      ${isChoosing && choice(app, device)}
      <span class="kind">${deviceIcon(device.type)}<span class="unseen">${app.say(`device.type.${device.type}`)}</span></span>
      <div class="about">
        <h3 id=${`device-${device.id}`} tabindex="-1"><span class="name"><bdi>${device.name}</bdi></span> ${badges(app, device)}</h3>
        ${details(app, device, outcome ? "" : lastPlace(app, device))}
        ${outcome ? followed(app, outcome) : html`<p class="used">${used(app, device)}</p>`}
      </div>
      ${!isChoosing && (outcome ? afterwards(app, outcome) : actions(app, device))}
    </li>
  `;
}

/**
 * @param {App} app
 * @param {Device} device
 */
function badges(app, device) {
  const isNew = !device.current && Date.now() - Date.parse(device.first_signed_in_at) < NEW_MS;
  return html`
    ${device.current && html`<span class="badge strong">${app.say("device.current")}</span>`}
    ${isNew && html`<span class="badge">${app.say("device.new")}</span>`}
  `;
}

/**
 * @param {App} app
 * @param {Device} device
 * @param {string} known a place that the card shows anyway
 */
export function details(app, device, known = "") {
  const what = [device.app ?? device.browser, device.os, device.model].filter((text) => text && !device.name.includes(text));
  const place = placeOf(app, device.location, device.ip);
  const date = app.language.when(device.signed_in_at, Date.now());
  return html`
    ${what.length > 0 && html`<p><bdi>${what.join(" · ")}</bdi></p>`}
    <p>${place && place !== known ? app.say("device.signed_in_place", { date, place }) : app.say("device.signed_in", { date })}</p>
  `;
}

/**
 * @param {App} app
 * @param {Device} device
 */
function used(app, device) {
  const now = Date.now();
  const place = lastPlace(app, device);
  const where = place && ` · ${place}`;
  if (device.current || now - Date.parse(device.last_active_at) < ACTIVE_MS) {
    return html`<span class="live"></span>${app.say("device.active_now")}${where}`;
  }
  return `${app.say("device.last_used", { ago: app.language.ago(device.last_active_at, now) })}${where}`;
}

/**
 * Returns where a device was last used.
 * @param {App} app
 * @param {Device} device
 */
function lastPlace(app, device) {
  return placeOf(app, device.last_active_location, device.last_active_ip);
}

/**
 * @param {App} app
 * @param {Device["location"]} location
 * @param {string | null} ip
 */
function placeOf(app, location, ip) {
  return [app.language.place(location), ip].filter(Boolean).join(" · ");
}

/**
 * @param {App} app
 * @param {Outcome} outcome
 */
function followed(app, outcome) {
  const icon = signOf(outcome);
  return html`<p class=${`outcome ${icon}`}>${sign(icon)} <span>${describe(app, outcome)}</span></p>`;
}

/**
 * @param {App} app
 * @param {Device} device
 */
function actions(app, device) {
  const ask = (/** @type {"rename" | "current" | "device"} */ kind) => () => app.ask(kind, [device]);
  const { name } = device;
  return html`
    <div class="actions">
      <button type="button" class="icon-only" title=${app.say("device.rename")} onClick=${ask("rename")}>
        ${sign("rename")}<span class="unseen">${app.say("device.rename_name", { name })}</span>
      </button>
      <button type="button" onClick=${ask(device.current ? "current" : "device")}>
        ${app.say("device.sign_out")}<span class="unseen"> · ${name}</span>
      </button>
    </div>
  `;
}

/**
 * @param {App} app
 * @param {Outcome} outcome
 */
function afterwards(app, outcome) {
  const { device, key, signOut, state } = outcome;
  const isOver = !["pending", "checking"].includes(state);
  const name = device?.name ?? "";
  const retry = device && ["failed", "still"].includes(state) && (() => app.outcomes.signOut([device]));
  return html`
    <div class="actions">
      ${signOut && html`<a href=${`#/sign-outs/${signOut}`}>${app.say("outcome.receipt")}</a>`}
      ${retry && html`<button type="button" onClick=${retry}>${app.say("retry")}</button>`}
      ${isOver &&
      html`<button type="button" class="icon-only" onClick=${() => app.outcomes.dismiss(key)}>
        ${sign("close")}<span class="unseen">${app.say("outcome.dismiss", { name })}</span>
      </button>`}
    </div>
  `;
}

/**
 * @param {App} app
 * @param {Device} device
 */
function choice(app, device) {
  const toggle = () => {
    const selection = new Set(app.selection);
    if (!selection.delete(device.id)) {
      selection.add(device.id);
    }
    app.update({ selection });
  };
  return html`
    <input
      type="checkbox"
      checked=${app.selection?.has(device.id)}
      aria-label=${app.say("devices.select_one", { name: device.name })}
      onChange=${toggle}
    />
  `;
}
