/** Pictures of one family: 24 by 24, drawn with one line. */
import { html } from "./html.js";

/** @type {Record<string, () => unknown>} */
const DEVICES = {
  tv: () => html`<rect x="2.5" y="4" width="19" height="12.5" rx="2" /><path d="M8.5 20h7M12 16.5V20" />`,
  phone: () => html`<rect x="6.5" y="2.5" width="11" height="19" rx="2.5" /><path d="M10.5 18.5h3" />`,
  tablet: () => html`<rect x="4" y="2.5" width="16" height="19" rx="2.5" /><path d="M10.5 18.5h3" />`,
  computer: () => html`<rect x="4" y="4.5" width="16" height="11" rx="2" /><path d="M2 19.5h20" />`,
  console: () => html`<path d="M7.5 7h9a5 5 0 0 1 4.9 6.1l-.7 3.2a2.5 2.5 0 0 1-4.3 1.1L14.5 15h-5l-1.9 2.4a2.5 2.5 0 0 1-4.3-1.1l-.7-3.2A5 5 0 0 1 7.5 7Z" /><path d="M8.5 9.5v3M7 11h3M15.5 10.2v.1M17 12.2v.1" />`,
  other: () => html`<rect x="3.5" y="3.5" width="17" height="17" rx="4" /><path d="M9.5 9.3a2.5 2.5 0 1 1 3.6 2.2c-.8.4-1.1.9-1.1 1.8M12 16.4v.1" />`,
};

/** @type {Record<string, () => unknown>} */
const SIGNS = {
  done: () => html`<circle cx="12" cy="12" r="9" /><path d="m8 12.3 2.7 2.7L16 9.5" />`,
  waiting: () => html`<circle cx="12" cy="12" r="9" /><path d="M12 7v5l3 2" />`,
  failed: () => html`<circle cx="12" cy="12" r="9" /><path d="M12 7.5v5.5M12 16.4v.1" />`,
  rename: () => html`<path d="m4 20 .9-4.2L16 4.7a1.9 1.9 0 0 1 2.7 0l.6.6a1.9 1.9 0 0 1 0 2.7L8.2 19.1 4 20ZM14 6.7 17.3 10" />`,
  close: () => html`<path d="m6 6 12 12M18 6 6 18" />`,
  shield: () => html`<path d="M12 3 4.5 6v5.5c0 4.6 3.1 7.9 7.5 9.5 4.4-1.6 7.5-4.9 7.5-9.5V6L12 3Z" /><path d="m8.8 12 2.3 2.3 4.2-4.4" />`,
};

/** @param {string} type */
export function deviceIcon(type) {
  return drawing((DEVICES[type] ?? DEVICES.other)());
}

/** @param {string} name */
export function sign(name) {
  return drawing(SIGNS[name]());
}

/** @param {unknown} paths */
function drawing(paths) {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">${paths}</svg>`;
}
