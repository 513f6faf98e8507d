//! The two cookies of a page.

/// The cookie that carries the token of a page. Its prefix binds it to this host,
/// to HTTPS and to every path (RFC 6265bis, section 4.1.3).
pub const SESSION_COOKIE: &str = "__Host-curfew";

/// The cookie that keeps the token of a session that was signed out, until its page
/// has acknowledged that.
pub const ENDED_COOKIE: &str = "__Host-curfew-ended";

/// The time that a page has to acknowledge, in seconds: a day.
pub const ENDED_COOKIE_AGE_S: i64 = 24 * 60 * 60;

/// The cookie that keeps a page's device key across sign-outs.
pub const DEVICE_COOKIE: &str = "__Host-curfew-device";

/// The `Set-Cookie` value that makes a browser delete the session cookie.
pub const CLEARED_SESSION_COOKIE: &str =
    "__Host-curfew=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0";

/// The way in which a client sends its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// In the `Authorization` header.
    Bearer,
    /// In the session cookie.
    Cookie,
}

/// Formats a `Set-Cookie` value for this host alone, over HTTPS, that no script
/// can read.
#[must_use]
pub fn cookie(name: &str, value: &str, max_age_s: i64) -> String {
    format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={max_age_s}")
}
