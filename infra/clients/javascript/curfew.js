/**
 * The device's side of Curfew, for pages and for Node. It keeps the session and
 * the socket. When the session is signed out, it stops the app, wipes,
 * acknowledges and shows the sign-in screen. The contract is
 * infra/docs/devices.md.
 *
 * The storage holds the truth. Messages between tabs only say "look".
 *
 * It runs from Chromium 84, Safari 15 and Firefox 90 on, so it uses no syntax and no
 * function that is newer: no `??=`, `at`, `Object.hasOwn` or `AbortSignal.timeout`.
 */

const PROBLEM = "urn:curfew:problem:";
const PROTOCOL = "curfew.v1";

const TIMING = {
  /** The longest wait before a retry. */
  reconnectCapMs: 60_000,
  /** The longest wait before the first retry. It doubles with each failure. */
  reconnectBaseMs: 1_000,
  /** A socket that stayed open this long resets the count of failures. */
  steadyMs: 60_000,
  /** The shortest and the longest time between two heartbeats. */
  heartbeatMs: [240_000, 300_000],
  /** The timeout of an answer or a handshake. */
  answerMs: 20_000,
  /** A socket that is refused for longer is reported. */
  refusedMs: 5_000,
  /** The time that the app has to stop. Its data is wiped after it in any case. */
  stopMs: 3_000,
  /** The timeout of deleting a database. */
  wipeMs: 10_000,
  /** A socket that closes within this time has accepted the acknowledgement.
   * Curfew closes it after five seconds in any case, so a later close proves
   * nothing. */
  takenMs: 4_000,
  /** A clock that jumps by more shows that the device slept. A hidden page runs
   * its timers as rarely as once a minute. */
  sleptMs: 150_000,
  /** The time between two looks at the clock. */
  lookMs: 15_000,
  /** The shortest and the longest wait before a verification without an answer is repeated. */
  verifyMs: [500, 2_000],
};

/** The most requests of one verification. An answer that is lost has a token that nobody has,
 * and the next answer has another one. */
const VERIFY_ATTEMPTS = 3;

/** The most codes that a second step takes, and the time in which it takes them. */
const STEP_TRIES = 5;
const STEP_MS = 600_000;

/** The end of a session whose device is taken over by another account. */
const REPLACED = { because: "replaced", session: null };

/** The most accounts whose device keys are kept. The one used longest ago gives way. */
const MAX_KEYS = 20;

/** A call that the API refused, did not answer, or answered unreadably. */
export class CurfewError extends Error {
  constructor(message, { status = 0, document = null, retryAfterMs = 0, cause } = {}) {
    super(message);
    this.name = "CurfewError";
    /** The error behind this one. Older browsers don't take it from the options. */
    this.cause = cause;
    /** The status of the answer; 0 without one. */
    this.status = status;
    /** The problem document (RFC 9457), if the API answered with one. */
    this.document = document;
    /** The problem's name, such as `credentials-invalid`, or null. */
    this.problem = document === null ? null : nameOf(document);
    /** With `address-unconfirmed`, `code-required`, or `verification-required` at a sign-in, the
     * challenge of the pass whose code was mailed; with `second-step-required`, that of the
     * second step; or null. */
    this.challenge = document?.challenge ?? null;
    /** With `verification-required`, the sets of proofs of which each is enough, or null. */
    this.methods = document?.methods ?? null;
    /** With the method `external`, the page of the team's own login, or null. */
    this.verifyAt = document?.verify_at ?? null;
    /** The wait before a retry that the API asked for. */
    this.retryAfterMs = retryAfterMs;
  }

  /** True when a retry may succeed: without an answer, with an unreadable one, and
   * when the API is busy or fails. */
  get passes() {
    return this.status < 400 || this.status === 429 || this.status >= 500;
  }
}

/** One device of one account at a time. */
export class Curfew {
  #api;
  #protected;
  #device;
  #usesCookie;
  #storage;
  #name;
  #wipes;
  #hooks;
  #timing;
  #random;
  #fetch;
  #WebSocket;
  #locks;
  #channel = null;

  /** The current session with its token, or null. */
  #session = null;
  /** Aborts everything that runs for the current session. */
  #running = null;
  /** The open socket, or null. */
  #socket = null;
  /** Ends the wait before the next attempt to connect. */
  #wakeUp = null;
  /** The id of the session that was left last. While it is still stored, it is
   * not resumed. */
  #left = null;
  #failures = 0;
  /** The time of the first refusal of the socket since it was open last, or null. */
  #refusedSince = null;
  #isRefusalReported = false;
  #checking = null;
  /** The last sign-in that has not ended, with its credentials, or null. */
  #signingIn = null;
  /** The app's answer to the question for proofs, while it is awaited, or null. */
  #proving = null;
  /** The last work of each kind that runs one at a time. */
  #queues = {};
  #listeners = [];
  #closed = false;

  constructor(options) {
    if (!options?.api) {
      throw new TypeError("`api` is missing: the address of the API");
    }
    const inPage = typeof window !== "undefined" && typeof window.localStorage !== "undefined";
    if (!options.storage && !inPage) {
      throw new TypeError("`storage` is missing, and there is no localStorage");
    }
    this.#api = new URL(options.api).href.replace(/\/+$/, "");
    this.#protected = new Set((options.protects ?? []).map((url) => new URL(url).origin));
    this.#device = options.device;
    this.#usesCookie = options.transport === "cookie";
    this.#storage = options.storage ?? window.localStorage;
    this.#name = options.name ?? "curfew";
    this.#wipes = { keys: [], databases: [], caches: true, ...options.wipes };
    this.#hooks = options;
    this.#timing = { ...TIMING, ...options.timing };
    this.#random = options.random ?? Math.random;
    this.#fetch = options.fetch ?? globalThis.fetch.bind(globalThis);
    this.#WebSocket = options.WebSocket ?? globalThis.WebSocket;
    // Tabs share localStorage, so they need common locks and a channel. A storage
    // from the options belongs to this instance alone.
    const shared = options.storage === undefined;
    this.#locks = shared ? (globalThis.navigator?.locks ?? null) : null;
    if (shared && typeof BroadcastChannel !== "undefined") {
      this.#channel = new BroadcastChannel(this.#name);
      this.#channel.onmessage = () => this.#inBackground(this.#look());
    }
  }

  /** The current session without its token, or null. */
  get session() {
    return this.#session === null ? null : shown(this.#session);
  }

