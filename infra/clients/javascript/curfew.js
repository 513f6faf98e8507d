/**
 * The device's side of Curfew, for pages and for Node. It keeps the session and
 * the socket, and does what a device has to do at its end: stop, wipe,
 * acknowledge, show the sign-in screen. The contract that it follows is
 * infra/docs/devices.md.
 *
 * What is true stands in the storage. Messages between tabs only say "look".
 */

const PROBLEM = "urn:curfew:problem:";
const PROTOCOL = "curfew.v1";

const TIMING = {
  /** The longest wait between two tries. */
  reconnectCapMs: 60_000,
  /** The first try waits for up to this long. */
  reconnectBaseMs: 1_000,
  /** A socket that stood for so long begins the count of failures anew. */
  steadyMs: 60_000,
  /** Between two heartbeats: at least, and at most. */
  heartbeatMs: [240_000, 300_000],
  /** How long an answer, or a handshake, may take. */
  answerMs: 20_000,
  /** How long the app may take to stop, before its data is wiped all the same. */
  stopMs: 3_000,
  /** How long a database may take to be deleted. */
  wipeMs: 10_000,
  /** A closed socket tells within this time that the acknowledgement was taken;
   * later it was closed because there was none. */
  takenMs: 4_000,
  /** A clock that jumps by more has slept. Browsers let a hidden page look once a
   * minute. */
  sleptMs: 150_000,
  /** How often the clock is looked at. */
  lookMs: 15_000,
};

/** How the session before ends when somebody else signs in. */
const REPLACED = { because: "replaced", session: null };

/** What the API refused, or that it could not be asked. */
export class CurfewError extends Error {
  constructor(message, { status = 0, document = null, retryAfterMs = 0, cause } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "CurfewError";
    /** The status of the answer; 0 when there was none. */
    this.status = status;
    /** The problem document (RFC 9457), if the answer was one of this API. */
    this.document = document;
    /** Its type without the prefix, such as `credentials-invalid`, or null. */
    this.problem = document === null ? null : document.type.slice(PROBLEM.length);
    /** How long to wait before another try. */
    this.retryAfterMs = retryAfterMs;
  }

  /** Whether trying again may help. */
  get passes() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** One device of one account at a time. */
export class Curfew {
  #api;
  #protected;
  #device;
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

  /** The session in force here, token included, or null. */
  #session = null;
  /** Ends all that was begun for that session. */
  #reign = null;
  /** The open socket, or null. */
  #socket = null;
  /** Resolves the wait for the next try to connect. */
  #wakeUp = null;
  /** The id of the session that was given up last: while it is still stored, it
   * is not taken up again. */
  #gone = null;
  #failures = 0;
  #checking = null;
  #queue = Promise.resolve();
  #listeners = [];
  #closed = false;

  constructor(options) {
    if (!options?.api) {
      throw new TypeError("Curfew needs `api`, the address of the API");
    }
    const inPage = typeof window !== "undefined" && typeof window.localStorage !== "undefined";
    if (!options.storage && !inPage) {
      throw new TypeError("Curfew needs `storage` where there is no localStorage");
    }
    this.#api = new URL(options.api).href.replace(/\/+$/, "");
    this.#protected = new Set((options.protects ?? []).map((url) => new URL(url).origin));
    this.#device = options.device;
    this.#storage = options.storage ?? window.localStorage;
    this.#name = options.name ?? "curfew";
    this.#wipes = { keys: [], databases: [], caches: true, ...options.wipes };
    this.#hooks = options;
    this.#timing = { ...TIMING, ...options.timing };
    this.#random = options.random ?? Math.random;
    this.#fetch = options.fetch ?? globalThis.fetch.bind(globalThis);
    this.#WebSocket = options.WebSocket ?? globalThis.WebSocket;
    // Tabs share their storage, and so they share locks and a channel. Another
    // storage is this instance's own.
    const shared = options.storage === undefined;
    this.#locks = shared ? (globalThis.navigator?.locks ?? null) : null;
    if (shared && typeof BroadcastChannel !== "undefined") {
      this.#channel = new BroadcastChannel(this.#name);
      this.#channel.onmessage = () => this.#behind(this.#look());
    }
  }

