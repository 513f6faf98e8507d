//! Problem documents (RFC 9457), one for each thing that a client can act on.

use domain::SignOutId;
use domain::password::Rejection;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::Answer;
use crate::views::SignedOutBy;

/// The types are URNs, so that they stay the same wherever a team deploys.
const TYPE_PREFIX: &str = "urn:curfew:problem:";
const REALM: &str = "Bearer realm=\"curfew\"";

/// Every problem that the API answers with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// No token was presented.
    TokenMissing,
    /// The token is malformed, unknown, or not the session's.
    TokenInvalid,
    /// The session was ended. Only to a caller who holds the right secret.
    SessionSignedOut {
        /// By which sign-out, so that the device can say that it has wiped.
        sign_out: SignOutId,
        /// When.
        at: Timestamp,
        /// By which device; none when an operator did it.
        by: Option<SignedOutBy>,
        /// Why.
        reason: &'static str,
    },
    /// The session ran out.
    SessionExpired,
    /// The address and the password are not an account's.
    CredentialsInvalid,
    /// The current password is wrong, at a change of it.
    CurrentPasswordWrong,
    /// Nobody but a caller with AWS credentials may ask this.
    CallerNotAllowed,
    /// The account has no such device.
    DeviceNotFound,
    /// The account has no such sign-out, or it was not about the caller.
    SignOutNotFound,
    /// The new password is refused.
    PasswordRejected(Vec<PasswordReason>),
    /// Something about the request is wrong.
    RequestInvalid {
        /// Which field, header or parameter.
        field: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The body is too large.
    RequestTooLarge,
    /// There is nothing at this path.
    NotFound,
    /// The path is not for this method.
    MethodNotAllowed {
        /// Which ones it is for, comma-separated.
        allow: String,
    },
    /// A part that this needs did not answer in time. Try again.
    Unavailable,
}

/// Why a new password is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PasswordReason)]
pub struct PasswordReason {
    /// A name for programs: `too_short`, `too_long`, `common`, `own_words`,
    /// `guessable` or `unchanged`.
    #[schema(example = "too_short")]
    pub code: &'static str,
    /// A sentence for people.
    #[schema(example = "The password needs at least 15 characters.")]
    pub detail: String,
}

impl From<Rejection> for PasswordReason {
    fn from(rejection: Rejection) -> Self {
        Self {
            code: rejection.name(),
            detail: rejection.to_string(),
        }
    }
}

/// A problem document (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument {
    /// `urn:curfew:problem:` and the problem's name.
    #[serde(rename = "type")]
    #[schema(example = "urn:curfew:problem:session-signed-out")]
    pub kind: String,
    /// The same sentence for every problem of this type.
    pub title: &'static str,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// What is wrong with this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// `request-invalid`: which field, header or parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// `password-rejected`: every reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasons: Option<Vec<PasswordReason>>,
    /// `session-signed-out`: the sign-out that ended the session, which the
    /// device acknowledges once it has wiped.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Uuid)]
    pub sign_out: Option<String>,
    /// `session-signed-out`: when the session was ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub signed_out_at: Option<Timestamp>,
    /// `session-signed-out`: the device that asked for it; `null` when an
    /// operator did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<SignedOutBy>)]
    pub signed_out_by: Option<Option<SignedOutBy>>,
    /// `session-signed-out`: why, as `signed_out`, `password_changed` or
    /// `account_disabled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub reason: Option<&'static str>,
}

