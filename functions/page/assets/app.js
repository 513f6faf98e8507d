/** The state of the page, and what changes it. `views/` shows the state. */
import { Curfew, CurfewError } from "./curfew.js";
import { LANGUAGES, choose } from "./languages/index.js";
import { Outcomes } from "./outcomes.js";
import { Language } from "./text.js";

/** @typedef {import("./curfew.js").Device} Device */
/** @typedef {import("./curfew.js").Receipt} Receipt */
/** @typedef {import("./config.js").Config} Config */

/**
 * @typedef {object} Listing devices of one tab, as far as they are loaded
 * @property {Device[] | null} devices
 * @property {string | null} cursor the next page
 * @property {string | null} problem
 */

/**
 * @typedef {object} Dialog
 * @property {"device" | "current" | "several" | "everywhere" | "rename"} kind
 * @property {Device[]} devices
 */

/**
 * @typedef {object} Proving the question who the person is, before an act is repeated
 * @property {import("./curfew.js").Methods} methods sets of proofs, of which each is enough
 * @property {"password" | "code" | "both" | "external" | Way} way
 * @property {string | null} verifyAt the page of the team's own login
 * @property {string | null} challenge of the code that was mailed
 * @property {import("./views/form.js").Form} form
 * @property {(isProven: true | null) => void} answer
 */

/** @typedef {import("./curfew.js").Factor & { remember?: boolean }} StepProof the answer to a second step */
/** @typedef {"totp" | "recovery_code"} Way a code of the authenticator app, or a recovery code */

/**
 * @typedef {object} Step the question for a factor, while a sign-in waits for it
 * @property {Way} way
 * @property {import("./views/form.js").Form} form
 * @property {(proof: import("./curfew.js").Factor & { remember?: boolean } | null) => void} answer
 * @property {(error: unknown) => void} refuse gets the fault of the last answer
 * @property {{ challenge: string | null, dueAt: string | null } | null} lost how far a person is who has lost the app
 * @property {() => Promise<string>} reportLost mails a code for that, and returns its challenge
 */

/** The key of the chosen language in `localStorage`. */
const LANGUAGE_KEY = "page.language";
/** The key in `localStorage` that changes when another tab has verified the session. */
const VERIFIED_KEY = "page.verified";
/** The time after which a list that is looked at is read again. */
const REFRESH_MS = 60_000;

/** The texts of faults that the page finds itself. @type {Record<string, string>} */
const OWN_FAULTS = {
  isTaken: "sign_up.taken",
  isUnknown: "password.unknown",
  isSame: "new_address.same",
};

/** The time between two looks at a receipt that is shown. */
const RECEIPT_MS = 3_000;

/** @returns {Listing} */
const nothing = () => ({ devices: null, cursor: null, problem: null });

export class App {
  /** @type {import("./curfew.js").Session | null} */
  session = null;
  /** @type {import("./curfew.js").Ended | null} */
  ended = null;
  isStarting = true;
  /** @type {{ name: string, id?: string }} */
  route = { name: "devices" };
  /** The chosen devices, while several are being selected. @type {Set<string> | null} */
  selection = null;
  find = "";
  /** @type {Dialog | null} */
  dialog = null;
  /** @type {Proving | null} */
  proving = null;
  /** What the team's own login gave. @type {string | null} */
  externalProof = null;
  /** @type {Step | null} */
  step = null;
  /** The last answer to a second step. @type {StepProof | null} */
  stepShown = null;
  /** The last answer, to be sent once more without asking. @type {StepProof | null} */
  stepAgain = null;
  /** What a recovery needs besides the mail. @type {Way | null} */
  recoveryFactor = null;
  /** The state of the view "Security", while it is shown. @type {import("./security.js").Security | null} */
  security = null;
  /** The receipt that is shown. @type {{ receipt: Receipt | null, problem: string | null }} */
  shown = { receipt: null, problem: null };
  /** The text that screen readers read out. */
  announcement = "";
  /** A message above the list. @type {string | null} */
  notice = null;
  /** The form that is shown. @type {{ isBusy: boolean, faults: Record<string, string> }} */
  form = { isBusy: false, faults: {} };
  /** The choice to keep this device when signing out everywhere. */
  keepThis = true;
  /** This device, once the person has signed out here. @type {string | null} */
  leftDevice = null;
  /** True after a sign-in whose cookie the browser did not keep. */
  isWithoutCookie = false;
  /** Counts the reads of each list: only the latest answer counts. */
  #reads = { devices: 0, past: 0, receipt: 0 };
  /** @type {() => void} */
  #rendered;
  /** The message of the view that is opened next. @type {string | null} */
  #nextNotice = null;

