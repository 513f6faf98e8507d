//! An authenticator app for a test: computes the codes of a secret.

use runtime::Clock;
use serde_json::json;
use totp_rs::{Builder, Secret, Totp};

use crate::client::{Device, remember};

/// The seconds of a time step.
const STEP_SECONDS: u64 = 30;

/// An authenticator app with one secret.
#[derive(Debug)]
pub struct Authenticator {
    totp: Totp,
    /// The time step of the next code: none is accepted twice.
    next: u64,
}

impl Authenticator {
    /// Takes the secret that was shown, with or without blanks.
    ///
    /// # Panics
    /// When it is no secret.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        let secret = secret.replace(' ', "");
        remember(&[&secret]);
        let secret = Secret::try_from_base32(&secret).expect("a secret");
        let totp = Builder::new().with_secret(secret).build();
        Self {
            totp: totp.expect("a secret"),
            next: 0,
        }
    }

    /// Adds an app to the account of a device.
    ///
    /// # Panics
    /// When the API refuses.
    pub async fn add(device: &Device) -> Self {
        let call = device.call("POST", "/v1/factors");
        let begun = call.json(&json!({ "name": "Lea's phone" })).send().await;
        let begun = begun.done(201);
        let text = |name: &str| begun[name].as_str().expect("a text").to_owned();
        let mut app = Self::new(&text("secret"));
        let path = format!("/v1/factors/{}/confirmation", text("id"));
        let code = json!({ "totp": app.code() });
        let _ = device
            .call("POST", &path)
            .json(&code)
            .send()
            .await
            .done(200);
        app
    }

    /// Returns a code that has not been used. The API accepts the current one and the next one,
    /// so two can be used at once.
    ///
    /// # Panics
    /// Before 1970.
    pub fn code(&mut self) -> String {
        let now = Clock::System.now().as_second();
        let now = u64::try_from(now).expect("after 1970") / STEP_SECONDS;
        let step = self.next.max(now);
        self.next = step + 1;
        self.totp.generate(step * STEP_SECONDS).to_string()
    }
}

/// Makes recovery codes for the account of a device.
///
/// # Panics
/// When the API refuses.
pub async fn recovery_codes(device: &Device) -> Vec<String> {
    let mut made = device.post("/v1/recovery-codes").await.done(201);
    let codes: Vec<String> = serde_json::from_value(made["codes"].take()).expect("codes");
    for code in &codes {
        remember(&[code]);
    }
    codes
}