impl Problem {
    /// A request that is wrong in one field.
    #[must_use]
    pub fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::RequestInvalid {
            field: field.into(),
            detail: detail.into(),
        }
    }

    /// The name that the type ends in.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::TokenMissing => "token-missing",
            Self::TokenInvalid => "token-invalid",
            Self::SessionSignedOut { .. } => "session-signed-out",
            Self::SessionExpired => "session-expired",
            Self::CredentialsInvalid | Self::CurrentPasswordWrong => "credentials-invalid",
            Self::CallerNotAllowed => "caller-not-allowed",
            Self::DeviceNotFound => "device-not-found",
            Self::SignOutNotFound => "sign-out-not-found",
            Self::PasswordRejected(_) => "password-rejected",
            Self::RequestInvalid { .. } => "request-invalid",
            Self::RequestTooLarge => "request-too-large",
            Self::NotFound => "not-found",
            Self::MethodNotAllowed { .. } => "method-not-allowed",
            Self::Unavailable => "unavailable",
        }
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::TokenMissing
            | Self::TokenInvalid
            | Self::SessionSignedOut { .. }
            | Self::SessionExpired
            | Self::CredentialsInvalid => 401,
            Self::CurrentPasswordWrong | Self::CallerNotAllowed => 403,
            Self::DeviceNotFound | Self::SignOutNotFound | Self::NotFound => 404,
            Self::MethodNotAllowed { .. } => 405,
            Self::PasswordRejected(_) => 422,
            Self::RequestInvalid { .. } => 400,
            Self::RequestTooLarge => 413,
            Self::Unavailable => 503,
        }
    }

    fn title(&self) -> &'static str {
        match self {
            Self::TokenMissing => "A token is needed.",
            Self::TokenInvalid => "The token is not valid.",
            Self::SessionSignedOut { .. } => "This device was signed out.",
            Self::SessionExpired => "The session has run out.",
            Self::CredentialsInvalid | Self::CurrentPasswordWrong => {
                "The credentials are not right."
            }
            Self::CallerNotAllowed => "This is not for this caller.",
            Self::DeviceNotFound => "There is no such device.",
            Self::SignOutNotFound => "There is no such sign-out.",
            Self::PasswordRejected(_) => "The new password can't be used.",
            Self::RequestInvalid { .. } => "The request is not valid.",
            Self::RequestTooLarge => "The request is too large.",
            Self::NotFound => "There is nothing at this path.",
            Self::MethodNotAllowed { .. } => "The path is not for this method.",
            Self::Unavailable => "The service can't answer now.",
        }
    }

    fn detail(&self) -> Option<String> {
        Some(match self {
            Self::TokenMissing => {
                "Send the token as `Authorization: Bearer …`, or the session's cookie.".to_owned()
            }
            Self::TokenInvalid => "It is malformed, or not that of a session.".to_owned(),
            Self::SessionSignedOut { .. } => {
                "Wipe what is stored for the account and show the sign-in screen.".to_owned()
            }
            Self::SessionExpired => "Sign in again.".to_owned(),
            Self::CredentialsInvalid => {
                "The e-mail address and the password are not those of an account.".to_owned()
            }
            Self::CurrentPasswordWrong => "The current password is wrong.".to_owned(),
            Self::CallerNotAllowed => {
                "Sign the request with AWS credentials (Signature Version 4, service `execute-api`)."
                    .to_owned()
            }
            Self::RequestInvalid { field, detail } => format!("`{field}` {detail}."),
            Self::RequestTooLarge => {
                format!(
                    "A body has at most {} bytes.",
                    crate::request::MAX_BODY_BYTES
                )
            }
            Self::MethodNotAllowed { allow } => format!("It is for {allow}."),
            Self::Unavailable => "Nothing is known to have changed. Try again soon.".to_owned(),
            Self::DeviceNotFound
            | Self::SignOutNotFound
            | Self::PasswordRejected(_)
            | Self::NotFound => return None,
        })
    }

    /// The challenge of RFC 6750, section 3, that every 401 carries.
    fn challenge(&self) -> Option<String> {
        match self {
            Self::TokenMissing | Self::CredentialsInvalid => Some(REALM.to_owned()),
            Self::TokenInvalid | Self::SessionSignedOut { .. } | Self::SessionExpired => {
                Some(format!(
                    "{REALM}, error=\"invalid_token\", error_description=\"{}\"",
                    self.name()
                ))
            }
            _ => None,
        }
    }

    /// The document.
    #[must_use]
    pub fn document(&self) -> ProblemDocument {
        let mut document = ProblemDocument {
            kind: format!("{TYPE_PREFIX}{}", self.name()),
            title: self.title(),
            status: self.status(),
            detail: self.detail(),
            field: None,
            reasons: None,
            sign_out: None,
            signed_out_at: None,
            signed_out_by: None,
            reason: None,
        };
        match self {
            Self::RequestInvalid { field, .. } => document.field = Some(field.clone()),
            Self::PasswordRejected(reasons) => document.reasons = Some(reasons.clone()),
            Self::SessionSignedOut {
                sign_out,
                at,
                by,
                reason,
            } => {
                document.sign_out = Some(sign_out.to_string());
                document.signed_out_at = Some(*at);
                document.signed_out_by = Some(by.clone());
                document.reason = Some(reason);
            }
            _ => {}
        }
        document
    }
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Self {
        let mut answer = Self::json(problem.status(), &problem.document())
            .with_header("content-type", "application/problem+json");
        if let Some(challenge) = problem.challenge() {
            answer = answer.with_header("www-authenticate", &challenge);
        }
        match problem {
            Problem::MethodNotAllowed { allow } => answer.with_header("allow", &allow),
            Problem::Unavailable => answer.with_header("retry-after", "1"),
            _ => answer,
        }
    }
}
