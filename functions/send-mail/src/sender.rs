//! SES.

use aws_sdk_sesv2::error::{BuildError, ProvideErrorMetadata as _};
use aws_sdk_sesv2::types::{
    Body, Content, Destination, EmailContent, Message, MessageHeader, MessageTag,
};
use aws_sdk_sesv2::{Client, Config};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{Addressee, Rendered};

/// The tags by which `mark-returned-mails` finds the notice of a mail.
const TAGS: [&str; 2] = ["account", "notice"];

/// The configuration sets, by which SES counts what comes back.
#[derive(Debug, Clone)]
pub struct ConfigurationSets {
    /// For addresses that a person typed.
    pub unproven: String,
    /// For the addresses of accounts.
    pub proven: String,
}

/// Sends mails from one address.
#[derive(Debug, Clone)]
pub struct Sender {
    client: Client,
    from: String,
    sets: ConfigurationSets,
}

impl Sender {
    /// Takes the client's configuration, the address and the name of the sender, and the configuration
    /// sets; does no I/O.
    #[must_use]
    pub fn new(
        config: impl Into<Config>,
        address: &str,
        name: &str,
        sets: ConfigurationSets,
    ) -> Self {
        let client = Client::from_conf(config.into());
        let from = from(address, name);
        Self { client, from, sets }
    }

    /// Sends a mail. It can arrive twice, when an answer is lost.
    ///
    /// # Errors
    /// [`SendError`], when the mail may not have been sent.
    pub async fn send(&self, to: &Addressee, mail: &Rendered) -> Result<(), SendError> {
        let set = if to.is_proven {
            &self.sets.proven
        } else {
            &self.sets.unproven
        };
        // No vacation answers (RFC 3834, section 5).
        let automatic = MessageHeader::builder()
            .name("Auto-Submitted")
            .value("auto-generated");
        let body = Body::builder()
            .text(utf8(&mail.text)?)
            .html(utf8(&mail.html)?);
        let message = Message::builder()
            .subject(utf8(&mail.subject)?)
            .body(body.build())
            .headers(automatic.build()?);
        let tags = to.notice.iter().flat_map(|ids| TAGS.iter().zip(ids));
        let tags = tags.map(|(name, id)| MessageTag::builder().name(*name).value(id).build());
        let tags: Vec<MessageTag> = tags.collect::<Result<_, _>>()?;
        let to = Destination::builder().to_addresses(to.email.as_normal());
        let content = EmailContent::builder().simple(message.build());
        self.client
            .send_email()
            .from_email_address(&self.from)
            .destination(to.build())
            .content(content.build())
            .configuration_set_name(set)
            .set_email_tags((!tags.is_empty()).then_some(tags))
            .send()
            .await
            .map_err(|error| SendError::of(error.code()))?;
        Ok(())
    }
}

/// The reason why SES did not take a mail. It has SES's code alone: its sentences repeat the
/// address, which belongs in no log.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No mail can be sent to this address, or not in this form.
    #[error("SES can't send this mail ({0})")]
    Refused(String),
    /// Mails of this configuration set are paused.
    #[error("SES has paused these mails")]
    Paused,
    /// Another attempt may succeed.
    #[error("SES did not take the mail ({0})")]
    Failed(String),
    /// The mail could not be built.
    #[error("the mail is incomplete")]
    Incomplete(#[from] BuildError),
}

impl SendError {
    fn of(code: Option<&str>) -> Self {
        match code {
            Some("BadRequestException") => Self::Refused("BadRequestException".to_owned()),
            Some("SendingPausedException") => Self::Paused,
            code => Self::Failed(code.unwrap_or("no answer").to_owned()),
        }
    }
}

/// Returns the sender with its name, as an encoded word (RFC 2047, section 2), in which
/// no character can end the name. One has at most 75 characters: a longer name is left out.
fn from(address: &str, name: &str) -> String {
    let word = format!("=?UTF-8?B?{}?=", STANDARD.encode(name));
    if word.len() > 75 {
        return address.to_owned();
    }
    format!("{word} <{address}>")
}

fn utf8(text: &str) -> Result<Content, BuildError> {
    Content::builder().data(text).charset("UTF-8").build()
}