  /** Who is signed in, without the token, or null. */
  get session() {
    return this.#session === null ? null : shown(this.#session);
  }

  /** Whether a socket is open. */
  get connected() {
    return this.#socket !== null;
  }

  /**
   * Goes on with what is stored: finishes a wipe that was interrupted, takes up
   * the session, or asks for the sign-in screen.
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
        await this.#wipeOnce(ended);
      }
      return { stored: isOver ? null : stored, ended: await this.#read("ended") };
    });
    if (stored) {
      this.#take(stored);
    } else {
      this.#show(ended);
    }
    if (ended?.toWipe) {
      this.#behind(this.#wipeUntilDone(ended));
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

  /** Signs this device in. */
  async signIn({ email, password }) {
    const key = await this.#read("device");
    const body = { email, password };
    if (this.#device) {
      body.device = this.#device;
    }
    let answer;
    try {
      answer = await this.#ask("POST", "/v1/login", { body: key ? { ...body, device_key: key } : body });
    } catch (error) {
      // A key that can't be read is of no use to anybody.
      if (!key || error.document?.field !== "device_key") {
        throw error;
      }
      await this.#remove("device");
      answer = await this.#ask("POST", "/v1/login", { body });
    }
    const { token, device_key, ...rest } = answer;
    const session = { token, ...rest };
    try {
      await this.#exclusively(() => this.#settle(session, device_key));
    } catch (error) {
      // Nobody has this session, so it must not stay open.
      this.#behind(this.#ask("POST", "/v1/sign-out", { token }));
      throw error;
    }
    this.#take(session);
    this.#tell();
    return this.session;
  }

  /** Stores a new session. What is left of somebody else, or of a wipe that failed,
   * goes before. */
  async #settle(session, key) {
    const owner = await this.#read("owner");
    const ended = await this.#read("ended");
    const isAnothers = owner !== null && owner !== session.account.id;
    if (isAnothers || ended?.toWipe) {
      const before = this.#session;
      this.#leave(before);
      await this.#remove("session");
      this.#tell();
      await this.#attempt("onStop", REPLACED);
      before?.stopped();
      await this.#everyTabStopped();
      await this.#wipe(ended?.toWipe ? ended : REPLACED);
    }
    await this.#write("device", key);
    await this.#write("owner", session.account.id);
    await this.#write("session", session);
    await this.#remove("ended");
  }

