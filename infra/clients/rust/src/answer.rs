//! Answers of the API, and what they mean for the device's session.

use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;
use hyper::body::Bytes;
use serde_json::Value;

use crate::{EndReason, Error, Secret, Session, SignedOut};

/// The longest wait that a device accepts from `Retry-After`.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(5);

/// An answer of the API, of any status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it was sent.
    pub body: Bytes,
    /// The body as JSON; null when it is something else.
    pub json: Value,
}

impl Answer {
    /// Returns the body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the string at a JSON pointer (RFC 6901).
    #[must_use]
    pub fn member(&self, pointer: &str) -> Option<&str> {
        self.json.pointer(pointer)?.as_str()
    }

    /// Returns the name of the problem, such as `credentials-invalid`, if the API
    /// answered with one (RFC 9457).
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.member("/type")?.strip_prefix("urn:curfew:problem:")
    }

    /// Returns the problem's detail or title with the status, for people.
    #[must_use]
    pub fn message(&self) -> String {
        let Self { status, .. } = self;
        match self.member("/detail").or(self.member("/title")) {
            Some(detail) => format!("{detail} ({status})"),
            None => format!("The API answered {status}."),
        }
    }

    /// Returns the wait before a retry that `Retry-After` asks for in seconds
    /// (RFC 9110, section 10.2.3), up to five minutes.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
        Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
    }

    /// Returns whether the API refused the request, so that nothing has changed. A busy or
    /// failing API refuses nothing.
    pub(crate) fn is_refusal(&self) -> bool {
        (400..500).contains(&self.status) && self.status != 429
    }

    /// Reads the answer to a sign-in: the session, and the device key for the next one.
    ///
    /// # Errors
    /// When it was refused, or is incomplete.
    pub fn sign_in(&self) -> Result<(Session, Secret), Error> {
        if self.status != 200 {
            return Err(Error::from(self));
        }
        let member = |pointer| {
            let missing = || Error::new(format!("the answer to the sign-in has no {pointer}"));
            self.owned(pointer).ok_or_else(missing)
        };
        let session = Session {
            token: Secret::new(member("/token")?),
            id: member("/session")?,
            device: member("/device/id")?,
            account: member("/account/id")?,
            email: member("/account/email")?,
        };
        Ok((session, Secret::new(member("/device_key")?)))
    }

    /// Reads the answer to a sign-out that was made for this reason: its scope, and
    /// what the devices whose sessions it ended learn of it.
    #[must_use]
    pub fn sign_out(&self, reason: &str) -> Option<(&str, SignedOut)> {
        let scope = self.member("/sign_out/scope")?;
        let by = self.json["sign_out"]["requested_by"].clone();
        let sign_out = SignedOut {
            sign_out: Some(self.owned("/sign_out/id").filter(|_| self.status == 200)?),
            at: self.owned("/sign_out/requested_at")?,
            by: serde_json::from_value(by).ok(),
            reason: reason.to_owned(),
        };
        Some((scope, sign_out))
    }

    /// Returns why the session of the request's token has ended, if the answer
    /// says that it has. Only a complete `session-signed-out` is a sign-out: a
    /// proxy's 401 must not make a device wipe itself.
    #[must_use]
    pub fn session_end(&self) -> Option<EndReason> {
        match (self.status, self.problem()?) {
            (401, "session-signed-out") => Some(EndReason::SignedOut(self.signed_out()?)),
            (401, "session-expired") => Some(EndReason::Expired),
            (401, "account-disabled") => Some(EndReason::AccountDisabled),
            (401, "token-invalid" | "token-missing") => Some(EndReason::Invalid),
            _ => None,
        }
    }

    /// Returns whether the API refused a token that a verification may have replaced.
    pub(crate) fn is_of_old_token(&self) -> bool {
        let is_old = |problem| ["token-superseded", "token-invalid"].contains(&problem);
        self.status == 401 && self.problem().is_some_and(is_old)
    }

    /// Returns the sets of proofs of which each is enough, if the API answered with
    /// `verification-required`.
    #[must_use]
    pub fn methods(&self) -> Vec<Vec<String>> {
        let methods = self.json.get("methods").cloned().unwrap_or_default();
        serde_json::from_value(methods).unwrap_or_default()
    }

    fn signed_out(&self) -> Option<SignedOut> {
        let by = self.json.get("signed_out_by")?.clone();
        Some(SignedOut {
            sign_out: self.owned("/sign_out"),
            at: self.owned("/signed_out_at")?,
            by: serde_json::from_value(by).ok()?,
            reason: self.owned("/reason")?,
        })
    }

    fn owned(&self, pointer: &str) -> Option<String> {
        self.member(pointer).map(str::to_owned)
    }

    /// Reads the answer to `GET /v1/session`.
    pub(crate) fn session_check(&self) -> SessionCheck {
        match self.session_end() {
            Some(reason) => SessionCheck::Ended(reason),
            // Without a device it is not this API: a hotel's login page answers 200.
            None if self.status == 200 && self.member("/device/id").is_some() => {
                SessionCheck::SignedIn
            }
            None => SessionCheck::Unknown(self.no_answer()),
        }
    }

    /// Turns an answer that decides nothing into the reason to retry.
    pub(crate) fn no_answer(&self) -> NoAnswer {
        NoAnswer {
            reason: self.message(),
            retry_after: self.retry_after(),
        }
    }
}

