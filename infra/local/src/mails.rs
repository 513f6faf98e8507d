//! The mails that the local AWS has sent: it keeps each, and delivers none.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use curfew_client::Api;
use form_urlencoded::byte_serialize;
use http::Method;
use serde::Deserialize;

use crate::record::Aws;

/// The path at which the local AWS shows its mails.
const PATH: &str = "/_ministack/ses/messages";

/// A mail.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Mail {
    /// The address that it came from.
    pub source: String,
    /// The addresses that it went to.
    pub to: Vec<String>,
    /// Its subject.
    pub subject: String,
    /// Its plain text.
    pub body_text: String,
    /// Its HTML, if it has any.
    pub body_html: Option<String>,
}

#[derive(Deserialize)]
struct Mails {
    /// By AWS account. The local AWS has one.
    messages: BTreeMap<String, Vec<Mail>>,
}

/// Returns the address at which the mails can be read.
#[must_use]
pub fn url(aws: &Aws) -> String {
    format!("{}{PATH}", aws.endpoint_url)
}

/// Lets the local AWS send from an address. The real one asks its owner first.
pub(crate) async fn verify(aws: &Aws, address: &str) -> Result<()> {
    let ses = aws_sdk_sesv2::Client::new(aws.clients().config());
    let created = ses.create_email_identity().email_identity(address).send();
    created
        .await
        .context("the local AWS did not verify the address of the mails")?;
    Ok(())
}

/// Returns every mail that was sent, the oldest first.
///
/// # Errors
/// When the local AWS does not answer.
pub async fn sent(aws: &Aws) -> Result<Vec<Mail>> {
    read(aws, PATH).await
}

/// Returns the mails that were sent to an address, the oldest first.
///
/// # Errors
/// When the local AWS does not answer.
pub async fn sent_to(aws: &Aws, address: &str) -> Result<Vec<Mail>> {
    let address: String = byte_serialize(address.as_bytes()).collect();
    read(aws, &format!("{PATH}?to={address}")).await
}

async fn read(aws: &Aws, path: &str) -> Result<Vec<Mail>> {
    let answer = Api::new(&aws.endpoint_url)?
        .call(Method::GET, path)
        .send()
        .await?;
    ensure!(
        answer.status == 200,
        "the local AWS answered {} to {path}",
        answer.status
    );
    let mails: Mails = serde_json::from_str(&answer.text())
        .with_context(|| format!("{path} is not what was expected"))?;
    Ok(mails.messages.into_values().flatten().collect())
}
