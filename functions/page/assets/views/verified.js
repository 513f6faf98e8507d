/** The way back from the team's own login: verifies the session with what it gave. */
import { Component, html } from "../html.js";
import { trouble } from "./devices.js";

/** @typedef {import("../app.js").App} App */

/** @extends {Component<{ app: App, challenge: string | null }, { state: "busy" | "done" | "nothing", problem: string | null }>} */
class VerifiedView extends Component {
  /** @type {{ state: "busy" | "done" | "nothing", problem: string | null }} */
  state = { state: this.props.challenge === null ? "nothing" : "busy", problem: null };

  componentDidMount() {
    void this.verify();
  }

  async verify() {
    const { app, challenge } = this.props;
    if (challenge === null) {
      return;
    }
    this.setState({ problem: null });
    try {
      await app.verifyExternally(challenge);
      this.setState({ state: "done" });
      app.focus("h1");
    } catch (error) {
      const { problem } = /** @type {import("../curfew.js").CurfewError} */ (error);
      this.setState({ problem: problem === "code-invalid" ? app.say("verified.failed") : app.problem(error) });
    }
  }

  render() {
    const { app } = this.props;
    const { state, problem } = this.state;
    if (problem !== null) {
      return trouble(app, problem, () => void this.verify());
    }
    if (state === "busy") {
      return html`<p class="starting" role="status">${app.say("loading")}</p>`;
    }
    return html`
      <div class="narrow">
        <h1 tabindex="-1">${app.say(state === "done" ? "verified.title" : "verified.nothing")}</h1>
        ${state === "done"
          ? html`<p class="lead">${app.say("verified.lead")}</p>`
          : html`<p><a href="#/">${app.say("back")}</a></p>`}
      </div>
    `;
  }
}

/** @param {App} app */
export function verified(app) {
  return html`<${VerifiedView} app=${app} challenge=${app.externalProof} />`;
}