  /**
   * @param {Config} config
   * @param {(done: () => void) => void} render shows the state soon, and then calls `done`
   */
  constructor(config, render) {
    // Until Safari 16, fields with parentheses can't find the module's variables.
    this.signedIn = nothing();
    this.past = nothing();
    /** The sign-out of this device that is under way or has failed. */
    this.leaving = { isBusy: false, /** @type {string | null} */ problem: null, retry: () => {} };
    this.outcomes = new Outcomes(this);
    this.#rendered = () => {};
    this.config = config;
    this.language = new Language("en");
    this.render = render;
    this.api = new URL(config.api, document.baseURI).href;
    this.curfew = new Curfew({
      api: this.api,
      transport: config.transport,
      onSignedIn: (session) => this.#signedIn(session),
      onSignInScreen: (ended) => this.#signedOut(ended),
      onSuperseded: () => this.open("#/sign-in", this.say("problem.token-superseded")),
      verificationRequired: ({ methods, verifyAt }) => this.prove(methods, verifyAt),
      secondStepRequired: ({ error, reportLost }) => this.#askForStep(error, reportLost),
      onError: (error) => console.warn(error),
    });
  }

  async start() {
    await this.useLanguage(localStorage.getItem(LANGUAGE_KEY) ?? choose(navigator.languages));
    window.addEventListener("hashchange", () => this.#navigated());
    document.addEventListener("visibilitychange", () => this.#refreshIfSeen());
    window.addEventListener("storage", ({ key }) => {
      if (key === VERIFIED_KEY && this.proving?.way === "external") {
        this.proving.answer(true);
      }
    });
    setInterval(() => this.#refreshIfSeen(), REFRESH_MS);
    void this.#followReceipt();
    this.#readRoute();
    await this.curfew.start();
    this.isStarting = false;
    this.update();
  }

  /** @param {Partial<App>} [change] */
  update(change = {}) {
    Object.assign(this, change);
    this.render(() => this.#rendered());
  }

  /**
   * Moves the focus once the page shows the current state.
   * @param {...string} selectors the first that is found counts
   */
  focus(...selectors) {
    this.#rendered = () => {
      this.#rendered = () => {};
      const found = selectors.map((selector) => document.querySelector(selector)).find((it) => it !== null);
      /** @type {HTMLElement | undefined} */ (found)?.focus();
    };
    this.update();
  }

  /**
   * Asks the person a question.
   * @param {Dialog["kind"]} kind
   * @param {Device[]} devices
   */
  ask(kind, devices) {
    this.update({ dialog: { kind, devices }, keepThis: true, form: { isBusy: false, faults: {} } });
  }

  /**
   * Asks the person who they are. Returns null if they don't say.
   * @param {import("./curfew.js").Methods} methods
   * @param {string | null} [verifyAt] the page of the team’s own login
   * @returns {Promise<true | null>}
   */
  prove(methods, verifyAt = null) {
    const ways = methods.filter((it) => it.length === 1).map(([proof]) => proof);
    const way = ["external", "totp", "password", "code"].find((it) => ways.some((proof) => proof === it));
    return new Promise((resolve) => {
      const answer = (/** @type {true | null} */ isProven) => {
        this.proving = null;
        this.update();
        resolve(isProven);
      };
      const proving = { methods, verifyAt, way: way ?? "both", challenge: null, form: { isBusy: false, faults: {} }, answer };
      this.update({ proving: /** @type {Proving} */ (proving) });
    });
  }

  /**
   * Verifies with what the team's own login gave, and lets the tab go on that waits for it.
   * @param {string} challenge
   */
  async verifyExternally(challenge) {
    await this.curfew.verify({ external: challenge });
    localStorage.setItem(VERIFIED_KEY, String(Date.now()));
  }

  /**
   * Asks for a factor, or shows that the last one was refused.
   * @param {CurfewError | null} error
   * @param {() => Promise<string>} reportLost
   * @returns {Promise<StepProof | null>}
   */
  #askForStep(error, reportLost) {
    const { stepAgain } = this;
    this.stepAgain = null;
    if (stepAgain !== null && error === null) {
      return Promise.resolve(stepAgain);
    }
    return new Promise((done) => {
      const answer = (/** @type {StepProof | null} */ proof) => {
        this.stepShown = proof;
        done(proof);
      };
      if (error === null || this.step === null) {
        const form = { isBusy: false, faults: {} };
        this.step = { way: "totp", form, answer, refuse: () => {}, lost: null, reportLost };
        this.focus("main form input");
      } else {
        this.step.answer = answer;
        this.step.refuse(error);
      }
    });
  }

  /**
   * @param {string} key
   * @param {Record<string, string | number>} [values]
   */
  say(key, values) {
    return this.language.say(key, values);
  }

  /** @param {string} tag */
  async useLanguage(tag) {
    let known = Object.keys(LANGUAGES).includes(tag) ? tag : "en";
    /** @type {import("./text.js").Texts} */
    let texts = {};
    try {
      texts = await LANGUAGES[known].load();
    } catch (error) {
      console.warn(error);
      known = "en";
    }
    this.language = new Language(known, texts, this.config.texts[known] ?? {});
    document.documentElement.lang = known;
    document.documentElement.dir = this.language.direction;
    this.update();
  }

  /** @param {string} tag */
  async chooseLanguage(tag) {
    localStorage.setItem(LANGUAGE_KEY, tag);
    await this.useLanguage(tag);
  }

  // --- Views ----------------------------------------------------------------

  #readRoute() {
    const [name, id] = location.hash.replace(/^#\/?/, "").split("/");
    this.route = { name: name || "devices", id };
    // The secret leaves the address bar at once.
    this.externalProof = name === "verified" && id ? id : null;
    if (this.externalProof !== null) {
      this.route.id = undefined;
      history.replaceState(null, "", "#/verified");
    }
    this.form = { isBusy: false, faults: {} };
    this.selection = null;
    this.dialog = null;
    this.proving?.answer(null);
    this.step?.answer(null);
    this.recoveryFactor = null;
    this.security = null;
    this.shown = { receipt: null, problem: null };
  }

  #navigated() {
    this.#readRoute();
    this.notice = this.#nextNotice;
    this.#nextNotice = null;
    this.#load();
    this.focus("h1");
    window.scrollTo(0, 0);
  }

  /**
   * Opens a view with a message.
   * @param {string} address
   * @param {string} notice
   */
  open(address, notice) {
    this.#nextNotice = notice;
    location.hash = address;
  }

  /**
   * Shows a message above the devices, which the page shows or is about to show.
   * @param {string} notice
   */
  greet(notice) {
    if (this.route.name === "devices") {
      this.update({ notice });
    } else {
      this.open("#/", notice);
    }
  }

  /** Loads what the current view shows. */
  #load() {
    if (this.session === null) {
      return;
    }
    if (this.route.name === "sign-outs") {
      this.loadReceipt();
    } else if (this.route.name === "past") {
      this.loadPast();
    } else if (this.route.name !== "security") {
      this.loadDevices();
    }
  }

