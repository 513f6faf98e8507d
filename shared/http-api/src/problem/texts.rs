//! What a problem says to a person: its title, and the detail of this request.

use domain::Rfc3339;

use super::Problem;

impl Problem {
    pub(super) fn title(&self) -> &'static str {
        match self {
            Self::TokenMissing => "A token is required.",
            Self::TokenInvalid => "The token is not valid.",
            Self::SessionSignedOut { .. } => "You were signed out of this device.",
            Self::SessionExpired => "The session has expired.",
            Self::TokenSuperseded => "The token was replaced.",
            Self::VerificationRequired { .. } => "Confirm that it is you.",
            Self::AccountDisabled => "The account is disabled.",
            Self::CredentialsInvalid | Self::CurrentPasswordWrong => {
                "The credentials are not valid."
            }
            Self::CodeInvalid => "The code is not valid.",
            Self::AddressUnconfirmed { .. } => "The address is not confirmed.",
            Self::CodeRequired { .. } => "A code by mail is required.",
            Self::SecondStepRequired { .. } => "A second step is required.",
            Self::FactorRequired => "A second factor is required.",
            Self::FactorLocked => "The authenticator apps are locked.",
            Self::TooManyFactors => "The account has enough factors.",
            Self::FactorNotFound => "Factor not found.",
            Self::FactorsUnavailable => "Second steps are not available.",
            Self::AddressTaken => "The address has an account.",
            Self::MailUnavailable => "No mail can be sent.",
            Self::ChangeHeld { .. } => "The address can't be changed yet.",
            Self::CallerNotAllowed => "The caller is not allowed.",
            Self::DistributionRequired => "This is not the API's public address.",
            Self::DeviceNotFound => "Device not found.",
            Self::SignOutNotFound => "Sign-out not found.",
            Self::NoticeNotFound => "The link does not work.",
            Self::PasswordRejected(_) => "The new password was rejected.",
            Self::RequestInvalid { .. } => "The request is not valid.",
            Self::RequestTooLarge { .. } => "The request is too large.",
            Self::NotFound => "Not found.",
            Self::MethodNotAllowed { .. } => "Method not allowed.",
            Self::RateLimited { .. } => "Too many sign-outs.",
            Self::TooManyAttempts { .. } => "Too many attempts.",
            Self::Unavailable => "The service is not available.",
        }
    }

    pub(super) fn detail(&self) -> Option<String> {
        let detail = match self {
            Self::TokenMissing => {
                "Send the token as `Authorization: Bearer …` or in the session cookie."
            }
            Self::TokenInvalid => "It is malformed or belongs to no session.",
            Self::SessionSignedOut { .. } => "Sign in to use this device again.",
            Self::SessionExpired => "Sign in again.",
            Self::TokenSuperseded => {
                "Use the token that the last verification gave to this session."
            }
            Self::VerificationRequired {
                external: Some(_), ..
            } => {
                "Confirm at `verify_at` who you are, verify with what it returns (`POST /v1/verifications`), and send this again."
            }
            Self::VerificationRequired {
                challenge: None, ..
            } => {
                "Verify with one of the methods (`POST /v1/verifications`), and send this again. At a second step, complete it without `sign_out` first."
            }
            Self::AccountDisabled => "Its sessions are not accepted.",
            Self::CredentialsInvalid => "The e-mail address or the password is wrong.",
            Self::CurrentPasswordWrong => "The current password is wrong.",
            Self::CodeInvalid => {
                "It is wrong, too old, used or was tried too often. Ask for another one."
            }
            Self::AddressUnconfirmed { .. }
            | Self::CodeRequired { .. }
            | Self::VerificationRequired {
                challenge: Some(_), ..
            } => "Sign in with a pass: this challenge, and the code in the mail that was sent.",
            Self::SecondStepRequired { .. } => {
                "Send this challenge with a code of your authenticator app or a recovery code (`POST /v1/second-steps`)."
            }
            Self::FactorRequired => {
                "Send the same with a code of your authenticator app (`totp`) or a recovery code (`recovery_code`)."
            }
            Self::FactorLocked => {
                "Too many wrong codes were tried. Use a recovery code, or a device that is recognized."
            }
            Self::TooManyFactors => "Remove one before you add another.",
            Self::FactorsUnavailable => "This deployment has none (`SecondFactors`).",
            Self::AddressTaken => "Sign in, or recover the account with another code.",
            Self::MailUnavailable => {
                "This deployment sends none (`MailFrom`), or the account's address is not confirmed."
            }
            Self::ChangeHeld { until } => {
                return Some(format!(
                    "It can be changed from {} on: 72 hours after a recovery, seven days after the last change.",
                    Rfc3339::from(*until)
                ));
            }
            Self::CallerNotAllowed => {
                "Sign the request with AWS credentials (Signature Version 4, service `execute-api`)."
            }
            Self::DistributionRequired => {
                "The API accepts requests through its distribution (CloudFront) only."
            }
            Self::RequestInvalid { field, detail } => return Some(format!("`{field}` {detail}.")),
            Self::RequestTooLarge { max_bytes } => {
                return Some(format!("The body must be at most {max_bytes} bytes."));
            }
            Self::MethodNotAllowed { allow } => {
                return Some(format!("The allowed methods are {allow}."));
            }
            Self::RateLimited { retry_after } => {
                return Some(format!(
                    "This session has signed others out too often. Wait {retry_after} seconds, or sign all devices out."
                ));
            }
            Self::NoticeNotFound => "It was used, is older than seven days, or is not complete.",
            Self::TooManyAttempts { retry_after } => return Some(too_many_attempts(*retry_after)),
            Self::Unavailable => "The request may not have taken effect. Try again soon.",
            Self::DeviceNotFound
            | Self::SignOutNotFound
            | Self::FactorNotFound
            | Self::PasswordRejected(_)
            | Self::NotFound => return None,
        };
        Some(detail.to_owned())
    }
}

/// Returns the text for a person, with the time rounded up to minutes.
fn too_many_attempts(retry_after: i64) -> String {
    let wait = match (retry_after + 59) / 60 {
        ..=1 => "a minute".to_owned(),
        minutes => format!("{minutes} minutes"),
    };
    format!("Wait {wait} and try again.")
}
