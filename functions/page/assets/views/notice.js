/**
 * The link in a mail about a sign-in, a new authenticator app or a changed address: shows the
 * device, and signs it out, recognizes it, removes the app, or undoes the change, after a press.
 * Loading it changes nothing. The secret leaves the address bar at once.
 */
import { Component, html } from "../html.js";
import { deviceIcon, sign } from "../icons.js";
import { skeletons, trouble } from "./devices.js";
import { undoForm, undone } from "./undo.js";

/** @typedef {import("../app.js").App} App */

/**
 * @typedef {object} Notice what the API returns
 * @property {"signed_in" | "signed_out" | null} status null for a changed address
 * @property {"undoes" | "holds" | null} undo what undoing a change does; null for a sign-in
 * @property {{ kind: string, reference: string | null, at: string, device: null | { type: string, os: string | null, browser: string | null, place: string | null } }} message
 */

/** @typedef {{ app: App, secret: string }} Props */
/** @typedef {{ notice: Notice | null, problem: string | null, isBusy: boolean, done: "end" | "mine" | "missing" | "undoes" | "holds" | null }} State */

/** @extends {Component<Props, State>} */
class NoticeView extends Component {
  /** @type {State} */
  state = { notice: null, problem: null, isBusy: false, done: null };

  componentDidMount() {
    history.replaceState(null, "", "#/notice");
    void this.load();
  }

  async load() {
    await this.ask("read", {}, (notice) => this.setState({ notice }));
    // The title is that of the notice.
    this.props.app.update();
  }

  /** @param {"end" | "mine"} action */
  async answer(action) {
    await this.ask("actions", { action }, () => this.setState({ done: action }));
    this.props.app.focus("h1");
  }

  /**
   * Undoes a change of the address.
   * @param {"undoes" | "holds"} effect
   * @param {string} reference
   */
  async undo(effect, reference) {
    const { app } = this.props;
    const status = await this.ask("actions", { action: "undo", reference }, () => this.setState({ done: effect }));
    if (status === 400) {
      throw { document: { field: "reference" } };
    }
    // A session of this browser has ended with it.
    await app.curfew.check();
    app.focus("h1");
  }

  /**
   * Returns the status of the answer, or 0.
   * @param {"read" | "actions"} path
   * @param {object} body
   * @param {(answer: any) => void} done
   */
  async ask(path, body, done) {
    const { app, secret } = this.props;
    if (this.state.isBusy) {
      return 0;
    }
    this.setState({ isBusy: true, problem: null });
    let status = 0;
    /** @type {string | null} */
    let key = "problem.no_answer";
    try {
      const answer = await fetch(new URL(`v1/notices/${path}`, app.api), {
        method: "POST",
        credentials: "omit",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ secret, ...body }),
      });
      status = answer.status;
      if (answer.ok) {
        done(await answer.json());
        key = null;
      } else if (answer.status === 404) {
        this.setState({ done: "missing" });
        app.focus("h1");
        key = null;
      } else {
        key = status === 400 ? null : "problem.unavailable";
      }
    } catch (error) {
      console.warn(error);
    }
    this.setState({ isBusy: false, problem: key && app.say(key) });
    return status;
  }

  render() {
    const { app } = this.props;
    const { notice, problem, done } = this.state;
    const said = done === "end" && isOfApp(notice) ? "end_app" : done;
    const asked = isOfApp(notice) ? "notice.title_app" : notice?.undo ? "undo.title" : "notice.title";
    return html`
      <div class="narrow">
        <h1 tabindex="-1">${app.say(said ? `notice.done.${said}` : asked)}</h1>
        ${problem && trouble(app, problem, () => this.load())}
        ${said ? answered(app, said) : notice ? this.question(app, notice) : !problem && skeletons(app)}
      </div>
    `;
  }

  /**
   * @param {"end" | "mine"} action
   * @param {string} look
   */
  button(action, look) {
    const { app } = this.props;
    const key = isOfApp(this.state.notice) ? "notice.end_app" : `notice.${action}`;
    const text = this.state.isBusy ? "loading" : key;
    const press = () => this.answer(action);
    return html`<button type="button" class=${look} aria-disabled=${this.state.isBusy ? "true" : null} onClick=${press}>
      ${app.say(text)}
    </button>`;
  }

  /**
   * @param {App} app
   * @param {Notice} notice
   */
  question(app, { status, undo, message }) {
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
            <p>${undo ? [date, device?.place].filter(Boolean).join(" · ") : signedIn(app, date, device?.place)}</p>
          </div>
        </li>
      </ul>
      ${undo ? undoForm(app, undo, (typed) => this.undo(undo, typed)) : this.answers(app, isIn, reference)}
    `;
  }

  /**
   * @param {App} app
   * @param {boolean} isIn
   * @param {string | null} reference
   */
  answers(app, isIn, reference) {
    const isNewApp = isOfApp(this.state.notice);
    return html`
      <p>${app.say(isNewApp ? "notice.question_app" : isIn ? "notice.question" : "notice.ended")}</p>
      ${(isIn || isNewApp) && this.button("end", "danger")} ${isIn && !isNewApp && this.button("mine", "")}
      <p class="aside">${app.say("notice.reference", { reference: reference ?? "" })}</p>
    `;
  }
}

/**
 * Returns whether a notice is about a new authenticator app. Only a young one has a link.
 * @param {Notice | null} notice
 */
function isOfApp(notice) {
  return notice?.message.kind === "factor_added";
}

/**
 * @param {App} app
 * @param {string} date
 * @param {string | null | undefined} place
 */
function signedIn(app, date, place) {
  return place ? app.say("device.signed_in_place", { date, place }) : app.say("device.signed_in", { date });
}

/**
 * @param {App} app
 * @param {NonNullable<State["done"]> | "end_app"} done
 */
function answered(app, done) {
  if (done === "undoes" || done === "holds") {
    return undone(app, done);
  }
  if (done === "missing") {
    return html`
      <p class="lead">${app.say("notice.done_text.missing")}</p>
      <p><a class="button" href="#/">${app.say("notice.devices")}</a></p>
    `;
  }
  return html`
    <p class="outcome done">${sign("done")} <span>${app.say(`notice.done_text.${done}`)}</span></p>
    ${done === "end" && html`<p>${app.say("notice.next")}</p>`}
    ${(done === "end" || done === "end_app") && html`<p><a class="button" href=${app.session ? "#/password" : "#/forgotten"}>${app.say("notice.new_password")}</a></p>`}
  `;
}

/** @param {App} app */
export function notice(app) {
  return html`<${NoticeView} key=${app.route.id} app=${app} secret=${app.route.id ?? ""} />`;
}
