/** The way back from the team's own login: verifies the session with what it gave. The secret leaves the address bar at once. */
import { Component, html } from "../html.js";
import { trouble } from "./devices.js";

/** @typedef {import("../app.js").App} App */

/** @extends {Component<{ app: App, challenge: string }, { isDone: boolean, problem: string | null }>} */
class VerifiedView extends Component {
  state = { isDone: false, problem: null };

  componentDidMount() {
    history.replaceState(null, "", "#/verified");
    void this.verify();
  }

  async verify() {
    const { app, challenge } = this.props;
    try {
      await app.verifyExternally(challenge);
      this.setState({ isDone: true });
      app.focus("h1");
    } catch (error) {
      this.setState({ problem: app.problem(error) });
    }
  }

  render() {
    const { app } = this.props;
    const { isDone, problem } = this.state;
    if (problem !== null) {
      return trouble(app, problem, () => app.open("#/", ""));
    }
    if (!isDone) {
      return html`<p class="starting" role="status">${app.say("loading")}</p>`;
    }
    return html`
      <div class="narrow">
        <h1 tabindex="-1">${app.say("verified.title")}</h1>
        <p class="lead">${app.say("verified.lead")}</p>
      </div>
    `;
  }
}

/** @param {App} app */
export function verified(app) {
  return html`<${VerifiedView} app=${app} challenge=${app.route.id ?? ""} />`;
}
