//! Codes in mails: a forgotten password, a pass for a sign-in, and a lost authenticator app.
//!
//! Asking answers the same whether or not the address has an account. The code in the mail
//! works only with the challenge that the caller received.

use http::Method;
use serde_json::{Value, json};

use crate::{Api, Error, Factor, Secret};

/// A challenge, and the code in its mail.
#[derive(Clone, Debug)]
pub struct Proof {
    /// What asking has returned.
    pub challenge: Secret,
    /// The code as the person types it.
    pub code: String,
}

impl Proof {
    pub(crate) fn to_json(&self) -> Value {
        json!({ "challenge": self.challenge.reveal(), "code": self.code })
    }
}

impl Api {
    /// Asks for a mail with a code for [`reset_password`](Self::reset_password). Returns its
    /// challenge. What others have used up is not counted for the key of a recognized device.
    ///
    /// # Errors
    /// When the API refuses or can't be reached.
    pub async fn request_password_reset(
        &self,
        email: &str,
        key: Option<&Secret>,
    ) -> Result<Secret, Error> {
        let body = json!({ "email": email });
        self.request_code("/v1/password-resets", body, key).await
    }

    /// Asks for a mail with a pass, with which a sign-in is not subject to the limits that
    /// others have used up. Returns its challenge.
    ///
    /// # Errors
    /// As [`request_password_reset`](Self::request_password_reset).
    pub async fn request_pass(&self, email: &str, key: Option<&Secret>) -> Result<Secret, Error> {
        let body = json!({ "email": email });
        self.request_code("/v1/passes", body, key).await
    }

    /// Sets a new password, and signs out every device of the account.
    ///
    /// # Errors
    /// When the API refuses or can't be reached. `factor-required`: send the same with a factor.
    pub async fn reset_password(
        &self,
        proof: &Proof,
        password: &Secret,
        factor: Option<&Factor>,
    ) -> Result<(), Error> {
        let mut body = proof.to_json();
        body["password"] = password.reveal().into();
        if let Some(factor) = factor {
            factor.add_to(&mut body);
        }
        let path = "/v1/password-resets/confirmations";
        let answer = self.call(Method::POST, path).json(&body).send().await?;
        if answer.status == 200 {
            Ok(())
        } else {
            Err(Error::from(&answer))
        }
    }

    /// Asks for a mail with a code for [`confirm_lost`](Self::confirm_lost), by the challenge of a
    /// sign-in that was refused with `second-step-required`, and its device key. Returns the
    /// challenge of the code.
    ///
    /// # Errors
    /// When the API refuses or can't be reached.
    pub async fn report_lost(
        &self,
        challenge: &Secret,
        key: Option<&Secret>,
    ) -> Result<Secret, Error> {
        let body = json!({ "challenge": challenge.reveal() });
        self.request_code("/v1/lost-factors", body, key).await
    }

    /// Has the authenticator apps removed that the owner has lost. Returns the time when they go.
    ///
    /// # Errors
    /// When the API refuses or can't be reached.
    pub async fn confirm_lost(&self, proof: &Proof) -> Result<String, Error> {
        let path = "/v1/lost-factors/confirmations";
        let call = self.call(Method::POST, path).json(&proof.to_json());
        let answer = call.send().await?;
        match answer.member("/due_at") {
            Some(due_at) if answer.status == 202 => Ok(due_at.to_owned()),
            _ => Err(Error::from(&answer)),
        }
    }

    async fn request_code(
        &self,
        path: &str,
        mut body: Value,
        key: Option<&Secret>,
    ) -> Result<Secret, Error> {
        if let Some(key) = key {
            body["device_key"] = key.reveal().into();
        }
        let answer = self.call(Method::POST, path).json(&body).send().await?;
        match answer.member("/challenge") {
            Some(challenge) if answer.status == 202 => Ok(Secret::new(challenge)),
            _ => Err(Error::from(&answer)),
        }
    }
}
