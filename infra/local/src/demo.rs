//! The demo household, made through the API like any other.

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Client, StatusCode};
use serde_json::json;

use crate::stack::Demo;

/// The address is always the same, so that a newcomer finds it again.
const EMAIL: &str = "demo@example.com";

/// Registers the household with a password of its own for each start.
///
/// # Errors
/// When the API does not take it.
pub async fn register(api_url: &str) -> Result<Demo> {
    let demo = Demo {
        email: EMAIL.into(),
        password: password()?,
    };
    // No proxy of the user's can reach an address of this machine.
    let answer = Client::builder()
        .no_proxy()
        .build()?
        .post(format!("{api_url}/v1/accounts"))
        .json(&json!({ "email": demo.email, "password": demo.password }))
        .send()
        .await
        .context("the API does not answer")?;
    let status = answer.status();
    if status != StatusCode::ACCEPTED {
        let text = answer.text().await.unwrap_or_default();
        bail!("registering the demo household was answered by {status}: {text}");
    }
    Ok(demo)
}

/// 20 characters, 120 random bits.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place here that needs a secret"
)]
fn password() -> Result<String> {
    let mut bytes = [0; 15];
    getrandom::fill(&mut bytes).context("the operating system has no randomness")?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