/// A call that got no answer, or one that decides nothing. It may be retried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAnswer {
    /// The cause, for people.
    pub reason: String,
    /// The wait before a retry that the API asked for.
    pub retry_after: Option<Duration>,
}

impl From<String> for NoAnswer {
    fn from(reason: String) -> Self {
        Self {
            reason,
            retry_after: None,
        }
    }
}

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.reason)
    }
}

impl std::error::Error for NoAnswer {}

/// The answer to whether a session is still valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionCheck {
    /// The session is valid.
    SignedIn,
    /// The session has ended.
    Ended(EndReason),
    /// Nothing is known; retry.
    Unknown(NoAnswer),
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use serde_json::{Value, json};

    use super::{Answer, EndReason, SessionCheck};

    fn check(status: u16, json: Value) -> SessionCheck {
        Answer {
            status,
            headers: HeaderMap::new(),
            body: json.to_string().into(),
            json,
        }
        .session_check()
    }

    fn signed_out() -> Value {
        json!({
            "type": "urn:curfew:problem:session-signed-out", "status": 401, "sign_out": "o",
            "signed_out_at": "2026-11-20T12:00:00Z", "reason": "signed_out",
            "signed_out_by": { "id": "1", "name": "Laptop" },
        })
    }

    #[test]
    fn only_a_complete_session_signed_out_is_a_sign_out() {
        let SessionCheck::Ended(EndReason::SignedOut(sign_out)) = check(401, signed_out()) else {
            panic!("it is one");
        };
        assert_eq!(sign_out.by.unwrap().name, "Laptop");

        for status in [200, 400, 403, 500, 503] {
            let check = check(status, signed_out());
            assert!(
                matches!(check, SessionCheck::Unknown(_)),
                "{status}: {check:?}"
            );
        }
        for member in ["signed_out_at", "reason", "type"] {
            let mut body = signed_out();
            body[member] = Value::Null;
            let check = check(401, body);
            assert!(
                matches!(check, SessionCheck::Unknown(_)),
                "{member}: {check:?}"
            );
        }
    }

    #[test]
    fn an_operators_sign_out_names_no_device() {
        let mut body = signed_out();
        body["signed_out_by"] = Value::Null;
        let SessionCheck::Ended(EndReason::SignedOut(sign_out)) = check(401, body) else {
            panic!("it is one");
        };
        assert_eq!(sign_out.by, None);
    }

    #[test]
    fn an_expired_session_and_an_unknown_token_are_no_sign_outs() {
        for (name, reason) in [
            ("session-expired", EndReason::Expired),
            ("account-disabled", EndReason::AccountDisabled),
            ("token-invalid", EndReason::Invalid),
            ("token-missing", EndReason::Invalid),
        ] {
            let body = json!({ "type": format!("urn:curfew:problem:{name}") });
            assert_eq!(check(401, body), SessionCheck::Ended(reason));
        }
    }

    #[test]
    fn an_answer_that_is_not_the_apis_decides_nothing() {
        for (status, body) in [
            (401, Value::Null),
            (
                401,
                json!({ "type": "https://proxy.example/session-signed-out" }),
            ),
            (
                401,
                json!({ "type": "urn:curfew:problem:a-problem-of-tomorrow" }),
            ),
            (403, json!({ "message": "Forbidden" })),
            (200, json!({ "portal": "Accept the terms of our hotel" })),
            (503, json!({ "type": "urn:curfew:problem:unavailable" })),
        ] {
            let check = check(status, body);
            assert!(
                matches!(check, SessionCheck::Unknown(_)),
                "{status}: {check:?}"
            );
        }
    }
}