  #refreshIfSeen() {
    const isAsking = this.dialog !== null || this.proving !== null;
    if (this.session !== null && !document.hidden && !isAsking && this.route.name === "devices") {
      this.loadDevices();
    }
  }

  /** Reads the receipt that is shown again, less and less often. */
  async #followReceipt() {
    let wait = RECEIPT_MS;
    for (;;) {
      await new Promise((resolve) => {
        setTimeout(resolve, wait);
      });
      const { receipt } = this.shown;
      const isOpen = receipt !== null && receipt.total.wiped < receipt.total.devices;
      if (this.session !== null && !document.hidden && this.route.name === "sign-outs" && isOpen) {
        await this.loadReceipt();
        wait = Math.min(wait * 1.2, REFRESH_MS);
      } else {
        wait = RECEIPT_MS;
      }
    }
  }

  // --- The session ------------------------------------------------------------

  /** @param {import("./curfew.js").Session} session */
  #signedIn(session) {
    const isNew = this.session?.session !== session.session;
    if (!isNew) {
      return;
    }
    this.#clear();
    this.isWithoutCookie = false;
    this.update({ session, ended: null });
    if (["sign-in", "sign-up", "confirm", "forgotten", "recover", "pass"].includes(this.route.name)) {
      location.hash = "#/";
    } else {
      this.#load();
      this.focus("h1");
    }
  }

  /** @param {import("./curfew.js").Ended | null} ended */
  #signedOut(ended) {
    const isFirst = this.isStarting;
    this.#clear();
    this.update({ session: null, ended });
    if (["password", "security"].includes(this.route.name)) {
      location.hash = "#/";
    } else if (!isFirst) {
      this.focus("h1");
    }
  }

  /** Forgets everything about the account. */
  #clear() {
    this.outcomes.clear();
    this.signedIn = nothing();
    this.past = nothing();
    this.shown = { receipt: null, problem: null };
    this.selection = null;
    this.dialog = null;
    this.proving?.answer(null);
    this.step = null;
    this.security = null;
    this.find = "";
    this.notice = null;
    this.#nextNotice = null;
    this.announcement = "";
    this.form = { isBusy: false, faults: {} };
    this.leaving = { isBusy: false, problem: null, retry: () => {} };
  }

  // --- Lists -----------------------------------------------------------------

  /** Reads every device that is signed in. */
  async loadDevices() {
    const session = this.session;
    const read = ++this.#reads.devices;
    try {
      /** @type {Device[]} */
      const devices = [];
      let cursor;
      do {
        const page = await this.curfew.devices({ cursor });
        devices.push(...page.devices);
        cursor = page.next_cursor ?? undefined;
      } while (cursor);
      if (session === this.session && read === this.#reads.devices) {
        this.update({ signedIn: { devices, cursor: null, problem: null } });
      }
      return devices;
    } catch (error) {
      if (session === this.session && this.session !== null) {
        const problem = this.problem(error);
        this.update({ signedIn: { ...this.signedIn, problem } });
      }
      return null;
    }
  }

  /**
   * Reads the first page of past devices, or the next one.
   * @param {string | undefined} cursor
   */
  async loadPast(cursor = undefined) {
    const session = this.session;
    const read = ++this.#reads.past;
    try {
      const page = await this.curfew.devices({ status: "signed_out", cursor, limit: 50 });
      const before = cursor ? (this.past.devices ?? []) : [];
      if (session === this.session && read === this.#reads.past) {
        const devices = [...before, ...page.devices];
        this.update({ past: { devices, cursor: page.next_cursor, problem: null } });
      }
    } catch (error) {
      if (session === this.session && this.session !== null) {
        this.update({ past: { ...this.past, problem: this.problem(error) } });
      }
    }
  }

  /** Reads the receipt of the current address, whole. */
  async loadReceipt() {
    const id = this.route.id ?? "";
    const session = this.session;
    const read = ++this.#reads.receipt;
    const isCurrent = () => this.route.id === id && session === this.session && read === this.#reads.receipt;
    try {
      const receipt = await this.wholeReceipt(id);
      if (isCurrent()) {
        this.update({ shown: { receipt, problem: null } });
      }
    } catch (error) {
      if (isCurrent() && this.session !== null) {
        const isMissing = error instanceof CurfewError && [400, 404].includes(error.status);
        const problem = isMissing ? this.say("receipt.missing") : this.problem(error);
        this.update({ shown: { receipt: this.shown.receipt, problem } });
      }
    }
  }

  /**
   * @param {string} id
   * @returns {Promise<Receipt>}
   */
  async wholeReceipt(id) {
    const limit = 1000;
    const receipt = await this.curfew.receipt(id, { limit });
    while (receipt.next_cursor !== null) {
      const more = await this.curfew.receipt(id, { limit, cursor: receipt.next_cursor });
      receipt.devices.push(...more.devices);
      receipt.next_cursor = more.next_cursor;
    }
    return receipt;
  }

  // --- Acts on this device and its account --------------------------------------

  /** Signs this device out. */
  async signOutHere() {
    await this.#leave(() => this.curfew.signOut());
  }

  /** Signs out every device, this one included. */
  async signOutEverywhere() {
    await this.#leave(() => this.curfew.signOutAll("global"));
  }

  /** @param {() => Promise<import("./curfew.js").SignOut>} act */
  async #leave(act) {
    const retry = () => void this.#leave(act);
    const { session } = this;
    // Known before the answer, which may be lost.
    this.update({ leaving: { isBusy: true, problem: null, retry }, leftDevice: session?.device.id ?? null });
    try {
      await act();
    } catch (error) {
      // After a lost answer the session's state decides: if it has ended, the module
      // shows the sign-in view.
      const isOver = this.session !== session || (await this.curfew.check()) === false;
      if (!isOver) {
        this.update({ leaving: { isBusy: false, problem: this.problem(error), retry } });
      }
    }
  }

  /**
   * Gives a device a name.
   * @param {Device} device
   * @param {string} name
   */
  async rename(device, name) {
    const { dialog, session } = this;
    const renamed = await this.curfew.renameDevice(device.id, name);
    if (session !== this.session) {
      return;
    }
    this.#reads.devices += 1;
    const known = this.signedIn.devices;
    const devices = known && known.map((it) => (it.id === renamed.id ? { ...it, ...renamed } : it));
    this.update({ signedIn: { ...this.signedIn, devices } });
    if (this.dialog === dialog) {
      this.update({ dialog: null });
    }
  }

  // --- Faults ------------------------------------------------------------------

  /**
   * Returns a sentence for the person about a call that failed.
   * @param {any} error
   */
  problem(error) {
    if (!(error instanceof CurfewError)) {
      console.error(error);
      return this.say("problem.other");
    }
    if (error.status === 0) {
      return this.say("problem.no_answer");
    }
    const name = error.status === 429 ? "rate-limited" : (error.problem ?? "unavailable");
    const key = `problem.${name}`;
    const held = /** @type {any} */ (error.document)?.held_until;
    const values = held ? { date: this.language.date(held) } : undefined;
    return this.say(this.language.has(key) ? key : error.passes ? "problem.unavailable" : "problem.other", values);
  }

  /**
   * Returns the fault of each field of a form.
   * @param {any} error
   * @returns {Record<string, string>}
   */
  faults(error) {
    const reasons = error.document?.reasons;
    if (reasons) {
      const min = this.config.password_min_length;
      const sentences = reasons.map((/** @type {{ code: string, detail: string }} */ { code, detail }) =>
        this.language.has(`reason.${code}`) ? this.say(`reason.${code}`, { min }) : detail,
      );
      return { new_password: sentences.join(" ") };
    }
    const own = ["isTaken", "isUnknown", "isSame"].find((name) => error[name]);
    if (own) {
      return { form: this.say(OWN_FAULTS[own]) };
    }
    if (error.document?.field === "name") {
      return { name: this.say("problem.name") };
    }
    const factor = ["totp", "recovery_code"].find((it) => document.querySelector(`#${it}`));
    if (factor) {
      return this.#factorFaults(factor, error);
    }
    if (["code", "pass.code"].includes(error.document?.field) || error.problem === "code-invalid") {
      const fault = this.say(error.problem === "code-invalid" ? "problem.code-invalid" : "problem.code");
      // A link has no field.
      return document.querySelector("#code") ? { code: fault } : { form: fault };
    }
    if (error.document?.field === "reference") {
      return { reference: this.say("problem.reference") };
    }
    if (error.document?.field === "email") {
      return { email: this.say("problem.email") };
    }
    if (error.problem === "credentials-invalid" && error.status === 403) {
      return { [this.proving ? "password" : "current_password"]: this.say("problem.current_password") };
    }
    return { form: this.problem(error) };
  }

  /**
   * Returns the fault of a form that has a factor's field.
   * @param {string} name
   * @param {any} error
   * @returns {Record<string, string>}
   */
  #factorFaults(name, error) {
    if (error.document?.field === name) {
      return { [name]: this.say(`problem.${name}`) };
    }
    if (error.problem === "code-invalid") {
      return { [name]: this.say(`problem.${name}_invalid`) };
    }
    return { form: error.status === 429 ? this.say(`problem.${name}_attempts`) : this.problem(error) };
  }

  /** @param {string} text */
  announce(text) {
    this.update({ announcement: text });
  }
}
