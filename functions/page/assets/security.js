/** The owner's factors, as the view "Security" shows them, and what changes them. */

/** @typedef {import("./app.js").App} App */
/** @typedef {import("./curfew.js").Factors} Factors */

export class Security {
  /** @type {Factors | null} */
  factors = null;
  /** The names of the signed-in devices that are recognized. @type {string[]} */
  known = [];
  /** @type {string | null} */
  problem = null;
  /** What was done last. @type {string | null} */
  done = null;
  /** Whether it changed the apps; then the view offers to sign out the other devices. */
  isChanged = false;
  isBusy = false;
  /** The app that is being added: its name is asked for, or it is begun. @type {"name" | import("./curfew.js").BegunFactor | null} */
  adding = null;
  /** The app that is to be removed, until the person has confirmed it. @type {Factors["factors"][number] | null} */
  removing = null;
  /** New recovery codes, which are shown this once. @type {string[] | null} */
  codes = null;
  /** @type {App} */
  #app;

  /** @param {App} app */
  constructor(app) {
    this.#app = app;
  }

  /**
   * Changes what is shown, unless the person has left the view.
   * @param {Partial<Security>} change
   * @param {...string} focus
   */
  show(change, ...focus) {
    Object.assign(this, change);
    if (this.#app.security !== this) {
      return;
    }
    if (focus.length > 0) {
      this.#app.focus(...focus);
    } else {
      this.#app.update();
    }
  }

  async load() {
    try {
      const [factors, { devices }] = await Promise.all([this.#app.curfew.factors(), this.#app.curfew.devices()]);
      const known = devices.filter((it) => it.recognized).map((it) => it.name);
      this.show({ factors, known, problem: null });
    } catch (error) {
      this.#fail(error);
    }
  }

  /** @param {string} name */
  async begin(name) {
    const adding = await this.#app.curfew.beginFactor(name);
    this.show({ adding }, "h1");
  }

  /**
   * Adds the app that was begun.
   * @param {string} id
   * @param {string} totp
   */
  async confirm(id, totp) {
    await this.#app.curfew.confirmFactor(id, totp);
    this.show({ adding: null, done: this.#app.say("security.done"), isChanged: true }, "h1");
    await this.load();
  }

  async remove() {
    const { removing } = this;
    this.removing = null;
    await this.#act(async () => {
      if (removing !== null) {
        await this.#app.curfew.removeFactor(removing.id);
        this.show({ done: this.#app.say("security.removed", { name: removing.name }), isChanged: true }, "h1");
      }
      await this.load();
    });
  }

  /** Signs every other device out, and shows them. */
  signOutOthers() {
    location.hash = "#/";
    void this.#app.outcomes.signOutOthers();
  }

  /** Stops the removal of lost apps, which a verification by one does. */
  async stopRemoval() {
    await this.#act(async () => {
      if ((await this.#app.prove([["totp"], ["recovery_code"]])) !== null) {
        await this.load();
        this.show({ done: this.#app.say("security.removal_stopped"), isChanged: false }, "h1");
      }
    });
  }

  async makeCodes() {
    await this.#act(async () => {
      const codes = await this.#app.curfew.makeRecoveryCodes();
      this.show({ codes }, "h1");
      await this.load();
    });
  }

  /** Turns codes by mail on or off. @param {boolean} enabled */
  async setMailed(enabled) {
    await this.#act(async () => {
      await this.#app.curfew.setSignInCodes(enabled);
      this.show({ done: this.#app.say(enabled ? "security.mailed_on" : "security.mailed_off"), isChanged: false }, "h1");
      await this.load();
    });
  }

  /**
   * Does one thing at a time, and shows its fault.
   * @param {() => Promise<void>} act
   */
  async #act(act) {
    if (this.isBusy) {
      return;
    }
    this.show({ isBusy: true, problem: null, done: null });
    try {
      await act();
    } catch (error) {
      this.#fail(error);
    }
    this.show({ isBusy: false });
  }

  /** @param {unknown} error */
  #fail(error) {
    this.show({ problem: this.#app.problem(error) });
  }
}
