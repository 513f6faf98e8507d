/**
 * The link in a mail about a sign-in: shows the device, and signs it out after a press.
 * Loading it changes nothing. The secret leaves the address bar at once.
 */
import { Component, html } from "../html.js";
import { deviceIcon, sign } from "../icons.js";
import { skeletons, trouble } from "./devices.js";

/** @typedef {import("../app.js").App} App */

/**
 * @typedef {object} Notice what the API returns
 * @property {"signed_in" | "signed_out"} status
 * @property {{ reference: string, at: string, device: null | { type: string, os: string | null, browser: string | null, place: string | null } }} message
 */

/** @typedef {{ app: App, secret: string }} Props */
/** @typedef {{ notice: Notice | null, problem: string | null, isBusy: boolean, isDone: boolean }} State */

/** @extends {Component<Props, State>} */
class NoticeView extends Component {
  /** @type {State} */
  state = { notice: null, problem: null, isBusy: false, isDone: false };

  componentDidMount() {
    history.replaceState(null, "", "#/notice");
    void this.load();
  }

  async load() {
    await this.ask("read", {}, (notice) => this.setState({ notice }));
  }

  async end() {
    await this.ask("actions", { action: "end" }, () => this.setState({ isDone: true }));
    this.props.app.focus("h1");
  }

  /**
   * @param {"read" | "actions"} path
   * @param {object} body
   * @param {(answer: any) => void} done
   */
  async ask(path, body, done) {
    const { app, secret } = this.props;
    if (this.state.isBusy) {
      return;
    }
    this.setState({ isBusy: true, problem: null });
    let key = "problem.no_answer";
    try {
      const answer = await fetch(new URL(`v1/notices/${path}`, app.api), {
        method: "POST",
        credentials: "omit",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ secret, ...body }),
      });
      if (answer.ok) {
        done(await answer.json());
        key = "";
      } else {
        key = answer.status === 404 ? "notice.missing" : "problem.unavailable";
      }
    } catch (error) {
      console.warn(error);
    }
    this.setState({ isBusy: false, problem: key && app.say(key) });
  }

  render() {
    const { app } = this.props;
    const { notice, problem, isDone } = this.state;
    return html`
      <div class="narrow">
        <h1 tabindex="-1">${app.say(isDone ? "notice.done" : "notice.title")}</h1>
        ${problem && trouble(app, problem, () => this.load())}
        ${isDone ? ended(app) : notice ? this.question(app, notice) : !problem && skeletons(app)}
      </div>
    `;
  }

  /**
   * @param {App} app
   * @param {Notice} notice
   */
  question(app, { status, message }) {
    const { at, device, reference } = message;
    const what = [device?.browser, device?.os].filter(Boolean).join(" · ");
    const type = device?.type ?? "other";
    const date = app.language.date(at);
    const isIn = status === "signed_in";
    return html`
      <ul class="cards">
        <li class="card">
          <span class="kind">${deviceIcon(type)}</span>
          <div class="about">
            <h2>${app.say(`device.type.${type}`)}</h2>
            ${what && html`<p>${what}</p>`}
            <p>
              ${device?.place ? app.say("device.signed_in_place", { date, place: device.place }) : app.say("device.signed_in", { date })}
            </p>
          </div>
        </li>
      </ul>
      <p>${app.say(isIn ? "notice.question" : "notice.ended")}</p>
      ${isIn &&
      html`<button type="button" class="danger" aria-disabled=${this.state.isBusy ? "true" : null} onClick=${() => this.end()}>
        ${this.state.isBusy ? app.say("outcome.pending") : app.say("notice.end")}
      </button>`}
      <p class="aside">${app.say("notice.reference", { reference })}</p>
    `;
  }
}

/** @param {App} app */
function ended(app) {
  return html`
    <p class="outcome done">${sign("done")} <span>${app.say("notice.done_text")}</span></p>
    <p>${app.say("notice.next")}</p>
    <p><a href="#/password">${app.say("nav.password")}</a></p>
  `;
}

/** @param {App} app */
export function notice(app) {
  return html`<${NoticeView} key=${app.route.id} app=${app} secret=${app.route.id ?? ""} />`;
}
