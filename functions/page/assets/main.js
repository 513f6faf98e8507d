/** Starts the page. */
import { App } from "./app.js";
import { apply } from "./brand.js";
import { load } from "./config.js";
import { html, render } from "./html.js";
import { adaptToTelevision } from "./television.js";
import { page } from "./views/shell.js";

const root = /** @type {HTMLElement} */ (document.getElementById("page"));

async function start() {
  const config = await load();
  apply(config);
  let isScheduled = false;
  const app = new App(config, (done) => {
    if (!isScheduled) {
      isScheduled = true;
      requestAnimationFrame(() => {
        isScheduled = false;
        render(page(app), root);
        const heading = root.querySelector("h1")?.textContent;
        document.title = heading ? `${heading} · ${config.name}` : config.name;
        done();
      });
    }
  });
  root.textContent = "";
  adaptToTelevision();
  await app.start();
}

start().catch((error) => {
  console.error(error);
  render(html`<p class="fatal">This page could not start. Reload it in a moment.</p>`, root);
});
