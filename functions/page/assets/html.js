/** Preact with templates in plain JavaScript: no build step. */
import htm from "./vendor/htm.mjs";
import { Component, h, render } from "./vendor/preact.mjs";

export const html = htm.bind(h);
export { Component, render };