  /** True while a socket is open. */
  get connected() {
    return this.#socket !== null;
  }

  /**
   * Resumes from the storage: finishes an interrupted wipe, and resumes the session
   * or asks for the sign-in screen.
   */
  async start() {
    this.#listen();
    const { stored, ended } = await this.#exclusively(async () => {
      const ended = await this.#read("ended");
      const stored = await this.#read("session");
      const isOver = stored !== null && stored.session === ended?.session;
      if (isOver) {
        await this.#remove("session");
      }
      if (ended?.toWipe) {
        await this.#tryToWipe(ended);
      }
      return { stored: isOver ? null : stored, ended: await this.#read("ended") };
    });
    if (stored) {
      this.#resume(stored);
    } else {
      this.#show(ended);
    }
    if (ended?.toWipe) {
      this.#inBackground(this.#wipeUntilDone(ended));
    }
    return this.session;
  }

  /** Ends without signing out, as when the app is closed. */
  close() {
    this.#closed = true;
    this.#leave(this.#session);
    for (const remove of this.#listeners.splice(0)) {
      remove();
    }
    this.#channel?.close();
  }

  /**
   * Asks for an account. Returns a challenge: a mail with its code is on its way, for
   * `confirmAccount`. A deployment that sends no mail wants the password at once, and returns
   * null; then `signIn` can use the account. The answer is the same whether or not the
   * address has one already.
   */
  async signUp({ email, password }) {
    const { challenge = null } = await this.#ask("POST", "/v1/accounts", { body: { email, password } });
    return challenge;
  }

  /** Makes the account of an address, by the code in its mail. Then `signIn` can use it. */
  async confirmAccount({ challenge, code, password }) {
    await this.#ask("POST", "/v1/accounts/confirmations", { body: { challenge, code, password } });
  }

  /** Confirms the address of this account, by a challenge of `signUp` with it and the code in the
   * mail. */
  async confirmAddress({ challenge, code }) {
    const session = this.#signedIn();
    await this.#ask("POST", "/v1/address-confirmations", { session, body: { challenge, code } });
    session.account.confirm_address = false;
    await this.#change(session, { account: session.account });
  }

  /** Asks for a mail to a new address of this account, which needs a verification. Returns the
   * challenge of its code, whether or not the address has an account. */
  async requestAddressChange({ email }) {
    const session = this.#signedIn();
    return (await this.#askVerified("POST", "/v1/address-changes", { session, body: { email } })).challenge;
  }

  /** Changes the address of this account, by a challenge of `requestAddressChange` and the code
   * in the mail. This device keeps its key. */
  async changeAddress({ challenge, code }) {
    const session = this.#signedIn();
    const path = "/v1/address-changes/confirmations";
    const { email } = await this.#ask("POST", path, { session, body: { challenge, code } });
    const [before, after] = [session.account.email, email].map(accountOf);
    const keys = (await this.#deviceKeys()).filter(([name]) => name !== after);
    await this.#write("device", keys.map(([name, key]) => [name === before ? after : name, key]));
    session.account.email = email;
    session.account.confirm_address = false;
    await this.#change(session, { account: session.account });
  }

  /** Changes members of a stored session, unless it has ended or was replaced. */
  async #change(session, members) {
    await this.#exclusively(async () => {
      const stored = await this.#read("session");
      if (stored?.session === session.session) {
        await this.#write("session", { ...stored, ...members });
        this.#notifyTabs();
      }
    });
  }

  /** Asks for a mail with which an account is recovered. Returns a challenge, whether or not
   * the address has an account. */
  async requestPasswordReset({ email }) {
    return this.#requestCode("/v1/password-resets", email, { email });
  }

  /** Asks for a mail with a pass. Returns a challenge, which is one for `signIn` together with
   * the code in the mail. */
  async requestPass({ email }) {
    return this.#requestCode("/v1/passes", email, { email });
  }

  /** Asks with the account's device key: what others have used up is not counted for a
   * recognized device. */
  async #requestCode(path, email, members) {
    const account = accountOf(email);
    const [, key] = (await this.#deviceKeys()).find(([name]) => name === account) || [];
    return (await this.#ask("POST", path, { body: { ...members, device_key: key } })).challenge;
  }

  /** Has the authenticator apps removed that the owner has lost, by the challenge of
   * `reportLost` and the code in the mail. Returns the time when they go. */
  async confirmLost({ challenge, code }) {
    const path = "/v1/lost-factors/confirmations";
    return (await this.#ask("POST", path, { body: { challenge, code } })).due_at;
  }

  /** Recovers an account, by a challenge and the code in the mail, or by its link. With
   * `factor-required`, send the same with a code of an authenticator app or a recovery code.
   * With a recovery code, `removeFactors` removes the apps. Every device is signed out. */
  async resetPassword({ challenge, code, link, password, totp, recoveryCode, removeFactors }) {
    const factor = { totp, recovery_code: recoveryCode, remove_factors: removeFactors };
    const body = { challenge, code, link, password, ...factor };
    await this.#ask("POST", "/v1/password-resets/confirmations", { body });
  }

  /**
   * Signs this device in. A second call with the same credentials gets the answer of
   * the first one. All others, in every tab, run one after another: two at once would
   * become two devices. A `pass` is past the limits that others have used up. With
   * `signOut: "others"` it signs out every other device, in one step. If the account has an
   * authenticator app, the hook `secondStepRequired` is asked for its code.
   */
  async signIn({ email, password, pass, signOut }) {
    const running = this.#signingIn;
    const isSame = (one) => one.email === email && one.password === password && one.signOut === signOut;
    if (running !== null && isSame(running)) {
      return running.done;
    }
    const done = this.#signInInSteps(email, { email, password, pass, sign_out: signOut });
    const mine = { email, password, signOut, done };
    const clear = () => {
      this.#signingIn = this.#signingIn === mine ? null : this.#signingIn;
    };
    this.#signingIn = mine;
    done.then(clear, clear);
    return done;
  }

  async #signInInSteps(email, body) {
    const signIn = (path, members) => this.#exclusively(() => this.#signInAlone(email, path, members), "sign-in");
    const ask = this.#hooks.secondStepRequired;
    try {
      return await signIn("/v1/login", body);
    } catch (error) {
      if (error.problem !== "second-step-required" || !ask) {
        throw error;
      }
      // Other tabs can sign in while the person looks for the code.
      const { challenge } = error;
      const reportLost = () => this.#requestCode("/v1/lost-factors", email, { challenge });
      const askFor = (fault) => ask({ error: fault, reportLost });
      return this.#complete(askFor, error, (proof) => signIn("/v1/second-steps", { challenge, sign_out: body.sign_out, ...proof }));
    }
  }

  /** Asks the app for codes until one is right, it gives none, or the challenge is over: the
   * API answers that like a wrong code. */
  async #complete(ask, required, send) {
    const until = Date.now() + STEP_MS;
    let isAnswerLost = false;
    for (let tries = 0, error = null; ; ) {
      const asked = await ask(error);
      if (!asked) {
        throw required;
      }
      const { totp, recoveryCode, remember } = asked;
      try {
        return await send({ totp, recovery_code: recoveryCode, remember });
      } catch (refusal) {
        // The factor is too weak for `signOut`: the caller can sign in without it.
        if (!(refusal instanceof CurfewError) || refusal.problem === "verification-required") {
          throw refusal;
        }
        tries += [403, 429].includes(refusal.status) ? 1 : 0;
        // A lost answer may have used the challenge up.
        const isOver = isAnswerLost || tries >= STEP_TRIES || Date.now() > until;
        if (isOver && refusal.problem === "code-invalid") {
          throw required;
        }
        isAnswerLost = isAnswerLost || (refusal.passes && refusal.status !== 429);
        error = refusal;
      }
    }
  }

  async #signInAlone(email, path, body) {
    const answer = await this.#logIn(email, path, body);
    const { device_key: key, earlier_sign_out: earlier = null, sign_out: _, ...session } = answer;
    const account = accountOf(email);
    const others = (await this.#deviceKeys()).filter(([name]) => name !== account);
    // A page's key is in its cookie from now on.
    const keys = key ? [...others, [account, key]].slice(-MAX_KEYS) : others;
    let replaced;
    try {
      replaced = await this.#exclusively(() => this.#store(session, keys));
    } catch (error) {
      // The session could not be stored, so it must not stay valid.
      this.#inBackground(this.#ask("POST", "/v1/sign-out", { token: session.token }));
      throw error;
    }
    this.#resume(session);
    this.#notifyTabs();
    if (replaced !== null) {
      this.#inBackground(this.#endReplaced(replaced, session, earlier));
    }
    return this.session;
  }

  /** Sends a sign-in with the account's device key. A new key is stored before: if the
   * answer is lost, the next sign-in is the same device. */
  async #logIn(email, path, members) {
    const account = accountOf(email);
    const keys = await this.#deviceKeys();
    const others = keys.filter(([name]) => name !== account);
    const [, stored = null] = keys.find(([name]) => name === account) || [];
    const key = stored || newDeviceKey();
    if (stored === null) {
      await this.#write("device", [...others, [account, key]]);
    }
    const body = { ...members, device_key: key };
    if (this.#device) {
      body.device = this.#device;
    }
    if (this.#usesCookie) {
      body.transport = "cookie";
    }
    try {
      return await this.#ask("POST", path, { body });
    } catch (error) {
      if (error.problem === "second-step-required") {
        // Only the device that was asked can complete it.
        await this.#write("device", [...others, [account, error.document.device_key ?? key]]);
        throw error;
      }
      const isDamaged = stored !== null && error.document?.field === "device_key";
      const isRefused = error instanceof CurfewError && !error.passes;
      // A mistyped address must not use up the place of an account's key.
      if (isDamaged || (isRefused && stored === null)) {
        await this.#write("device", others);
      }
      if (isDamaged) {
        return this.#logIn(email, path, members);
      }
      throw error;
    }
  }

  /** Returns the device keys, each with the name of its account, the latest last. */
  async #deviceKeys() {
    const stored = await this.#read("device");
    return Array.isArray(stored) ? stored : [];
  }

  /** Stores a new session. First wipes the data of another account, or what a failed
   * wipe has left. Returns the session that it has replaced, if that is another
   * device's or another account's, or null. */
  async #store(session, keys) {
    const owner = await this.#read("owner");
    const ended = await this.#read("ended");
    const stored = (await this.#read("session")) ?? this.#session;
    const isAnothers = owner !== null && owner !== session.account.id;
    if (isAnothers || ended?.toWipe) {
      const before = this.#session;
      this.#leave(before);
      await this.#remove("session");
      this.#notifyTabs();
      await this.#attempt("onStop", REPLACED);
      before?.stopped();
      await this.#everyTabStopped();
      await this.#wipe(ended?.toWipe ? ended : REPLACED);
    }
    await this.#write("device", keys);
    await this.#write("owner", session.account.id);
    await this.#write("session", session);
    await this.#remove("ended");
    return stored !== null && stored.device.id !== session.device.id ? stored : null;
  }

  /** Signs out a session that another one has replaced on this device. Its token is
   * not stored any more, so nothing else could end it. The API has ended a page's. */
  async #endReplaced(session, by, earlier) {
    const answer = session.token ? await this.#insist("/v1/sign-out", session.token) : null;
    const signOut = answer === null ? earlier : answer.sign_out.id;
    if (signOut !== null && session.account.id !== by.account.id) {
      await this.#acknowledge(session, signOut, null, 0);
    }
  }

  /**
   * `fetch` with the token, for the API and the origins in `protects`. Ends the
   * session if the answer says that it has ended. A path is one of the API.
   */
  async fetch(input, init = {}) {
    const session = this.#session;
    const request = typeof Request !== "undefined" && input instanceof Request ? input : null;
    const asked = request ? request.url : String(input);
    const url = new URL(asked.startsWith("/") ? `${this.#api}${asked}` : asked);
    const ours = url.origin === new URL(this.#api).origin;
    if (!ours && !this.#protected.has(url.origin)) {
      return this.#fetch(input, init);
    }
    if (session === null) {
      throw new CurfewError("the device is not signed in");
    }
    const send = (what) => {
      const headers = new Headers(init.headers ?? request?.headers);
      const authorized = { ...init, headers };
      if (session.token) {
        headers.set("authorization", `Bearer ${session.token}`);
      } else {
        authorized.credentials = "include";
      }
      return this.#fetch(what, authorized);
    };
    const refusalIn = async (response) =>
      ours && response.status === 401 ? problemIn(response, await response.clone().text().catch(() => "")) : null;
    const isRefused = ({ status }) => status === 401 || (status === 403 && !ours);
    // A stream can be sent once.
    const isRepeatable = typeof init.body?.getReader !== "function";
    const again = request !== null && isRepeatable ? request.clone() : url;
    const sent = rotationOf(session);
    let response = await send(request ?? url);
    let document = await refusalIn(response);
    const isOfToken = isRefused(response) && (!ours || isOfOldToken(document));
    if (isOfToken && isRepeatable && (await this.#hasNewerToken(session, sent, document))) {
      response = await send(again);
      document = await refusalIn(response);
    }
    if (isRefused(response)) {
      if (document === null) {
        this.#checkAfterRefusal(session);
      } else {
        this.#applyProblem(session, document);
      }
    }
    return response;
  }

  /**
   * Asks the API whether the session is valid, and ends it if not. Returns true,
   * false, or null when the API does not answer.
   */
  async check() {
    const session = this.#session;
    if (session === null) {
      return false;
    }
    if (this.#checking?.session !== session) {
      const asked = this.#ask("GET", "/v1/session", { session }).then(
        () => true,
        (error) => {
          if (!(error instanceof CurfewError)) {
            throw error;
          }
          return isEnd(error) ? false : null;
        },
      );
      this.#checking = { session, asked };
      const clear = () => {
        if (this.#checking?.asked === asked) {
          this.#checking = null;
        }
      };
      asked.then(clear, clear);
    }
    return this.#checking.asked;
  }

  /** Lists the devices of the account, one page at a time. */
  devices({ status = "signed_in", limit = 100, cursor } = {}) {
    const query = new URLSearchParams({ status, limit, ...(cursor && { cursor }) });
    return this.#ask("GET", `/v1/devices?${query}`, { session: this.#signedIn() });
  }

  /** Returns a page of the receipt of a sign-out, device by device. */
  async receipt(signOut, { limit = 100, cursor } = {}) {
    const query = new URLSearchParams({ limit, ...(cursor && { cursor }) });
    const path = `/v1/sign-outs/${encodeURIComponent(signOut)}?${query}`;
    return (await this.#ask("GET", path, { session: this.#signedIn() })).sign_out;
  }

  /** Returns the messages that were mailed to the owner, newest first. */
  messages({ limit = 20, cursor } = {}) {
    const query = new URLSearchParams({ limit, ...(cursor && { cursor }) });
    return this.#ask("GET", `/v1/messages?${query}`, { session: this.#signedIn() });
  }

  /** Gives a device the owner's name. An empty one removes it. */
  async renameDevice(device, name) {
    const path = `/v1/devices/${encodeURIComponent(device)}`;
    return (await this.#ask("PATCH", path, { session: this.#signedIn(), body: { name } })).device;
  }

  /** Signs this device out, wipes it, and shows the sign-in screen. */
  signOut() {
    return this.#act("POST", "/v1/sign-out", undefined, () => true);
  }

  /** Signs out one device of the account. A recognized device may do so three times a day
   * without a verification, by its device key. */
  async signOutDevice(device) {
    const { account, device: own } = this.#signedIn();
    const name = accountOf(account.email);
    const [, key] = (await this.#deviceKeys()).find(([of]) => of === name) || [];
    const body = key && device !== own.id ? { device_key: key } : undefined;
    const path = `/v1/devices/${encodeURIComponent(device)}/sign-out`;
    return this.#act("POST", path, body, (session) => device === session.device.id);
  }

  /** Signs out every other device (`others`), which needs a verification, or every one
   * (`global`). */
  signOutAll(scope) {
    return this.#act("POST", "/v1/sign-out-all", { scope }, () => scope === "global");
  }

  /** Changes the password, and signs out every session, or every other one, which may need
   * a verification. */
  changePassword({ currentPassword, newPassword, keepCurrent = false }) {
    const body = {
      current_password: currentPassword,
      new_password: newPassword,
      keep_current: keepCurrent,
    };
    return this.#act("PUT", "/v1/password", body, () => !keepCurrent);
  }

  /** Returns the authenticator apps of the account, and how many recovery codes are left. */
  factors() {
    return this.#ask("GET", "/v1/factors", { session: this.#signedIn() });
  }

  /** Begins to add an authenticator app. Returns its secret, which is shown this once. */
  beginFactor(name) {
    return this.#askVerified("POST", "/v1/factors", { session: this.#signedIn(), body: { name } });
  }

  /** Adds an authenticator app that this session has begun, by a code that it shows. */
  async confirmFactor(id, totp) {
    const path = `/v1/factors/${encodeURIComponent(id)}/confirmation`;
    await this.#ask("POST", path, { session: this.#signedIn(), body: { totp } });
  }

  async removeFactor(id) {
    const path = `/v1/factors/${encodeURIComponent(id)}`;
    await this.#askVerified("DELETE", path, { session: this.#signedIn() });
  }

  /** Makes ten recovery codes, which are shown this once. Those before stop working. */
  async makeRecoveryCodes() {
    return (await this.#askVerified("POST", "/v1/recovery-codes", { session: this.#signedIn() })).codes;
  }

  /** Turns codes by mail at sign-ins on new devices on or off. */
  async setSignInCodes(enabled) {
    await this.#askVerified("PUT", "/v1/sign-in-codes", { session: this.#signedIn(), body: { enabled } });
  }

  async #act(method, path, body, endsThis) {
    const session = this.#signedIn();
    const { sign_out: signOut } = await this.#askVerified(method, path, { session, body });
    if (endsThis(session)) {
      await this.#end(session, {
        because: "signed_out",
        sign_out: signOut.id,
        reason: path === "/v1/password" ? "password_changed" : "signed_out",
        signed_out_at: signOut.requested_at,
        signed_out_by: signOut.requested_by,
      });
    }
    return signOut;
  }

  /** Calls the API. If that needs a verification, asks the app for proofs, verifies, and calls
   * again. */
  async #askVerified(method, path, call) {
    try {
      return await this.#ask(method, path, call);
    } catch (error) {
      const ask = this.#hooks.verificationRequired;
      if (error.problem !== "verification-required" || !ask || !(await this.#prove(ask, error))) {
        throw error;
      }
    }
    return this.#ask(method, path, call);
  }

  /** Asks the app for proofs until they are right, or it gives none. Calls that need them at
   * the same time share one question. Returns whether the session is verified. */
  #prove(ask, refusal) {
    if (this.#proving === null) {
      const clear = () => {
        this.#proving = null;
      };
      this.#proving = this.#proveAlone(ask, refusal);
      this.#proving.then(clear, clear);
    }
    return this.#proving;
  }

  async #proveAlone(ask, { methods, verifyAt }) {
    for (let error = null; ; ) {
      const proofs = await ask({ methods, verifyAt, error });
      if (!proofs || proofs === true) {
        return proofs === true;
      }
      try {
        await this.verify(proofs);
        return true;
      } catch (refusal) {
        if (!(refusal instanceof CurfewError) || this.#session === null) {
          throw refusal;
        }
        error = refusal;
      }
    }
  }

  /** Asks for a mail with a code for `verify`. Returns its challenge. */
  async requestVerificationCode() {
    const session = this.#signedIn();
    return (await this.#ask("POST", "/v1/verification-codes", { session })).challenge;
  }

  /**
   * Proves that this is the owner, with the password, with a code and its challenge, with
   * both, with a code of an authenticator app, with a recovery code, or with the challenge that
   * the team's own login gave (`external`). It counts for five minutes. The session gets another token. Verifications run one after another, in every
   * tab: each begins with the token of the one before.
   */
  async verify({ password, code, challenge, totp, recoveryCode, external }) {
    const session = this.#signedIn();
    const body = { password, code, challenge, totp, recovery_code: recoveryCode, external };
    return this.#exclusively(async () => {
      await this.#hasNewerToken(session, rotationOf(session), null);
      const answer = await this.#askToVerify(session, body);
      await this.#rotate(session, answer);
      return { verified_until: answer.verified_until };
    }, "verify");
  }

  /** Repeats a verification whose answer was lost: the token in it is nobody's, and the one
   * before is accepted for five minutes. */
  async #askToVerify(session, body) {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#ask("POST", "/v1/verifications", { session, body });
      } catch (error) {
        const isLost = error instanceof CurfewError && error.passes && error.status !== 429;
        if (!isLost || attempt === VERIFY_ATTEMPTS) {
          throw error;
        }
        const [least, most] = this.#timing.verifyMs;
        await sleep(Math.max(least + this.#random() * (most - least), error.retryAfterMs));
      }
    }
  }

  /** Stores the token of a verification before anything uses it. A page's is in its cookie:
   * there a count shows other tabs that it is another one. */
  async #rotate(session, { token, expires_at }) {
    const members = token ? { token, expires_at } : { rotation: rotationOf(session) + 1, expires_at };
    await this.#change(session, members);
    Object.assign(session, members);
  }

  /**
   * Takes the token of a verification in another tab from the storage. Returns whether the
   * session's token is another one than the call carried, or may be: a cookie can be newer
   * than the storage says.
   */
  async #hasNewerToken(session, sent, document) {
    const stored = await this.#read("session");
    if (stored?.session === session.session) {
      adopt(session, stored);
    }
    const isSuperseded = document !== null && nameOf(document) === "token-superseded";
    return rotationOf(session) !== sent || (isSuperseded && !session.token);
  }

  #signedIn() {
    if (this.#session === null) {
      throw new CurfewError("the device is not signed in");
    }
    return this.#session;
  }

  // --- Answers ------------------------------------------------------------

  /** Calls the API. A refusal is applied to the session, and thrown. */
  async #ask(method, path, { session = null, token, body, keepalive } = {}, isRepeated = false) {
    const sent = session && rotationOf(session);
    const { response, text } = await this.#send(method, path, { token: token ?? session?.token, body, keepalive });
    if (response.ok) {
      try {
        return JSON.parse(text);
      } catch (cause) {
        const what = `unreadable answer to ${method} ${path}`;
        throw new CurfewError(what, { status: response.status, cause });
      }
    }
    const document = problemIn(response, text);
    if (session !== null && document !== null && response.status === 401) {
      if (!isRepeated && isOfOldToken(document) && (await this.#hasNewerToken(session, sent, document))) {
        return this.#ask(method, path, { session, body, keepalive }, true);
      }
      this.#applyProblem(session, document);
    }
    const said = document?.detail ?? document?.title ?? `status ${response.status}`;
    const seconds = Number(response.headers.get("retry-after") ?? 0);
    throw new CurfewError(said, {
      status: response.status,
      document,
      retryAfterMs: Number.isFinite(seconds) ? Math.min(seconds, 300) * 1000 : 0,
    });
  }

  /** Sends a request to the API. Returns the answer and its text. */
  async #send(method, path, { token, body, keepalive = false }) {
    const what = `${method} ${path}`;
    const headers = new Headers();
    if (token) {
      headers.set("authorization", `Bearer ${token}`);
    }
    if (body !== undefined) {
      headers.set("content-type", "application/json");
    }
    const late = timeout(this.#timing.answerMs);
    try {
      // Only what the network does with the request is caught: an error that is thrown
      // while the request is made is one of the program.
      const response = await answered(
        what,
        this.#fetch(`${this.#api}${path}`, {
          method,
          headers,
          body: body === undefined ? undefined : JSON.stringify(body),
          cache: "no-store",
          credentials: this.#usesCookie && !token ? "include" : "omit",
          redirect: "error",
          keepalive,
          signal: late.signal,
        }),
      );
      return { response, text: await answered(what, response.text()) };
    } finally {
      late.clear();
    }
  }

  /** Applies a 401 of the API to the session whose token the call carried. */
  #applyProblem(session, document) {
    switch (nameOf(document)) {
      case "session-signed-out": {
        const ending = {
          because: "signed_out",
          sign_out: document.sign_out ?? null,
          reason: document.reason,
          signed_out_at: document.signed_out_at,
          signed_out_by: document.signed_out_by ?? null,
        };
        this.#inBackground(this.#end(session, ending).then(() => this.#deleteCookie()));
        break;
      }
      case "session-expired":
        this.#inBackground(this.#forget(session, "expired"));
        break;
      case "account-disabled":
        this.#inBackground(this.#forget(session, "disabled"));
        break;
      case "token-superseded":
        this.#notify("onSuperseded");
        break;
      case "token-invalid":
      case "token-missing":
        this.#inBackground(this.#forget(session, "invalid"));
        break;
    }
  }

  /** Asks the API after a refusal that is not its own. */
  #checkAfterRefusal(session) {
    if (session === this.#session) {
      this.#inBackground(this.check());
    }
  }

  // --- The end --------------------------------------------------------------

  /** Ends a session that was signed out, once: stop, wipe, acknowledge, show. */
  async #end(session, ending, revokingSocket = null) {
    const socket = revokingSocket ?? this.#socket;
    // Counted from the revocation: five seconds after it, Curfew closes the socket.
    const acceptedUntil = Date.now() + this.#timing.takenMs;
    if (!this.#leave(session, socket)) {
      return;
    }
    const ended = { ...ending, session: session.session };
    await this.#attempt("onStop", ended);
    session.stopped();
    let wiped = null;
    try {
      wiped = await this.#exclusively(() => this.#wipeFirst(session, ended));
    } catch (error) {
      wiped = false;
      this.#report(error);
    }
    if (wiped === true) {
      this.#inBackground(this.#acknowledge(session, ended.sign_out, socket, acceptedUntil));
    } else {
      this.#release(socket);
    }
    this.#show(wiped === false ? { ...ended, toWipe: true } : ended);
    if (wiped === false && (await this.#wipeUntilDone(ended))) {
      await this.#acknowledge(session, ended.sign_out, null, acceptedUntil);
    }
  }

  /** Wipes, unless another tab has, or a new sign-in has replaced the session. Returns
   * whether everything is gone, or null if there was nothing to do. */
  async #wipeFirst(session, ended) {
    const known = await this.#read("ended");
    const stored = await this.#read("session");
    const isReplaced = stored !== null && stored.session !== session.session;
    if (known?.session === session.session || isReplaced) {
      return null;
    }
    if (stored !== null) {
      // Only the last two tokens are good for the acknowledgement.
      adopt(session, stored);
    }
    // From here on a crash leaves a device that is signed out, and that wipes itself
    // at its next start. A full storage fails to write, and can still remove.
    try {
      await this.#write("ended", { ...ended, toWipe: true });
    } catch (error) {
      this.#report(error);
    }
    try {
      await this.#remove("session");
    } catch (error) {
      this.#report(error);
    }
    this.#notifyTabs();
    await this.#everyTabStopped();
    return this.#tryToWipe(ended);
  }

  /**
   * Asks until the API has deleted the cookie of an ended session: a frame can't, and the
   * first answer about a session that ended itself doesn't. A sign-in in any tab waits, so
   * that no answer comes late and deletes its cookie.
   */
  async #deleteCookie() {
    if (!this.#usesCookie) {
      return;
    }
    await this.#exclusively(async () => {
      for (let asked = 0; asked < 2 && (await this.#read("session")) === null; asked += 1) {
        const problem = await this.#ask("GET", "/v1/session").catch((error) => error.problem);
        if (problem !== "session-signed-out") {
          return;
        }
      }
    }, "sign-in");
  }

  /** Ends a session that expired or is unknown. Nothing is wiped. */
  async #forget(session, because) {
    if (!this.#leave(session)) {
      return;
    }
    const ended = { because, session: session.session };
    await this.#attempt("onStop", ended);
    session.stopped();
    try {
      await this.#exclusively(async () => {
        const stored = await this.#read("session");
        if (stored?.session === session.session) {
          await this.#write("ended", ended);
          await this.#remove("session");
          this.#notifyTabs();
        }
      });
    } catch (error) {
      this.#report(error);
    }
    // Another tab may have signed in again, which replaced this session.
    await this.#look();
    this.#show(ended);
  }

  /** Follows the storage after another tab has changed it. */
  async #look() {
    if (this.#closed) {
      return;
    }
    const before = this.#session;
    const stored = await this.#read("session");
    const isKnown = (stored?.session ?? null) === (before?.session ?? null);
    if (isKnown && stored) {
      adopt(before, stored);
    }
    if (before !== this.#session || isKnown || stored?.session === this.#left) {
      return;
    }
    if (stored) {
      if (before && before.account.id !== stored.account.id) {
        await this.#attempt("onStop", REPLACED);
      }
      this.#resume(stored);
    } else if (this.#leave(before)) {
      const ended = (await this.#read("ended")) ?? REPLACED;
      await this.#attempt("onStop", ended);
      before.stopped();
      this.#show(ended);
    }
  }

  /** Wipes once. Returns whether everything is gone. */
  async #tryToWipe(ended) {
    try {
      await this.#wipe(ended);
    } catch (error) {
      this.#report(new CurfewError("wiping failed and is retried", { cause: error }));
      return false;
    }
    try {
      const { toWipe: _, ...done } = ended;
      await this.#write("ended", done);
    } catch (error) {
      // The next start wipes once more, which is harmless.
      this.#report(error);
    }
    return true;
  }

  /** Retries until everything is gone. Returns whether this call did it. */
  async #wipeUntilDone(ended) {
    for (let failures = 0; !this.#closed; failures += 1) {
      await sleep(this.#backOff(failures));
      const done = await this.#exclusively(async () => {
        const known = await this.#read("ended");
        const isDone = known !== null && (known.session !== ended.session || !known.toWipe);
        const isReplaced = (await this.#read("session")) !== null;
        return isDone || isReplaced ? null : this.#tryToWipe(ended);
      });
      if (done !== false) {
        return done === true;
      }
    }
    return false;
  }

  /** Removes everything that belongs to the account. */
  async #wipe(ended) {
    const { keys, databases, caches: cached } = this.#wipes;
    await this.#remove("owner");
    const page = typeof window === "undefined" ? [] : [window.localStorage, window.sessionStorage];
    for (const storage of page) {
      for (const key of Object.keys(storage)) {
        const isOurs = key.startsWith(`${this.#name}.`);
        if (!isOurs && keys.some((prefix) => key.startsWith(prefix))) {
          storage.removeItem(key);
        }
      }
    }
    if (cached && typeof caches !== "undefined") {
      const names = Array.isArray(cached) ? cached : await caches.keys();
      await Promise.all(names.map((name) => caches.delete(name)));
    }
    if (databases.length > 0) {
      await Promise.all(databases.map((name) => deleteDatabase(name, this.#timing.wipeMs)));
    }
    await this.#hooks.onWipe?.(ended);
    this.#notify("onWiped", ended);
  }

  /** Acknowledges the sign-out, retried until Curfew accepts it. */
  async #acknowledge(session, signOut, socket, acceptedUntil) {
    if (!signOut) {
      this.#release(socket);
      return;
    }
    let taken = false;
    const leftMs = acceptedUntil - Date.now();
    if (socket?.readyState === 1 && leftMs > 0) {
      const closed = new Promise((resolve) => {
        socket.addEventListener("close", (event) => resolve(event.wasClean));
        setTimeout(() => resolve(false), leftMs);
      });
      socket.send(JSON.stringify({ type: "acknowledgement", sign_out: signOut }));
      taken = await closed;
    }
    this.#release(socket);
    const path = `/v1/sign-outs/${encodeURIComponent(signOut)}/acknowledgement`;
    if (taken || (await this.#insist(path, session.token)) !== null) {
      this.#notify("onAcknowledged", signOut);
    }
  }

  /** Posts until the API answers. Returns its answer, or null after a refusal and at the
   * end. A refusal of the token is no error: what it was to end has ended. */
  async #insist(path, token) {
    for (let failures = 0; !this.#closed; failures += 1) {
      try {
        return await this.#ask("POST", path, { token, keepalive: true });
      } catch (error) {
        if (!error.passes) {
          if (error.status !== 401) {
            this.#report(error);
          }
          return null;
        }
        await sleep(Math.max(this.#backOff(failures), error.retryAfterMs));
      }
    }
    return null;
  }

  // --- The current session -------------------------------------------------

  /** Makes a stored session the current one. */
  #resume(stored) {
    const before = this.#session;
    this.#leave(before);
    before?.stopped();
    const session = { ...stored };
    // Each tab holds this lock while it uses the account's data.
    const stopped = new Promise((resolve) => {
      session.stopped = resolve;
    });
    this.#inBackground(this.#locks?.request(`${this.#name}.use`, { mode: "shared" }, () => stopped));
    this.#session = session;
    this.#running = new AbortController();
    this.#failures = 0;
    this.#notify("onSignedIn", shown(session));
    if (this.#WebSocket) {
      this.#inBackground(this.#keepConnected(session, this.#running.signal));
    } else {
      this.#report(new CurfewError("no WebSocket here: a sign-out is noticed at the next call"));
    }
  }

  /** Leaves a session if it is the current one. Returns true for the first caller. */
  #leave(session, keep = null) {
    if (session === null || session !== this.#session) {
      return false;
    }
    this.#session = null;
    this.#left = session.session;
    this.#running.abort();
    this.#wakeUp?.();
    if (this.#socket !== keep) {
      this.#release(this.#socket);
    }
    return true;
  }

  async #everyTabStopped() {
    if (this.#locks === null) {
      return;
    }
    const { signal, clear } = timeout(this.#timing.stopMs);
    await this.#locks.request(`${this.#name}.use`, { signal }, () => {}).catch(() => {});
    clear();
  }

  // --- The socket -------------------------------------------------------------

  async #keepConnected(session, signal) {
    while (!signal.aborted) {
      let wait = 0;
      try {
        const began = Date.now();
        await this.#connection(session, signal);
        this.#failures = Date.now() - began >= this.#timing.steadyMs ? 0 : this.#failures;
      } catch (error) {
        wait = error.retryAfterMs ?? 0;
        if (!(error instanceof CurfewError) || !error.passes) {
          this.#report(error);
        }
      }
      if (signal.aborted) {
        return;
      }
      await this.#pause(Math.max(this.#backOff(this.#failures), wait));
      this.#failures += 1;
    }
  }

  /** One socket, from its ticket to its close. */
  async #connection(session, signal) {
    const { ticket, url } = await this.#ask("POST", "/v1/socket-tickets", { session });
    if (signal.aborted) {
      return;
    }
    const socket = new this.#WebSocket(url, [PROTOCOL, `curfew.ticket.${ticket}`]);
    const closed = new Promise((resolve) => {
      socket.addEventListener("close", resolve);
    });
    socket.addEventListener("message", (event) => this.#receive(session, socket, event.data));
    const opened = await new Promise((resolve) => {
      const late = setTimeout(() => resolve(false), this.#timing.answerMs);
      const end = (open) => {
        clearTimeout(late);
        resolve(open);
      };
      socket.addEventListener("open", () => end(true));
      closed.then(() => end(false));
      signal.addEventListener("abort", () => end(false));
    });
    if (signal.aborted) {
      socket.close();
      return;
    }
    if (!opened) {
      socket.close();
      // A refused handshake gives no reason.
      if ((await this.check()) === true) {
        this.#reportRefusal();
      }
      return;
    }
    this.#socket = socket;
    this.#refusedSince = null;
    this.#isRefusalReported = false;
    this.#notify("onConnected");
    const stopHeartbeat = this.#startHeartbeat(socket);
    await closed;
    stopHeartbeat();
    if (this.#socket === socket) {
      this.#socket = null;
    }
    this.#notify("onDisconnected");
  }

  /** Reports a socket that is refused although the session is valid, once per outage. */
  #reportRefusal() {
    const now = Date.now();
    this.#refusedSince = this.#refusedSince ?? now;
    const forMs = now - this.#refusedSince;
    if (forMs >= this.#timing.refusedMs && !this.#isRefusalReported) {
      this.#isRefusalReported = true;
      const seconds = Math.round(forMs / 1000);
      this.#report(
        new CurfewError(
          `the socket has been refused for ${seconds} s, and is retried: is the page's origin allowed?`,
        ),
      );
    }
  }

  #receive(session, socket, data) {
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return;
    }
    if (frame?.type === "session-revoked" && frame.session === session.session) {
      const ending = {
        because: "signed_out",
        sign_out: frame.sign_out,
        reason: frame.reason,
        signed_out_at: frame.signed_out_at,
        signed_out_by: frame.signed_out_by ?? null,
      };
      this.#inBackground(this.#end(session, ending, socket).then(() => this.#deleteCookie()));
    } else if (frame?.type === "problem") {
      const { title = "the API refused a frame", status } = frame.problem ?? {};
      this.#report(new CurfewError(title, { status }));
    }
  }

  /** Sends heartbeats at random times. Returns the function that stops them. */
  #startHeartbeat(socket) {
    const [least, most] = this.#timing.heartbeatMs;
    let timer;
    const next = () => {
      timer = setTimeout(() => {
        socket.send('{"type":"heartbeat"}');
        next();
      }, least + this.#random() * (most - least));
    };
    next();
    return () => clearTimeout(timer);
  }

  #release(socket) {
    if (socket) {
      socket.close();
      if (this.#socket === socket) {
        this.#socket = null;
      }
    }
  }

  /** Reconnects after the network was away or the device slept: the socket may look
   * open and be dead, and the session may have ended. */
  async #wake() {
    await this.#look();
    if (this.#session === null) {
      return;
    }
    const stale = this.#socket;
    if ((await this.check()) === false) {
      return;
    }
    this.#failures = 0;
    if (stale !== null && stale === this.#socket) {
      this.#release(stale);
    }
    this.#wakeUp?.();
  }

  #listen() {
    let seen = Date.now();
    const isLate = () => {
      const now = Date.now();
      const late = now - seen > this.#timing.sleptMs;
      seen = now;
      return late;
    };
    const look = setInterval(() => isLate() && this.#inBackground(this.#wake()), this.#timing.lookMs);
    // In Node, this timer must not keep the process alive.
    look.unref?.();
    this.#listeners.push(() => clearInterval(look));
    if (typeof window === "undefined") {
      return;
    }
    const on = (target, name, act) => {
      target.addEventListener(name, act);
      this.#listeners.push(() => target.removeEventListener(name, act));
    };
    on(window, "online", () => this.#inBackground(this.#wake()));
    on(window, "pageshow", (event) => event.persisted && this.#inBackground(this.#wake()));
    on(window, "storage", (event) => {
      if (event.key === null || event.key === this.#key("session")) {
        this.#inBackground(this.#look());
      }
    });
    on(document, "visibilitychange", () => {
      if (document.visibilityState === "visible") {
        this.#inBackground(isLate() ? this.#wake() : this.#look());
      }
    });
  }

  /** Draws a wait with full jitter: up to a bound that doubles with each failure. */
  #backOff(failures) {
    const { reconnectBaseMs, reconnectCapMs } = this.#timing;
    return this.#random() * Math.min(reconnectCapMs, reconnectBaseMs * 2 ** Math.min(failures, 20));
  }

  async #pause(ms) {
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wakeUp = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wakeUp = null;
  }

  // --- Storage, locks and the app's hooks -----------------------------------------

  #key(what) {
    return `${this.#name}.${what}`;
  }

  async #read(what) {
    try {
      const text = await this.#storage.getItem(this.#key(what));
      return text ? JSON.parse(text) : null;
    } catch (error) {
      // An unreadable entry counts as missing.
      this.#report(error);
      return null;
    }
  }

  async #write(what, value) {
    await this.#storage.setItem(this.#key(what), JSON.stringify(value));
  }

  async #remove(what) {
    await this.#storage.removeItem(this.#key(what));
  }

  /** Runs one piece of work of a kind at a time, across all tabs where there are locks. */
  #exclusively(work, kind = "change") {
    if (this.#locks !== null) {
      return this.#locks.request(`${this.#name}.${kind}`, work);
    }
    const done = (this.#queues[kind] ?? Promise.resolve()).then(work);
    this.#queues[kind] = done.catch(() => {});
    return done;
  }

  #notifyTabs() {
    this.#channel?.postMessage("look");
  }

  /** Runs a hook of the app, and waits for it up to a limit. */
  async #attempt(hook, ...details) {
    let timer;
    const late = new Promise((resolve) => {
      timer = setTimeout(resolve, this.#timing.stopMs);
    });
    try {
      await Promise.race([this.#hooks[hook]?.(...details), late]);
    } catch (error) {
      this.#report(error);
    } finally {
      clearTimeout(timer);
    }
  }

  #notify(hook, ...details) {
    try {
      this.#inBackground(this.#hooks[hook]?.(...details));
    } catch (error) {
      this.#report(error);
    }
  }

  /** Shows the sign-in screen, unless there is a session again. */
  #show(ended) {
    if (this.#session === null && !this.#closed) {
      this.#notify("onSignInScreen", ended);
    }
  }

  /** Runs work in the background, and reports its errors. */
  #inBackground(work) {
    Promise.resolve(work).catch((error) => this.#report(error));
  }

  #report(error) {
    try {
      this.#hooks.onError?.(error);
    } catch {
      // A failing error hook has no one to report to.
    }
  }
}

