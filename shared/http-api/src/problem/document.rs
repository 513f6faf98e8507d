//! The document of a problem (RFC 9457).

use domain::Rfc3339;
use domain::verification::{Methods, Proof, VERIFIED_FOR};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Problem, ShownChallenge, TYPE_PREFIX};
use crate::password_reason::PasswordReason;
use crate::views::SignedOutBy;

/// A problem document (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument {
    /// `urn:curfew:problem:` and the problem's name.
    #[serde(rename = "type")]
    #[schema(example = "urn:curfew:problem:session-signed-out")]
    pub kind: String,
    /// A sentence that is the same for every problem of this type.
    pub title: &'static str,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// The fault of this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// `request-invalid`: the field, header or parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// `password-rejected`: every reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasons: Option<Vec<PasswordReason>>,
    /// `session-signed-out`: the sign-out that ended the session. The device wipes
    /// what it stored for the account, acknowledges this sign-out, and shows the
    /// sign-in screen.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Uuid)]
    pub sign_out: Option<String>,
    /// `session-signed-out`: the time of the sign-out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub signed_out_at: Option<Rfc3339>,
    /// `session-signed-out`: the device that requested it; `null` when an operator, a
    /// recovery, an undone change of the address or wrong passwords did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<SignedOutBy>)]
    pub signed_out_by: Option<Option<SignedOutBy>>,
    /// `session-signed-out`: the reason: `signed_out`, `password_changed`,
    /// `account_disabled`, `recovered`, `address_restored` or `wrong_password`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub reason: Option<&'static str>,
    /// `verification-required`: what the caller can verify with. Each list names all that
    /// it takes: `password`, `code`, `totp`, `recovery_code`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub methods: Option<Vec<Vec<&'static str>>>,
    /// `verification-required`: the most seconds since the verification.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 300)]
    pub max_age: Option<i64>,
    /// `verification-required` with the method `external`: the address of the page where the
    /// person proves who they are. Add the query parameters `session`, the session's id, and
    /// `return_to`, an address of your app.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "uri", example = "https://login.example.com/verify")]
    pub verify_at: Option<&'static str>,
    /// `change-held`: the time from which the address can be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub held_until: Option<Rfc3339>,
    /// `address-unconfirmed`, `code-required`, and `verification-required` at a sign-in: the
    /// challenge of the pass whose code was mailed. `second-step-required`: the challenge that a factor answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^cfc_[A-Za-z0-9_-]{49}$")]
    pub challenge: Option<ShownChallenge>,
    /// `second-step-required`: the device's key, if the request had none. The second step needs
    /// it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^cfd_[0-9]{13}_[A-Za-z0-9_-]{43}$")]
    pub device_key: Option<ShownChallenge>,
}

impl ProblemDocument {
    /// Creates the document with the members that every problem has.
    fn new(problem: &Problem) -> Self {
        Self {
            kind: format!("{TYPE_PREFIX}{}", problem.name()),
            title: problem.title(),
            status: problem.status(),
            detail: problem.detail(),
            field: None,
            reasons: None,
            sign_out: None,
            signed_out_at: None,
            signed_out_by: None,
            reason: None,
            methods: None,
            max_age: None,
            verify_at: None,
            held_until: None,
            challenge: None,
            device_key: None,
        }
    }
}

impl Problem {
    /// Returns the document.
    #[must_use]
    pub fn document(&self) -> ProblemDocument {
        let mut document = ProblemDocument::new(self);
        if let Self::RequestInvalid { field, .. } = self {
            document.field = Some(field.clone());
        } else if let Self::PasswordRejected(reasons) = self {
            document.reasons = Some(reasons.clone());
        } else if let Self::ChangeHeld { until } = self {
            document.held_until = Some((*until).into());
        } else if let Self::AddressUnconfirmed { challenge } | Self::CodeRequired { challenge } =
            self
        {
            document.challenge = Some(challenge.clone());
        } else if let Self::SecondStepRequired {
            challenge,
            device_key,
        } = self
        {
            document.challenge = Some(challenge.clone());
            document.device_key.clone_from(device_key);
        } else if let Self::VerificationRequired {
            methods,
            challenge,
            external,
        } = self
        {
            document.verify_at = *external;
            document.methods = Some(names_of(methods));
            document.max_age = Some(VERIFIED_FOR.as_secs());
            document.challenge.clone_from(challenge);
        } else if let Self::SessionSignedOut {
            sign_out,
            at,
            by,
            reason,
            by_itself: _,
        } = self
        {
            document.sign_out = Some(sign_out.to_string());
            document.signed_out_at = Some((*at).into());
            document.signed_out_by = Some(by.clone());
            document.reason = Some(reason);
        }
        document
    }
}

fn names_of(methods: Methods) -> Vec<Vec<&'static str>> {
    let names = |method: &&[Proof]| method.iter().map(|proof| proof.as_str()).collect();
    methods.iter().map(names).collect()
}
