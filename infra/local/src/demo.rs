//! The demo account, registered through the API like any other.

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use curfew_client::Api;
use http::Method;
use serde_json::json;

use crate::record::Demo;

/// The same address at each start.
const EMAIL: &str = "demo@example.com";

/// Registers the account, with a new password at each start.
///
/// # Errors
/// When the API rejects it.
pub async fn register(api_url: &str) -> Result<Demo> {
    let demo = Demo {
        email: EMAIL.into(),
        password: password()?,
    };
    let body = json!({ "email": demo.email, "password": demo.password });
    let call = Api::new(api_url)?.call(Method::POST, "/v1/accounts");
    let answer = call.json(&body).send().await?;
    if answer.status != 202 {
        bail!(
            "could not register the demo account: {} {}",
            answer.status,
            answer.text()
        );
    }
    Ok(demo)
}

/// Returns a password of 20 characters: 120 random bits.
#[expect(
    clippy::disallowed_methods,
    reason = "nothing else in this crate needs a secret"
)]
fn password() -> Result<String> {
    let mut bytes = [0; 15];
    getrandom::fill(&mut bytes).context("the operating system has no randomness")?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