  /**
   * `fetch`, with the token for the API itself and for the origins in `protects`,
   * and with an eye on the answer. A path is one of the API.
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
      throw new CurfewError("nobody is signed in");
    }
    const headers = new Headers(init.headers ?? request?.headers);
    headers.set("authorization", `Bearer ${session.token}`);
    const response = await this.#fetch(request ?? url, { ...init, headers });
    if (ours && response.status === 401) {
      const document = await problemOf(response.clone());
      if (document === null) {
        this.#askWhy(session);
      } else {
        this.#judge(session, document);
      }
    } else if (!ours && (response.status === 401 || response.status === 403)) {
      this.#askWhy(session);
    }
    return response;
  }

  /**
   * Asks the API whether the session is valid, and acts on the answer: true,
   * false, or null when nothing is known.
   */
  async check() {
    const session = this.#session;
    if (session === null) {
      return false;
    }
    if (this.#checking?.session !== session) {
      const asked = this.#ask("GET", "/v1/session", { session }).then(
        () => true,
        (error) => (error.document && isEnd(error) ? false : null),
      );
      this.#checking = { session, asked };
      asked.finally(() => {
        if (this.#checking?.asked === asked) {
          this.#checking = null;
        }
      });
    }
    return this.#checking.asked;
  }

  /** The devices of the account, one page of them. */
  devices({ status = "signed_in", limit = 100, cursor } = {}) {
    const query = new URLSearchParams({ status, limit, ...(cursor && { cursor }) });
    return this.#ask("GET", `/v1/devices?${query}`, { session: this.#signedIn() });
  }

  /** How far a sign-out has come, device by device. */
  async receipt(signOut) {
    const path = `/v1/sign-outs/${encodeURIComponent(signOut)}`;
    return (await this.#ask("GET", path, { session: this.#signedIn() })).sign_out;
  }

  /** Signs this device out, wipes it, and shows the sign-in screen. */
  signOut() {
    return this.#act("POST", "/v1/sign-out", undefined, () => true);
  }

  /** Signs out one device of the account. */
  signOutDevice(device) {
    const path = `/v1/devices/${encodeURIComponent(device)}/sign-out`;
    return this.#act("POST", path, undefined, (session) => device === session.device.id);
  }

  /** Signs out every other device (`others`), or every one (`global`). */
  signOutAll(scope) {
    return this.#act("POST", "/v1/sign-out-all", { scope }, () => scope === "global");
  }

  /** Changes the password, which ends every session, or every other one. */
  changePassword({ currentPassword, newPassword, keepCurrent = false }) {
    const body = {
      current_password: currentPassword,
      new_password: newPassword,
      keep_current: keepCurrent,
    };
    return this.#act("PUT", "/v1/password", body, () => !keepCurrent);
  }

  async #act(method, path, body, endsThis) {
    const session = this.#signedIn();
    const { sign_out: signOut } = await this.#ask(method, path, { session, body });
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

  #signedIn() {
    if (this.#session === null) {
      throw new CurfewError("nobody is signed in");
    }
    return this.#session;
  }

  // --- Answers ------------------------------------------------------------

  /** A call of the API; what is refused is judged, and thrown. */
  async #ask(method, path, { session = null, token = session?.token, body, keepalive = false } = {}) {
    const headers = {};
    if (token) {
      headers.authorization = `Bearer ${token}`;
    }
    if (body !== undefined) {
      headers["content-type"] = "application/json";
    }
    let response;
    let text;
    try {
      response = await this.#fetch(`${this.#api}${path}`, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        cache: "no-store",
        credentials: "omit",
        redirect: "error",
        keepalive,
        signal: AbortSignal.timeout(this.#timing.answerMs),
      });
      if (response.ok) {
        text = await response.text();
        return JSON.parse(text);
      }
    } catch (cause) {
      throw new CurfewError(`there was no answer to ${method} ${path}`, { cause });
    }
    const document = await problemOf(response);
    if (session !== null && document !== null && response.status === 401) {
      this.#judge(session, document);
    }
    const said = document?.detail ?? document?.title ?? `status ${response.status}`;
    const seconds = Number(response.headers.get("retry-after") ?? 0);
    throw new CurfewError(said, {
      status: response.status,
      document,
      retryAfterMs: Number.isFinite(seconds) ? Math.min(seconds, 300) * 1000 : 0,
    });
  }

  /** Acts on a 401 of the API, which is about the session that asked. */
  #judge(session, document) {
    switch (document.type.slice(PROBLEM.length)) {
      case "session-signed-out": {
        const ending = {
          because: "signed_out",
          sign_out: document.sign_out ?? null,
          reason: document.reason,
          signed_out_at: document.signed_out_at,
          signed_out_by: document.signed_out_by ?? null,
        };
        this.#behind(this.#end(session, ending));
        break;
      }
      case "session-expired":
        this.#behind(this.#forget(session, "expired"));
        break;
      case "token-invalid":
      case "token-missing":
        this.#behind(this.#forget(session, "invalid"));
        break;
    }
  }

  /** A refusal that says nothing; the API knows. */
  #askWhy(session) {
    if (session === this.#session) {
      this.#behind(this.check());
    }
  }

  // --- The end --------------------------------------------------------------

  /** The session was signed out: stop, wipe, acknowledge, show. Once. */
  async #end(session, ending, tellingSocket = null) {
    const socket = tellingSocket ?? this.#socket;
    // Curfew hangs up five seconds after it has told, taken or not.
    const takenUntil = Date.now() + this.#timing.takenMs;
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
      this.#behind(this.#acknowledge(session, ended.sign_out, socket, takenUntil));
    } else {
      this.#release(socket);
    }
    this.#show(ended);
    if (wiped === false && (await this.#wipeUntilDone(ended))) {
      await this.#acknowledge(session, ended.sign_out, null, takenUntil);
    }
  }

  /** Wipes if no other tab has, and nobody has signed in again meanwhile; tells
   * whether all is gone, or null. */
  async #wipeFirst(session, ended) {
    const known = await this.#read("ended");
    const stored = await this.#read("session");
    const isReplaced = stored !== null && stored.session !== session.session;
    if (known?.session === session.session || isReplaced) {
      return null;
    }
    // From here on a crash leaves a device that is signed out, and that wipes when
    // it is switched on. A storage that is full still lets things go.
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
    this.#tell();
    await this.#everyTabStopped();
    return this.#wipeOnce(ended);
  }

  /** The session is over, and nobody ended it: nothing is wiped. */
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
          this.#tell();
        }
      });
    } catch (error) {
      this.#report(error);
    }
    this.#show(ended);
  }

  /** Looks into the storage, after another tab has changed it. */
  async #look() {
    if (this.#closed) {
      return;
    }
    const before = this.#session;
    const stored = await this.#read("session");
    const isKnown = (stored?.session ?? null) === (before?.session ?? null);
    if (before !== this.#session || isKnown || stored?.session === this.#gone) {
      return;
    }
    if (stored) {
      if (before && before.account.id !== stored.account.id) {
        await this.#attempt("onStop", REPLACED);
      }
      this.#take(stored);
    } else if (this.#leave(before)) {
      const ended = (await this.#read("ended")) ?? REPLACED;
      await this.#attempt("onStop", ended);
      before.stopped();
      this.#show(ended);
    }
  }

  /** One try to wipe; tells whether all is gone. */
  async #wipeOnce(ended) {
    try {
      await this.#wipe(ended);
    } catch (error) {
      this.#report(new CurfewError("wiping failed; it will be tried again", { cause: error }));
      return false;
    }
    try {
      const { toWipe: _, ...done } = ended;
      await this.#write("ended", done);
    } catch (error) {
      // At the next start it is wiped once more, which harms nobody.
      this.#report(error);
    }
    return true;
  }

  /** Tries again until all is gone; tells whether it was this that did it. */
  async #wipeUntilDone(ended) {
    for (let failures = 0; !this.#closed; failures += 1) {
      await sleep(this.#backOff(failures));
      const done = await this.#exclusively(async () => {
        const known = await this.#read("ended");
        const isDone = known !== null && (known.session !== ended.session || !known.toWipe);
        const isReplaced = (await this.#read("session")) !== null;
        return isDone || isReplaced ? null : this.#wipeOnce(ended);
      });
      if (done !== false) {
        return done === true;
      }
    }
    return false;
  }

  /** Removes all that belongs to the account. */
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

  /** Says that the device has wiped, until that is taken. */
  async #acknowledge(session, signOut, socket, takenUntil) {
    if (!signOut) {
      this.#release(socket);
      return;
    }
    let taken = false;
    const leftMs = takenUntil - Date.now();
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
    for (let failures = 0; !taken; failures += 1) {
      try {
        await this.#ask("POST", path, { token: session.token, keepalive: true });
        taken = true;
      } catch (error) {
        if (!error.passes) {
          this.#report(error);
          return;
        }
        await sleep(Math.max(this.#backOff(failures), error.retryAfterMs));
        if (this.#closed) {
          return;
        }
      }
    }
    this.#notify("onAcknowledged", signOut);
  }

  // --- The session in force -------------------------------------------------

  /** Takes up a session. */
  #take(stored) {
    const before = this.#session;
    this.#leave(before);
    before?.stopped();
    const session = { ...stored };
    // Held by each tab that uses the account's data, until it has stopped.
    const stopped = new Promise((resolve) => {
      session.stopped = resolve;
    });
    this.#behind(this.#locks?.request(`${this.#name}.use`, { mode: "shared" }, () => stopped));
    this.#session = session;
    this.#reign = new AbortController();
    this.#failures = 0;
    this.#notify("onSignedIn", shown(session));
    if (this.#WebSocket) {
      this.#behind(this.#keepConnected(session, this.#reign.signal));
    } else {
      this.#report(new CurfewError("there is no WebSocket here: the end is heard of at the next call"));
    }
  }

  /** Gives up a session, if it is the one in force. The first one to ask is told so. */
  #leave(session, keep = null) {
    if (session === null || session !== this.#session) {
      return false;
    }
    this.#session = null;
    this.#gone = session.session;
    this.#reign.abort();
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
    const signal = AbortSignal.timeout(this.#timing.stopMs);
    await this.#locks.request(`${this.#name}.use`, { signal }, () => {}).catch(() => {});
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
    socket.addEventListener("message", (event) => this.#hear(session, socket, event.data));
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
      // A refused handshake does not say why.
      await this.check();
      return;
    }
    this.#socket = socket;
    this.#notify("onConnected");
    const stopBeating = this.#beat(socket);
    await closed;
    stopBeating();
    if (this.#socket === socket) {
      this.#socket = null;
    }
    this.#notify("onDisconnected");
  }

  #hear(session, socket, data) {
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
      this.#behind(this.#end(session, ending, socket));
    } else if (frame?.type === "problem") {
      const { title = "a frame was refused", status } = frame.problem ?? {};
      this.#report(new CurfewError(title, { status }));
    }
  }

  /** Heartbeats, each after a time of its own, until told to stop. */
  #beat(socket) {
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

  /** The network is back, or the device has slept: the socket may look open and
   * be dead, and the session may be over. */
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
    const look = setInterval(() => isLate() && this.#behind(this.#wake()), this.#timing.lookMs);
    // In Node, looking at the clock is no reason to stay.
    look.unref?.();
    this.#listeners.push(() => clearInterval(look));
    if (typeof window === "undefined") {
      return;
    }
    const on = (target, name, act) => {
      target.addEventListener(name, act);
      this.#listeners.push(() => target.removeEventListener(name, act));
    };
    on(window, "online", () => this.#behind(this.#wake()));
    on(window, "pageshow", (event) => event.persisted && this.#behind(this.#wake()));
    on(window, "storage", (event) => {
      if (event.key === null || event.key === this.#key("session")) {
        this.#behind(this.#look());
      }
    });
    on(document, "visibilitychange", () => {
      if (document.visibilityState === "visible") {
        this.#behind(isLate() ? this.#wake() : this.#look());
      }
    });
  }

  /** Full jitter: anything between nothing and what has doubled with each failure. */
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
      // What can't be read, or was not written by us, counts as nothing.
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

  /** Does one thing after another, in all tabs together. */
  #exclusively(work) {
    if (this.#locks !== null) {
      return this.#locks.request(`${this.#name}.change`, work);
    }
    const done = this.#queue.then(work);
    this.#queue = done.catch(() => {});
    return done;
  }

  #tell() {
    this.#channel?.postMessage("look");
  }

  /** Lets the app do its part, which must not keep us for ever. */
  async #attempt(hook, ...facts) {
    let timer;
    const late = new Promise((resolve) => {
      timer = setTimeout(resolve, this.#timing.stopMs);
    });
    try {
      await Promise.race([this.#hooks[hook]?.(...facts), late]);
    } catch (error) {
      this.#report(error);
    } finally {
      clearTimeout(timer);
    }
  }

  #notify(hook, ...facts) {
    try {
      this.#behind(this.#hooks[hook]?.(...facts));
    } catch (error) {
      this.#report(error);
    }
  }

  /** The sign-in screen, unless somebody has signed in meanwhile. */
  #show(ended) {
    if (this.#session === null && !this.#closed) {
      this.#notify("onSignInScreen", ended);
    }
  }

  /** Work that nobody waits for. */
  #behind(work) {
    Promise.resolve(work).catch((error) => this.#report(error));
  }

  #report(error) {
    try {
      this.#hooks.onError?.(error);
    } catch {
      // Nobody is left to tell.
    }
  }
}

/** The problem document of this API in an answer, or null. */
async function problemOf(response) {
  const type = response.headers.get("content-type") ?? "";
  if (!type.startsWith("application/problem+json")) {
    return null;
  }
  try {
    const document = await response.json();
    return typeof document?.type === "string" && document.type.startsWith(PROBLEM) ? document : null;
  } catch {
    return null;
  }
}

/** Whether a refusal says that the session is over. */
function isEnd(error) {
  return error.status === 401 && error.problem !== "verification-required";
}

function shown({ token: _, stopped: __, ...rest }) {
  return rest;
}

function sleep(ms) {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

/** Deletes a database, also one that does not exist. */
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
