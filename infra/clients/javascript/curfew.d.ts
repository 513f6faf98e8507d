/** The device's side of Curfew; the contract is infra/docs/devices.md. */

/** A storage of texts, such as `localStorage`. It may return promises. */
export interface Storage {
  getItem(key: string): string | null | Promise<string | null>;
  setItem(key: string, value: string): void | Promise<void>;
  removeItem(key: string): void | Promise<void>;
}

/** The description that a device sends at sign-in. */
export interface DeviceClaims {
  name?: string;
  type?: "tv" | "phone" | "tablet" | "computer" | "console" | "other";
  os?: string;
  model?: string;
  app?: string;
}

/** A device, as its owner sees it. Times are RFC 3339 in UTC. */
export interface Device {
  id: string;
  current: boolean;
  status: "signed_in" | "signed_out";
  name: string;
  type: string;
  os: string | null;
  browser: string | null;
  app: string | null;
  model: string | null;
  ip: string | null;
  location: { city: string | null; country: string | null } | null;
  /** Whether its sign-ins need no second step. */
  recognized: boolean;
  first_signed_in_at: string;
  signed_in_at: string;
  last_active_at: string;
  last_active_ip: string | null;
  last_active_location: { city: string | null; country: string | null } | null;
  expires_at: string;
  signed_out_at?: string;
  sign_out?: string;
  signed_out_by?: { id: string; name: string } | null;
  reason?: string;
}

/** A session without its token, which the module keeps. */
export interface Session {
  /** The session's id. It is not a secret. */
  session: string;
  /** `confirm_address`: the owner is to be asked to confirm the address, with `confirmAddress`. */
  account: { id: string; email: string; confirm_address?: boolean };
  device: Device;
  expires_at: string;
}

export type SignOutReason = "signed_out" | "password_changed" | "account_disabled" | "recovered" | "address_restored" | "wrong_password";

/** The end of a session. */
export type Ended =
  | {
      /** The session was signed out. The account's data is wiped. */
      because: "signed_out";
      session: string;
      sign_out: string | null;
      reason: SignOutReason;
      signed_out_at: string;
      /** `null` when an operator did it. */
      signed_out_by: { id: string; name: string } | null;
      /** True while the account's data is not wiped yet. */
      toWipe?: boolean;
    }
  | {
      /** The session expired, the account is disabled, or the token is unknown. Nothing
       * is wiped. */
      because: "expired" | "disabled" | "invalid";
      session: string;
    }
  | {
      /** Another account signs in on this device. The old data is wiped. */
      because: "replaced";
      session: null;
    };

/** A sign-out. */
export interface SignOut {
  id: string;
  scope: "local" | "device" | "others" | "global";
  requested_at: string;
  requested_by: { id: string; name: string } | null;
}

export type PartState = "not_reached" | "seen" | "notified" | "wiped";

/** A message that was mailed to the owner. A mail with another reference is forged. */
export interface Message {
  reference: string;
  kind:
    | "signed_in"
    | "signed_out"
    | "password_changed"
    | "recovered"
    | "address_changed"
    | "address_restored"
    | "address_warned"
    | "wrong_password"
    | "many_failures"
    | "factor_added"
    | "factor_removed"
    | "recovery_codes_made"
    | "recovery_code_used"
    | "sign_in_codes_off"
    | "second_step_missing"
    | "factor_removal_asked";
  at: string;
  device: { type: string; os: string | null; browser: string | null; place: string | null } | null;
  sign_out: string | null;
  failures: { count: number; since: string; places: string[] } | null;
  answer: "end" | "mine" | "undo" | null;
  answered_at: string | null;
  returned_at: string | null;
}

/** A code of an authenticator app, or a recovery code, which works once. */
export interface Factor {
  totp?: string;
  recoveryCode?: string;
}

/** What proves that the holder of a session is the owner: the password, a code and its
 * challenge, both, a factor, or what the team's own login gave, as one of the `methods` says. */
export interface Proofs extends Factor {
  password?: string;
  /** The challenge that the team's own login gave. */
  external?: string;
  challenge?: string;
  code?: string;
}

/** Sets of proofs, of which each is enough. */
export type Methods = ("password" | "code" | "totp" | "recovery_code" | "external")[][];

/** The authenticator apps of an account, and its recovery codes. */
export interface Factors {
  factors: {
    id: string;
    name: string;
    added_at: string;
    /** Whether a verification and a recovery take it, and nothing else. */
    settled: boolean;
    /** The time from which on they do; absent until its notice has gone to the address. */
    settles_at?: string;
  }[];
  recovery_codes?: { left: number; made_at: string };
  /** Whether the deployment has second factors. */
  available: boolean;
  /** The time until which the address can't be changed; absent if it can. */
  address_held_until?: string;
  /** The time until which no app can be added and no recovery codes can be made; absent if they
   * can. */
  factors_held_until?: string;
  /** Codes by mail, which sign-ins on new devices need where no factor has settled: whether
   * the owner has turned them on, whether the deployment always asks for them, and whether they
   * can reach the owner. */
  sign_in_codes: { enabled: boolean; always: boolean; available: boolean };
  /** The removal of the apps that somebody asked for who can't show them. A verification by a
   * factor stops it. */
  removal?: { due_at: string };
}

