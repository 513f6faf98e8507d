/** The receipt of a sign-out, at an address of its own. */
import { html } from "../html.js";
import { deviceIcon, sign } from "../icons.js";
import { totals } from "../outcomes.js";
import { skeletons, trouble } from "./devices.js";

/** @typedef {import("../app.js").App} App */
/** @typedef {import("../app.js").Receipt} Receipt */

/** @param {App} app */
export function receipt(app) {
  const { receipt: shown, problem } = app.shown;
  return html`
    <p class="back"><a href="#/">${app.say("back")}</a></p>
    <div class="title"><h1 tabindex="-1">${app.say("receipt.title")}</h1></div>
    ${app.notice && html`<p class="notice" role="status">${app.notice}</p>`}
    ${problem && trouble(app, problem, () => app.loadReceipt())}
    ${shown ? content(app, shown) : !problem && skeletons(app)}
  `;
}

/**
 * @param {App} app
 * @param {Receipt} shown
 */
function content(app, shown) {
  return html`
    <p class="totals">${totals(app, shown.total)}</p>
    <p>${app.language.date(shown.requested_at)} · ${who(app, shown)} · ${app.say(`receipt.why.${shown.reason}`)}</p>
    <p>${refused(app, shown)}</p>
    <ul class="cards">
      ${shown.devices.map(
        (device) => html`
          <li class="card" key=${device.id}>
            <span class="kind">${deviceIcon(device.type)}</span>
            <div class="about">
              <h2><bdi>${device.name}</bdi></h2>
              <p class=${`outcome ${device.state === "wiped" ? "done" : ""}`}>
                ${sign(device.state === "wiped" ? "done" : "waiting")} <span>${state(app, device)}</span>
              </p>
            </div>
          </li>
        `,
      )}
    </ul>
    <p class="tools">
      <button type="button" onClick=${() => copy(app, shown)}>${app.say("receipt.copy")}</button>
      <button type="button" onClick=${() => window.print()}>${app.say("receipt.print")}</button>
    </p>
  `;
}

/**
 * @param {App} app
 * @param {Receipt} shown
 */
function who(app, shown) {
  const name = shown.requested_by?.name;
  return name === undefined ? app.say("receipt.by_operator") : app.say("receipt.by", { name });
}

/**
 * @param {App} app
 * @param {Receipt} shown
 */
function refused(app, shown) {
  if (shown.devices.length === 0) {
    return app.say("receipt.none");
  }
  return app.say("receipt.refused", { time: app.language.date(shown.devices[0].refused_at) });
}

/**
 * @param {App} app
 * @param {Receipt["devices"][number]} device
 */
function state(app, device) {
  const { wiped_at: wiped, notified_at: notified, seen_at: seen } = device;
  const at = { wiped, notified, seen, not_reached: null }[device.state];
  return app.say(`receipt.state.${device.state}`, at === null ? {} : { time: app.language.date(at) });
}

/**
 * @param {App} app
 * @param {Receipt} shown
 */
async function copy(app, shown) {
  const lines = [
    `${app.say("receipt.title")}, ${app.language.date(shown.requested_at)} (${shown.id})`,
    `${who(app, shown)} · ${app.say(`receipt.why.${shown.reason}`)}`,
    totals(app, shown.total),
    refused(app, shown),
    ...shown.devices.map((device) => `- ${device.name}: ${state(app, device)}`),
  ];
  try {
    await navigator.clipboard.writeText(lines.join("\n"));
    app.update({ notice: app.say("receipt.copied") });
  } catch {
    app.update({ notice: app.say("receipt.copy_failed") });
  }
}