/** Waits for the network. Its failure and the timeout are "no answer". */
async function answered(what, network) {
  try {
    return await network;
  } catch (cause) {
    throw new CurfewError(`no answer to ${what}`, { cause });
  }
}

/** Returns a signal that aborts after a time, and the function that prevents it. */
function timeout(ms) {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), ms);
  return { signal: controller.signal, clear: () => clearTimeout(timer) };
}

/** Returns the problem document of this API in an answer, or null. */
function problemIn(response, text) {
  const type = response.headers.get("content-type") ?? "";
  if (!type.startsWith("application/problem+json")) {
    return null;
  }
  try {
    const document = JSON.parse(text);
    return typeof document?.type === "string" && document.type.startsWith(PROBLEM) ? document : null;
  } catch {
    return null;
  }
}

/**
 * Returns the name under which the device key of an account is kept: a hash of 32 bits
 * (FNV-1a), from which the address can't be read. Two addresses with the same hash
 * share a key, which names another device in each account. Another spelling of a domain
 * becomes a new device.
 */
function accountOf(email) {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(String(email).trim().normalize("NFC").toLowerCase())) {
    hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  }
  return hash.toString(16);
}

/** Makes a device key: the time in milliseconds, and 32 random bytes. */
function newDeviceKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  const base64 = btoa(String.fromCharCode(...bytes));
  const random = base64.replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");
  return `cfd_${String(Date.now()).padStart(13, "0")}_${random}`;
}