/** An authenticator app to be confirmed. */
export interface BegunFactor {
  id: string;
  /** In base 32, shown this once. */
  secret: string;
  uri: string;
  /** The URI as a QR code, an SVG image. */
  qr_code: string;
  confirm_until: string;
}

/** The progress of a sign-out, device by device. */
export interface Receipt extends SignOut {
  reason: SignOutReason;
  total: { devices: number; wiped: number; notified: number; seen: number; not_reached: number };
  devices: {
    id: string;
    name: string;
    type: string;
    refused_at: string;
    state: PartState;
    wiped_at: string | null;
    notified_at: string | null;
    seen_at: string | null;
  }[];
  next_cursor: string | null;
}

/** A problem document (RFC 9457). */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail?: string;
  field?: string;
  reasons?: { code: string; detail: string }[];
  [member: string]: unknown;
}

/** A call that the API refused, did not answer, or answered unreadably. */
export class CurfewError extends Error {
  /** The status of the answer; 0 without one. */
  readonly status: number;
  readonly cause?: unknown;
  /** The problem document, if the API answered with one. */
  readonly document: Problem | null;
  /** The problem's name, such as `credentials-invalid`. */
  readonly problem: string | null;
  /** With `address-unconfirmed`, `code-required`, or `verification-required` at a sign-in, the
   * challenge of the pass whose code was mailed; with `second-step-required`, that of the second
   * step. */
  readonly challenge: string | null;
  /** With `verification-required`, what `verify` needs. */
  readonly methods: Methods | null;
  /** With the method `external`, the page of the team's own login. */
  readonly verifyAt: string | null;
  readonly retryAfterMs: number;
  /** True when a retry may succeed. */
  readonly passes: boolean;
}

export interface Options {
  /** The address of the API. */
  api: string;
  /** The origins of your own APIs behind the authorizer. They get the token too. */
  protects?: string[];
  /** The description that the device sends at sign-in. */
  device?: DeviceClaims;
  /** `cookie` for a page on the API's site: no script can read its token. */
  transport?: "bearer" | "cookie";
  /** The storage of the session. The default is `localStorage`, which tabs share. */
  storage?: Storage;
  /** The prefix of keys. Use another one for another account at the same time. */
  name?: string;
  /** The account's data to remove, besides what `onWipe` removes. */
  wipes?: {
    /** The prefixes of keys in `localStorage` and `sessionStorage`. */
    keys?: string[];
    /** IndexedDB databases. */
    databases?: string[];
    /** Caches by name, or `true` for all of them, the default. */
    caches?: boolean | string[];
  };

  /** A session has begun or was resumed. */
  onSignedIn?(session: Session): void;
  /** Stop what plays, uploads or syncs. It has three seconds. */
  onStop?(ended: Ended): void | Promise<void>;
  /** Remove the data that `wipes` does not name. If it fails, wiping is retried. */
  onWipe?(ended: Ended): void | Promise<void>;
  /** The account's data is gone. */
  onWiped?(ended: Ended): void;
  /** Show the sign-in screen and the reason; `null` at a first visit. */
  onSignInScreen?(ended: Ended | null): void;
  /** The session has another token, which is not in the storage: the answer to a verification
   * was lost. Nothing is forgotten. Offer to sign in again. */
  onSuperseded?(): void;
  /** Curfew has accepted the acknowledgement of this sign-out. */
  onAcknowledged?(signOut: string): void;
  onConnected?(): void;
  onDisconnected?(): void;
  /**
   * An act needs a verification. Ask the person: the module verifies with what you return, and
   * repeats the act. If the proofs were wrong, it asks again, with the `error`. Return `null`
   * to give up, or `true` if you have called `verify` yourself. Without this hook, the act
   * throws `verification-required`.
   */
  verificationRequired?(asked: {
    methods: Methods;
    /** With the method `external`, the page to open. */
    verifyAt: string | null;
    error: CurfewError | null;
  }): Promise<Proofs | true | null>;
  /**
   * The password was right, and the account has an authenticator app. Ask for its code or a
   * recovery code: the module completes the sign-in. `remember`: this device is not asked for 90
   * days. If the code was wrong, it asks again, with the `error`. Return `null` to give up. After
   * that, after five wrong codes or ten minutes, and without this hook, `signIn` throws
   * `second-step-required`: sign in again. With `signOut`, a new app is too weak: `signIn` throws
   * `verification-required`, without a `challenge`. `reportLost` asks for a mail with a code, with which
   * `confirmLost` has the apps removed after 72 hours, and returns its challenge.
   */
  secondStepRequired?(asked: {
    error: CurfewError | null;
    reportLost: () => Promise<string>;
  }): Promise<(Factor & { remember?: boolean }) | null>;
  /** An error in the background, for a log: also a socket that is refused for longer
   * than some seconds, once per outage. */
  onError?(error: unknown): void;

