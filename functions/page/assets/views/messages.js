/** The messages that were mailed to the owner: a mail whose reference is not here is forged. */
import { Component, html } from "../html.js";
import { deviceIcon, sign } from "../icons.js";
import { skeletons, tabs, trouble } from "./devices.js";

/** @typedef {import("../app.js").App} App */
/** @typedef {import("../curfew.js").Message} Message */

/** @typedef {{ app: App }} Props */
/** @typedef {{ messages: Message[] | null, cursor: string | null, problem: string | null }} State */

/** @extends {Component<Props, State>} */
class Messages extends Component {
  /** @type {State} */
  state = { messages: null, cursor: null, problem: null };

  componentDidMount() {
    void this.load();
  }

  /** Reads the first page, or the next one. */
  async load() {
    const { app } = this.props;
    const { messages, cursor } = this.state;
    try {
      const page = await app.curfew.messages(cursor === null ? {} : { cursor });
      this.setState({ messages: [...(messages ?? []), ...page.messages], cursor: page.next_cursor, problem: null });
    } catch (error) {
      this.setState({ problem: app.problem(error) });
    }
  }

  render() {
    const { app } = this.props;
    const { messages, cursor, problem } = this.state;
    const more = () => this.load();
    return html`
      <div class="title">
        <h1 tabindex="-1">${app.say("title")}<span class="unseen"> · ${app.say("messages.title")}</span></h1>
      </div>
      ${tabs(app)}
      <p>${app.say("messages.lead")}</p>
      ${messages === null && problem === null && skeletons(app)}
      ${messages?.length === 0 && cursor === null && html`<p class="empty">${app.say("messages.none")}</p>`}
      ${messages && html`<ul class="cards">${messages.map((message) => card(app, message))}</ul>`}
      ${problem && trouble(app, problem, more)}
      ${cursor && !problem && html`<button type="button" onClick=${more}>${app.say("messages.more")}</button>`}
    `;
  }
}

/**
 * @param {App} app
 * @param {Message} message
 */
function card(app, { reference, kind, at, device, sign_out, failures, answer, returned_at }) {
  const type = device?.type ?? "other";
  const what = [app.say(`device.type.${type}`), device?.browser, device?.os, device?.place].filter(Boolean).join(" · ");
  return html`
    <li class="card" key=${reference}>
      <span class="kind">${deviceIcon(type)}</span>
      <div class="about">
        <h2>${app.say(`messages.${kind}`)}</h2>
        <p class="used">${app.say("messages.reference", { reference })}</p>
        <p>${app.language.date(at)}</p>
        ${device && html`<p><bdi>${what}</bdi></p>`} ${failures && html`<p>${wrongPasswords(app, failures)}</p>`}
        ${returned_at && html`<p class="outcome failed">${sign("failed")} <span>${app.say("messages.returned")}</span></p>`}
        ${answer && html`<p>${app.say(`messages.answer.${answer}`)}</p>`}
      </div>
      ${sign_out && html`<div class="actions"><a href=${`#/sign-outs/${sign_out}`}>${app.say("past.receipt")}</a></div>`}
    </li>
  `;
}

/**
 * @param {App} app
 * @param {NonNullable<Message["failures"]>} failures
 */
function wrongPasswords(app, { count, since, places }) {
  const said = app.say("messages.failures", { n: count, date: app.language.date(since) });
  return [said, ...places].join(" · ");
}

/** @param {App} app */
export function messages(app) {
  return html`<${Messages} app=${app} />`;
}
