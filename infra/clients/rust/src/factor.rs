//! Factors: an authenticator app and recovery codes, and the second step of a sign-in.

use serde_json::{Value, json};

use crate::{Client, Error, Secret, Session};

/// What a person shows of their factors.
#[derive(Clone, Debug)]
pub enum Factor {
    /// The code of an authenticator app.
    Totp(Secret),
    /// A recovery code, which works once.
    RecoveryCode(Secret),
}

/// The second step of a sign-in that was refused with `second-step-required`.
#[derive(Clone, Debug)]
pub struct SecondStep {
    /// The challenge of the refusal. It can be tried five times, for ten minutes.
    pub challenge: Secret,
    /// The factor.
    pub factor: Factor,
    /// Whether this device is recognized from now on: for 90 days, no sign-in on it needs a
    /// second step.
    pub remember: bool,
}

impl Factor {
    /// Takes a code as a person types it: six digits are an app's, anything else is a recovery
    /// code.
    #[must_use]
    pub fn typed(code: &str) -> Self {
        let letters = || code.chars().filter(|letter| !" -".contains(*letter));
        let is_totp = letters().count() == 6 && letters().all(|letter| letter.is_ascii_digit());
        if is_totp {
            Self::Totp(Secret::new(code))
        } else {
            Self::RecoveryCode(Secret::new(code))
        }
    }

    /// Adds the factor to the body of a request.
    pub(crate) fn add_to(&self, body: &mut Value) {
        match self {
            Self::Totp(code) => body["totp"] = code.reveal().into(),
            Self::RecoveryCode(code) => body["recovery_code"] = code.reveal().into(),
        }
    }
}

impl SecondStep {
    pub(crate) fn to_json(&self) -> Value {
        let Self {
            challenge,
            factor,
            remember,
        } = self;
        let mut body = json!({ "challenge": challenge.reveal(), "remember": remember });
        factor.add_to(&mut body);
        body
    }
}

impl Client {
    /// Completes a sign-in that was refused with `second-step-required`, with the device key
    /// that it had.
    ///
    /// # Errors
    /// As [`sign_in`](Self::sign_in). `code-invalid`: the code is wrong, or the challenge is
    /// over.
    pub async fn complete_sign_in(
        &mut self,
        email: &str,
        step: &SecondStep,
    ) -> Result<Session, Error> {
        let key = self.stored_key(email)?;
        let answer = {
            let settings = &self.settings;
            let device = &settings.device;
            let completing = settings.api.complete_sign_in(step, device, key.as_ref());
            completing.await?
        };
        self.begin_answered(&answer).await
    }

    /// Asks as [`Api::report_lost`](crate::Api::report_lost), with the account's device key.
    ///
    /// # Errors
    /// As [`Api::report_lost`](crate::Api::report_lost), and when the storage fails.
    pub async fn report_lost(&self, email: &str, challenge: &Secret) -> Result<Secret, Error> {
        let key = self.stored_key(email)?;
        let api = &self.settings.api;
        api.report_lost(challenge, key.as_ref()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_digits_are_an_apps_code_and_anything_else_is_a_recovery_code() {
        for code in ["287082", "287 082", "287-082"] {
            assert!(matches!(Factor::typed(code), Factor::Totp(_)), "{code}");
        }
        for code in ["7K2M-9QXR-4TVB-H0CD-8WNE-31FG", "2870821", "28708", ""] {
            let factor = Factor::typed(code);
            assert!(matches!(factor, Factor::RecoveryCode(_)), "{code}");
        }
    }
}