  /** Replacements for the globals. */
  fetch?: typeof fetch;
  WebSocket?: typeof WebSocket;
  random?: () => number;
  /** Times in milliseconds. For tests. */
  timing?: Partial<{
    reconnectCapMs: number;
    reconnectBaseMs: number;
    steadyMs: number;
    refusedMs: number;
    heartbeatMs: [least: number, most: number];
    answerMs: number;
    stopMs: number;
    wipeMs: number;
    takenMs: number;
    sleptMs: number;
    lookMs: number;
    verifyMs: [least: number, most: number];
  }>;
}

/** One device of one account at a time. */
export class Curfew {
  constructor(options: Options);
  /** The current session, or `null`. */
  readonly session: Session | null;
  /** True while a socket is open. */
  readonly connected: boolean;
  /** Resumes from the storage. Call it once, before anything else. */
  start(): Promise<Session | null>;
  /** Ends without signing out. */
  close(): void;
  /** Asks for an account. Returns the challenge of the code that is mailed, or `null` where no
   * mail is sent and the password made the account. */
  signUp(credentials: { email: string; password?: string }): Promise<string | null>;
  /** Makes the account of an address by the code in its mail. */
  confirmAccount(proof: { challenge: string; code: string; password: string }): Promise<void>;
  /** Confirms the address of this account, by the challenge of `signUp` with it and the code in
   * the mail. */
  confirmAddress(proof: { challenge: string; code: string }): Promise<void>;
  /** Asks for a mail to a new address of this account, which needs a verification. Returns the
   * challenge of its code. */
  requestAddressChange(account: { email: string }): Promise<string>;
  /** Changes the address of this account by the code in the mail. */
  changeAddress(proof: { challenge: string; code: string }): Promise<void>;
  /** Asks for a mail with which an account is recovered. Returns the challenge of its code. */
  requestPasswordReset(account: { email: string }): Promise<string>;
  /** Recovers an account by a code or a link, and with `factor-required` by a factor, too. With
   * a recovery code, `removeFactors` removes the authenticator apps. Every device is signed out. */
  resetPassword(
    proof: ({ challenge: string; code: string; password: string } | { link: string; password: string }) &
      Factor & { removeFactors?: boolean },
  ): Promise<void>;
  /** Has the authenticator apps removed that the owner has lost, by the challenge of
   * `reportLost` and the code in the mail. Returns the time when they go. */
  confirmLost(proof: { challenge: string; code: string }): Promise<string>;
  /** One sign-in at a time: the same credentials share one, others wait. */
  signIn(credentials: {
    email: string;
    password: string;
    pass?: { challenge: string; code: string };
    /** Signs out every other device, in one step. */
    signOut?: "others";
  }): Promise<Session>;
  /** Asks for a mail with a pass, for a sign-in past the limits that others have used up.
   * Returns the challenge of its code. */
  requestPass(account: { email: string }): Promise<string>;
  /** Proves that this is the owner. It counts for five minutes. */
  verify(proofs: Proofs): Promise<{ verified_until: string }>;
  /** Asks for a mail with a code for `verify`. Returns its challenge. */
  requestVerificationCode(): Promise<string>;
  /** `fetch` with the token, for the API and the origins in `protects`. */
  fetch(input: string | URL | Request, init?: RequestInit): Promise<Response>;
  /** Asks whether the session is valid; `null` when the API does not answer. */
  check(): Promise<boolean | null>;
  devices(page?: {
    status?: "signed_in" | "signed_out" | "all";
    limit?: number;
    cursor?: string;
  }): Promise<{ devices: Device[]; next_cursor: string | null }>;
  /** Returns the first devices of a receipt, or those after a cursor. */
  receipt(signOut: string, page?: { limit?: number; cursor?: string }): Promise<Receipt>;
  /** Returns the messages that were mailed to the owner, newest first. */
  messages(page?: { limit?: number; cursor?: string }): Promise<{ messages: Message[]; next_cursor: string | null }>;
  /** Gives a device the owner's name. An empty one removes it. */
  renameDevice(device: string, name: string): Promise<Device>;
  signOut(): Promise<SignOut>;
  signOutDevice(device: string): Promise<SignOut>;
  signOutAll(scope: "others" | "global"): Promise<SignOut>;
  /** Returns the authenticator apps and how many recovery codes are left. */
  factors(): Promise<Factors>;
  /** Begins to add an authenticator app. */
  beginFactor(name: string): Promise<BegunFactor>;
  /** Adds an app that this session has begun, by a code that it shows, within ten minutes. */
  confirmFactor(factor: string, totp: string): Promise<void>;
  removeFactor(factor: string): Promise<void>;
  /** Makes ten recovery codes. Those before stop working. */
  makeRecoveryCodes(): Promise<string[]>;
  /** Turns codes by mail at sign-ins on new devices on or off. */
  setSignInCodes(enabled: boolean): Promise<void>;
  changePassword(change: {
    currentPassword: string;
    newPassword: string;
    keepCurrent?: boolean;
  }): Promise<SignOut>;
}
