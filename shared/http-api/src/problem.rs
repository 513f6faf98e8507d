//! Problem documents (RFC 9457), one for each fault that a client can act on.

mod document;
mod texts;

use std::fmt;
use std::time::Duration;

use domain::password::{Rejection, UnknownPepper};
use domain::verification::{Methods, Proof, VERIFIED_FOR};
use domain::{ChallengeSecret, DeviceId, EndInfo, SignOutId};
use jiff::Timestamp;
use serde::Serialize;
use store::StoreError;
use zeroize::Zeroizing;

use crate::password_reason::PasswordReason;
use crate::views::SignedOutBy;

pub use self::document::ProblemDocument;

/// The types are URNs, so that they are the same in every deployment.
const TYPE_PREFIX: &str = "urn:curfew:problem:";
const REALM: &str = "Bearer realm=\"curfew\"";

/// Every problem that the API answers with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// No token was sent.
    TokenMissing,
    /// The token is malformed or unknown, or not the session's.
    TokenInvalid,
    /// The session was ended. Only a caller that holds its secret gets this answer.
    SessionSignedOut {
        /// The sign-out that the device acknowledges once it has wiped its data.
        sign_out: SignOutId,
        /// The time of the sign-out.
        at: Timestamp,
        /// The device that requested it; none when an operator or a recovery did.
        by: Option<SignedOutBy>,
        /// As in [`ProblemDocument::reason`].
        reason: &'static str,
        /// Whether the session ended itself. The document does not say it.
        by_itself: bool,
    },
    /// A verification replaced the token of a session that is valid. Nothing has to be
    /// forgotten: the client's storage may have the newer token.
    TokenSuperseded,
    /// The request needs a verification that is at most five minutes old.
    VerificationRequired {
        /// What the caller can verify with.
        methods: Methods,
        /// At a sign-in, the challenge of the pass whose code was mailed.
        challenge: Option<ShownChallenge>,
        /// The address of the team's own login, for the method `external`.
        external: Option<&'static str>,
    },
    /// The session reached its absolute or its idle limit.
    SessionExpired,
    /// The session's account is disabled. Only a caller that holds the session's secret
    /// gets this answer.
    AccountDisabled,
    /// The address and the password do not belong to one account.
    CredentialsInvalid,
    /// The current password is wrong, in a change of password.
    CurrentPasswordWrong,
    /// The code or the link of a mail is wrong, used, tried too often or too old.
    CodeInvalid,
    /// The address is still unconfirmed 30 days after the account was made, so a device that
    /// is not recognized needs a code to it, which was mailed. Only a caller with the right
    /// password gets this answer.
    AddressUnconfirmed {
        /// The challenge that the code works with.
        challenge: ShownChallenge,
    },
    /// The owner or the team wants a code to the address at sign-ins on a device that is not
    /// recognized. It was mailed. Only a caller with the right password gets this answer.
    CodeRequired {
        /// The challenge that the code works with.
        challenge: ShownChallenge,
    },
    /// The account has a factor, and the sign-in is on a device that is not recognized. Only a
    /// caller with the right password gets this answer.
    SecondStepRequired {
        /// The challenge that the factor's code works with.
        challenge: ShownChallenge,
        /// The key of the device that asked, if the request had none, or one that can't name a
        /// new device.
        device_key: Option<ShownChallenge>,
    },
    /// The account has a factor that counts, and a recovery needs it, too.
    FactorRequired,
    /// The account's authenticator apps were tried wrongly too often.
    FactorLocked,
    /// The account has as many factors as it may have.
    TooManyFactors,
    /// The account has no such factor.
    FactorNotFound,
    /// The deployment has no second factors.
    FactorsUnavailable,
    /// The address, which the caller has proven, has an account already.
    AddressTaken,
    /// The deployment sends no mail, or the account has no confirmed address.
    MailUnavailable,
    /// A change of the address has to wait: after a recovery or a warning, or because the
    /// mailbox before can still undo the last change.
    ChangeHeld {
        /// The time from which it is possible.
        until: Timestamp,
    },
    /// The route requires a caller with AWS credentials.
    CallerNotAllowed,
    /// The request did not come through the team's own distribution.
    DistributionRequired,
    /// The account has no such device.
    DeviceNotFound,
    /// The account has no such sign-out, or it did not end the caller's session.
    SignOutNotFound,
    /// No notice has this token any more.
    NoticeNotFound,
    /// The new password breaks these rules.
    PasswordRejected(Vec<PasswordReason>),
    /// One field, header or parameter is wrong.
    RequestInvalid {
        /// The field, header or parameter.
        field: String,
        /// The fault and the allowed values, as the rest of a sentence that begins
        /// with the field.
        detail: String,
    },
    /// The body is too large.
    RequestTooLarge {
        /// The most bytes that are allowed.
        max_bytes: usize,
    },
    /// No route has this path.
    NotFound,
    /// The path has routes, but none for this method.
    MethodNotAllowed {
        /// The allowed methods, comma-separated.
        allow: String,
    },
    /// The session has ended others too often in this hour.
    RateLimited {
        /// The seconds after which it may again.
        retry_after: i64,
    },
    /// Too many passwords were tried.
    TooManyAttempts {
        /// The seconds after which the next attempt is admitted.
        retry_after: i64,
    },
    /// A service that this needs failed or timed out. Retry.
    Unavailable,
}

