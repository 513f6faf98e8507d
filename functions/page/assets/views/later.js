/** Views that are loaded when they are opened first. */
import { html } from "../html.js";
import { trouble } from "./devices.js";

/** @typedef {import("../app.js").App} App */
/** @typedef {(app: App) => unknown} View */

/**
 * Returns a view that loads the real one.
 * @param {() => Promise<View>} load
 * @returns {View}
 */
export function later(load) {
  /** @type {View | null} */
  let view = null;
  let isLoading = false;
  let hasFailed = false;
  const begin = async (/** @type {App} */ app) => {
    const { route } = app;
    isLoading = true;
    try {
      view = await load();
      if (app.route === route) {
        app.focus("h1");
      } else {
        app.update();
      }
    } catch (error) {
      console.warn(error);
      hasFailed = true;
      app.update();
    }
    isLoading = false;
  };
  return (app) => {
    if (view !== null) {
      return view(app);
    }
    if (hasFailed) {
      // Some browsers keep a failed module until the page is loaded again.
      return trouble(app, app.say("problem.no_answer"), () => location.reload());
    }
    if (!isLoading) {
      void begin(app);
    }
    return html`<p class="starting" role="status">${app.say("loading")}</p>`;
  };
}