/** Returns whether a refusal says that the session has ended. */
function isEnd({ status, problem }) {
  return status === 401 && problem !== null && !["verification-required", "token-superseded"].includes(problem);
}

/** Returns the name of a problem. */
function nameOf(document) {
  return document.type.slice(PROBLEM.length);
}

/** Returns whether a refusal may come from a token that a verification has replaced. */
function isOfOldToken(document) {
  return document !== null && ["token-superseded", "token-invalid"].includes(nameOf(document));
}

/** Returns what tells a session's tokens apart: the token, or the count of a page's. */
function rotationOf({ token, rotation = 0 }) {
  return token ?? rotation;
}

/** Takes the token in the storage, which is never older. */
function adopt(session, stored) {
  const { token, rotation, expires_at } = stored;
  Object.assign(session, token ? { token, expires_at } : { rotation, expires_at });
}

function shown({ token: _, stopped: __, rotation: ___, ...rest }) {
  return rest;
}

function sleep(ms) {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

/** Deletes a database, which need not exist. */
function deleteDatabase(name, limitMs) {
  return new Promise((resolve, reject) => {
    const request = indexedDB.deleteDatabase(name);
    const late = setTimeout(() => reject(new Error(`the database ${name} is in use`)), limitMs);
    const end = (act) => (event) => {
      clearTimeout(late);
      act(event);
    };
    request.onsuccess = end(() => resolve());
    request.onerror = end(() => reject(request.error));
  });
}