/// The text of a challenge's secret, for the caller alone.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ShownChallenge(Zeroizing<String>);

impl fmt::Debug for ShownChallenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShownChallenge(…)")
    }
}

impl Problem {
    /// Creates the problem of one field that is wrong: `detail` goes on where the
    /// field's name ends ("must be …", "is missing").
    #[must_use]
    pub fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::RequestInvalid {
            field: field.into(),
            detail: detail.into(),
        }
    }

    /// Creates the problem of an unconfirmed address, to which a code was mailed.
    #[must_use]
    pub fn address_unconfirmed(secret: &ChallengeSecret) -> Self {
        Self::AddressUnconfirmed {
            challenge: ShownChallenge(secret.to_text()),
        }
    }

    /// Creates the problem of a sign-in that a mailed code has to complete.
    #[must_use]
    pub fn code_required(secret: &ChallengeSecret) -> Self {
        Self::CodeRequired {
            challenge: ShownChallenge(secret.to_text()),
        }
    }

    /// Creates the problem of a sign-in that a factor has to complete. `device_key` is the
    /// device's new key, if it has one.
    #[must_use]
    pub fn second_step_required(
        secret: &ChallengeSecret,
        device_key: Option<Zeroizing<String>>,
    ) -> Self {
        Self::SecondStepRequired {
            challenge: ShownChallenge(secret.to_text()),
            device_key: device_key.map(ShownChallenge),
        }
    }

    /// Creates the problem of a sign-in that signs others out by the password alone. The code of
    /// a pass was mailed.
    #[must_use]
    pub fn pass_required(secret: &ChallengeSecret) -> Self {
        Self::VerificationRequired {
            methods: &[&[Proof::Password, Proof::AddressCode]],
            challenge: Some(ShownChallenge(secret.to_text())),
            external: None,
        }
    }

    /// Creates the problem of a second step with `sign_out` by a factor that doesn't count as a
    /// verification. The device signs in first, and verifies its session.
    #[must_use]
    pub fn step_unproven(has_settled_factor: bool) -> Self {
        Self::VerificationRequired {
            methods: if has_settled_factor {
                &[&[Proof::Factor], &[Proof::RecoveryCode]]
            } else {
                &[&[Proof::Password, Proof::AddressCode]]
            },
            challenge: None,
            external: None,
        }
    }

    /// Creates the problem of a sign-in that signs others out without a proof of the team's own
    /// login, whose address this is.
    #[must_use]
    pub fn external_required(address: &'static str) -> Self {
        Self::VerificationRequired {
            methods: &[&[Proof::External]],
            challenge: None,
            external: Some(address),
        }
    }

    /// Creates the problem of a device's session that was ended.
    #[must_use]
    pub fn signed_out(ended: &EndInfo, device: DeviceId) -> Self {
        Self::SessionSignedOut {
            sign_out: ended.sign_out,
            at: ended.at,
            by: ended.by.as_ref().map(SignedOutBy::from),
            reason: ended.reason.as_str(),
            by_itself: ended.is_by_itself(device),
        }
    }

    /// Creates the problem of too many passwords. The next attempt is admitted after `wait`.
    #[must_use]
    pub fn too_many_attempts(wait: Duration) -> Self {
        let seconds = i64::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(i64::MAX);
        Self::TooManyAttempts {
            retry_after: seconds.max(1),
        }
    }

    /// Creates the problem of a new password that breaks rules.
    #[must_use]
    pub fn password_rejected(rejections: Vec<Rejection>) -> Self {
        Self::PasswordRejected(rejections.into_iter().map(PasswordReason::from).collect())
    }

    /// Returns the name that the type ends in.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::TokenMissing => "token-missing",
            Self::TokenInvalid => "token-invalid",
            Self::SessionSignedOut { .. } => "session-signed-out",
            Self::SessionExpired => "session-expired",
            Self::TokenSuperseded => "token-superseded",
            Self::VerificationRequired { .. } => "verification-required",
            Self::AccountDisabled => "account-disabled",
            Self::CredentialsInvalid | Self::CurrentPasswordWrong => "credentials-invalid",
            Self::CodeInvalid => "code-invalid",
            Self::AddressUnconfirmed { .. } => "address-unconfirmed",
            Self::CodeRequired { .. } => "code-required",
            Self::SecondStepRequired { .. } => "second-step-required",
            Self::FactorRequired => "factor-required",
            Self::FactorLocked => "factor-locked",
            Self::TooManyFactors => "too-many-factors",
            Self::FactorNotFound => "factor-not-found",
            Self::FactorsUnavailable => "factors-unavailable",
            Self::AddressTaken => "address-taken",
            Self::MailUnavailable => "mail-unavailable",
            Self::ChangeHeld { .. } => "change-held",
            Self::CallerNotAllowed => "caller-not-allowed",
            Self::DistributionRequired => "distribution-required",
            Self::DeviceNotFound => "device-not-found",
            Self::SignOutNotFound => "sign-out-not-found",
            Self::NoticeNotFound => "notice-not-found",
            Self::PasswordRejected(_) => "password-rejected",
            Self::RequestInvalid { .. } => "request-invalid",
            Self::RequestTooLarge { .. } => "request-too-large",
            Self::NotFound => "not-found",
            Self::MethodNotAllowed { .. } => "method-not-allowed",
            Self::RateLimited { .. } => "rate-limited",
            Self::TooManyAttempts { .. } => "too-many-attempts",
            Self::Unavailable => "unavailable",
        }
    }

    /// Returns the status of the answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::RequestInvalid { .. } => 400,
            Self::TokenMissing
            | Self::TokenInvalid
            | Self::SessionSignedOut { .. }
            | Self::SessionExpired
            | Self::TokenSuperseded
            | Self::VerificationRequired { .. }
            | Self::AccountDisabled
            | Self::CredentialsInvalid => 401,
            Self::CurrentPasswordWrong
            | Self::CodeInvalid
            | Self::AddressUnconfirmed { .. }
            | Self::CodeRequired { .. }
            | Self::SecondStepRequired { .. }
            | Self::FactorRequired
            | Self::FactorLocked
            | Self::CallerNotAllowed
            | Self::DistributionRequired => 403,
            Self::DeviceNotFound
            | Self::SignOutNotFound
            | Self::NoticeNotFound
            | Self::FactorNotFound
            | Self::NotFound => 404,
            Self::MethodNotAllowed { .. } => 405,
            Self::AddressTaken
            | Self::MailUnavailable
            | Self::ChangeHeld { .. }
            | Self::TooManyFactors
            | Self::FactorsUnavailable => 409,
            Self::RequestTooLarge { .. } => 413,
            Self::PasswordRejected(_) => 422,
            Self::RateLimited { .. } | Self::TooManyAttempts { .. } => 429,
            Self::Unavailable => 503,
        }
    }

    /// Returns the challenge that every 401 carries (RFC 6750, section 3).
    pub(crate) fn challenge(&self) -> Option<String> {
        if self.status() != 401 {
            return None;
        }
        if let Self::VerificationRequired { .. } = self {
            // RFC 9470, section 3.
            let max_age = VERIFIED_FOR.as_secs();
            return Some(format!(
                "{REALM}, error=\"insufficient_user_authentication\", \
                 error_description=\"verification-required\", max_age=\"{max_age}\""
            ));
        }
        Some(if self.is_about_token() {
            let name = self.name();
            format!("{REALM}, error=\"invalid_token\", error_description=\"{name}\"")
        } else {
            REALM.to_owned()
        })
    }

    /// Returns whether a token was sent and is no longer, or never was, valid.
    fn is_about_token(&self) -> bool {
        matches!(
            self,
            Self::TokenInvalid
                | Self::SessionSignedOut { .. }
                | Self::SessionExpired
                | Self::TokenSuperseded
                | Self::AccountDisabled
        )
    }
}

/// Logs the cause, which the client does not learn.
impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(cause = error.chain(), "DynamoDB request failed");
        Self::Unavailable
    }
}

/// The hasher has logged it.
impl From<UnknownPepper> for Problem {
    fn from(_: UnknownPepper) -> Self {
        Self::Unavailable
    }
}
