//! Signing out: one device, this one, the others or all, and with a change of the password.

use http::Method;
use serde_json::json;

use crate::session_task::Control;
use crate::{Answer, Client, EndReason, Error, Secret};

impl Client {
    /// Signs out one device of the account. Returns the sign-out's id. A recognized device
    /// may do so three times a day without a verification, by its device key.
    ///
    /// # Errors
    /// As [`sign_out`](Self::sign_out).
    pub async fn sign_out_device(&self, device: &str) -> Result<String, Error> {
        let key = self.stored_key(&self.signed_in()?.email)?;
        let body = key.map(|key| json!({ "device_key": key.reveal() }));
        let path = format!("/v1/devices/{device}/sign-out");
        let answer = self.call(Method::POST, &path, body.as_ref()).await?;
        let applied = self.apply_sign_out(&answer, "signed_out");
        applied.ok_or_else(|| Error::from(&answer))
    }

    /// Signs out by scope: `local` (this device), `others` or `global`. Returns
    /// the sign-out's id.
    ///
    /// # Errors
    /// When the sign-out is not known to have happened. `verification-required`, with its
    /// methods: [`verify`](Self::verify), and repeat the call.
    pub async fn sign_out(&self, scope: &str) -> Result<String, Error> {
        let (path, body) = match scope {
            "local" => ("/v1/sign-out", None),
            _ => ("/v1/sign-out-all", Some(json!({ "scope": scope }))),
        };
        let answer = self.call(Method::POST, path, body.as_ref()).await?;
        let applied = self.apply_sign_out(&answer, "signed_out");
        applied.ok_or_else(|| Error::from(&answer))
    }

    /// Changes the password, and signs out every session, or every other one.
    /// Returns the sign-out's id.
    ///
    /// # Errors
    /// When the change is not known to have happened.
    pub async fn change_password(
        &self,
        current: &Secret,
        new: &Secret,
        keep_current: bool,
    ) -> Result<String, Error> {
        let body = json!({
            "current_password": current.reveal(),
            "new_password": new.reveal(),
            "keep_current": keep_current,
        });
        let answer = self.call(Method::PUT, "/v1/password", Some(&body)).await?;
        let applied = self.apply_sign_out(&answer, "password_changed");
        applied.ok_or_else(|| Error::from(&answer))
    }

    /// Applies the answer to a sign-out that this device made by [`call`](Self::call):
    /// ends the session if the scope includes it. Returns the sign-out's id, or
    /// none if the answer is something else.
    #[must_use]
    pub fn apply_sign_out(&self, answer: &Answer, reason: &str) -> Option<String> {
        let (scope, sign_out) = answer.sign_out(reason)?;
        let id = sign_out.sign_out.clone();
        if ["local", "global"].contains(&scope) {
            self.control(Control::Ended(EndReason::SignedOut(sign_out)));
        }
        id
    }
}
