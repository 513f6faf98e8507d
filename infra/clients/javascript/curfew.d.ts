/** The device's side of Curfew; the contract is infra/docs/devices.md. */

/** Where texts are kept; `localStorage` is one, and so is any with promises. */
export interface Storage {
  getItem(key: string): string | null | Promise<string | null>;
  setItem(key: string, value: string): void | Promise<void>;
  removeItem(key: string): void | Promise<void>;
}

/** What a device says of itself at its sign-in. */
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
  first_signed_in_at: string;
  signed_in_at: string;
  last_active_at: string;
  expires_at: string;
  signed_out_at?: string;
  signed_out_by?: { id: string; name: string };
  reason?: string;
}

/** Who is signed in. The token stays inside. */
export interface Session {
  /** The session's id; authenticates nobody. */
  session: string;
  account: { id: string; email: string };
  device: Device;
  expires_at: string;
}

export type SignOutReason = "signed_out" | "password_changed" | "account_disabled";

/** Why there is no session any more. */
export type Ended =
  | {
      /** The owner ended it; all of the account's data is wiped. */
      because: "signed_out";
      session: string;
      sign_out: string | null;
      reason: SignOutReason;
      signed_out_at: string;
      /** `null` when no device did it. */
      signed_out_by: { id: string; name: string } | null;
    }
  | {
      /** It ran out, or its token is that of no session. Nothing is wiped. */
      because: "expired" | "invalid";
      session: string;
    }
  | {
      /** Somebody else signs in on this device; what was left is wiped. */
      because: "replaced";
      session: null;
    };

/** A sign-out, as its answer shows it. */
export interface SignOut {
  id: string;
  scope: "local" | "device" | "others" | "global";
  requested_at: string;
  requested_by: { id: string; name: string } | null;
}

export type PartState = "refused" | "pushed" | "contacted" | "acknowledged";

/** How far a sign-out has come, device by device. */
export interface Receipt extends SignOut {
  reason: SignOutReason;
  total: { devices: number; confirmed: number; pushed: number; not_reached: number };
  devices: {
    id: string;
    name: string;
    type: string;
    state: PartState;
    refused_at: string;
    pushed_at: string | null;
    contacted_at: string | null;
    acknowledged_at: string | null;
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

/** What the API refused, or that it could not be asked. */
export class CurfewError extends Error {
  /** The status of the answer; 0 when there was none. */
  readonly status: number;
  /** The problem document, if the answer was one of this API. */
  readonly document: Problem | null;
  /** Its type without the prefix, such as `credentials-invalid`. */
  readonly problem: string | null;
  readonly retryAfterMs: number;
  /** Whether trying again may help. */
  readonly passes: boolean;
}

export interface Options {
  /** The address of the API. */
  api: string;
  /** Origins of your own APIs behind the authorizer, which get the token, too. */
  protects?: string[];
  /** What the device says of itself. */
  device?: DeviceClaims;
  /** Where the session is kept. Without it, `localStorage`, which tabs share. */
  storage?: Storage;
  /** What keys begin with; another one for another account at the same time. */
  name?: string;
  /** What belongs to the account, beside what `onWipe` removes. */
  wipes?: {
    /** What keys in `localStorage` and `sessionStorage` begin with. */
    keys?: string[];
    /** Databases of IndexedDB. */
    databases?: string[];
    /** Caches, by name; `true`, the default, is all of them. */
    caches?: boolean | string[];
  };

  /** Somebody is signed in here, from now or from before. */
  onSignedIn?(session: Session): void;
  /** Stop what plays, uploads or syncs. Waited for, but not for long. */
  onStop?(ended: Ended): void | Promise<void>;
  /** Remove what `wipes` does not name. When it fails, all is tried again. */
  onWipe?(ended: Ended): void | Promise<void>;
  /** All is gone. */
  onWiped?(ended: Ended): void;
  /** Show the sign-in screen, and say what happened; `null` when nothing did. */
  onSignInScreen?(ended: Ended | null): void;
  /** Curfew has taken the acknowledgement of this sign-out. */
  onAcknowledged?(signOut: string): void;
  onConnected?(): void;
  onDisconnected?(): void;
  /** What went wrong behind the scenes, for a log. */
  onError?(error: unknown): void;

  /** In the place of the global ones. */
  fetch?: typeof fetch;
  WebSocket?: typeof WebSocket;
  random?: () => number;
  /** Times in milliseconds, in the place of the usual ones. For tests. */
  timing?: Partial<{
    reconnectCapMs: number;
    reconnectBaseMs: number;
    steadyMs: number;
    heartbeatMs: [least: number, most: number];
    answerMs: number;
    stopMs: number;
    wipeMs: number;
    takenMs: number;
    sleptMs: number;
    lookMs: number;
  }>;
}

/** One device of one account at a time. */
export class Curfew {
  constructor(options: Options);
  /** Who is signed in. */
  readonly session: Session | null;
  /** Whether a socket is open. */
  readonly connected: boolean;
  /** Goes on with what is stored. Call it once, before anything else. */
  start(): Promise<Session | null>;
  /** Ends without signing out. */
  close(): void;
  signIn(credentials: { email: string; password: string }): Promise<Session>;
  /** `fetch`, with the token where it belongs, and an eye on the answer. */
  fetch(input: string | URL | Request, init?: RequestInit): Promise<Response>;
  /** Whether the session is valid; `null` when nothing is known. */
  check(): Promise<boolean | null>;
  devices(page?: {
    status?: "signed_in" | "signed_out" | "all";
    limit?: number;
    cursor?: string;
  }): Promise<{ devices: Device[]; next_cursor: string | null }>;
  receipt(signOut: string): Promise<Receipt>;
  signOut(): Promise<SignOut>;
  signOutDevice(device: string): Promise<SignOut>;
  signOutAll(scope: "others" | "global"): Promise<SignOut>;
  changePassword(change: {
    currentPassword: string;
    newPassword: string;
    keepCurrent?: boolean;
  }): Promise<SignOut>;
}
