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
    <p>${app.language.date(shown.requested_at)} · ${cause(app, shown)}</p>
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

/** By whom and why. @param {App} app @param {Receipt} shown */
function cause(app, { requested_by: by, reason, scope }) {
  const why = app.say(`receipt.why.${reason}`);
  if (["recovered", "address_restored"].includes(reason)) {
    return why;
  }
  // Without a device: a notice's link ends one, wrong passwords end their own, an operator ends all.
  /** @type {Record<string, string>} */
  const others = reason === "signed_out" ? { device: "receipt.by_mail", local: "receipt.by_guesses" } : {};
  return `${by ? app.say("receipt.by", { name: by.name }) : app.say(others[scope] ?? "receipt.by_operator")} · ${why}`;
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
    cause(app, shown),
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
