/** The devices that are no longer signed in. */
import { html } from "../html.js";
import { deviceIcon } from "../icons.js";
import { details } from "./card.js";
import { skeletons, tabs, trouble } from "./devices.js";

/** @typedef {import("../app.js").App} App */
/** @typedef {import("../app.js").Device} Device */

/** @param {App} app */
export function past(app) {
  const { devices, cursor, problem } = app.past;
  return html`
    <div class="title">
      <h1 tabindex="-1">${app.say("title")}<span class="unseen"> · ${app.say("devices.past")}</span></h1>
    </div>
    ${tabs(app)} ${problem && trouble(app, problem, () => app.loadPast())} ${!devices && !problem && skeletons(app)}
    ${devices?.length === 0 && !cursor && html`<p class="empty">${app.say("devices.past_none")}</p>`}
    ${devices &&
    html`<ul class="cards">
      ${devices.map((device) => ended(app, device))}
    </ul>`}
    ${cursor && html`<button type="button" onClick=${() => app.loadPast(cursor)}>${app.say("devices.more")}</button>`}
  `;
}

/**
 * @param {App} app
 * @param {Device} device
 */
function ended(app, device) {
  return html`
    <li class="card" key=${`${device.id} ${device.signed_in_at}`}>
      <span class="kind past">${deviceIcon(device.type)}<span class="unseen">${app.say(`device.type.${device.type}`)}</span></span>
      <div class="about">
        <h2><bdi>${device.name}</bdi></h2>
        ${details(app, device)}
        <p class="used">${why(app, device)}</p>
      </div>
      ${device.sign_out &&
      html`<div class="actions"><a href=${`#/sign-outs/${device.sign_out}`}>${app.say("past.receipt")}</a></div>`}
    </li>
  `;
}

/**
 * @param {App} app
 * @param {Device} device
 */
function why(app, device) {
  const at = device.signed_out_at;
  if (at === undefined) {
    return app.say("past.unrecorded");
  }
  const values = { date: app.language.date(at), name: device.signed_out_by?.name ?? "" };
  if (device.reason !== undefined && device.reason !== "signed_out") {
    return app.say(`past.${device.reason}`, values);
  }
  if (!device.signed_out_by) {
    return app.say("past.signed_out", values);
  }
  return app.say(device.signed_out_by.id === device.id ? "past.by_itself" : "past.signed_out_by", values);
}
