//! Marks a notice whose mail came back, so that the page shows it to the owner. SES reports it
//! through an `EventBridge` rule.
//!
//! SES's event names the address. It is neither read nor logged: the tags of the mail name the
//! notice.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

use domain::ids::InvalidId;
use runtime::Clock;
use serde::Deserialize;
use store::{Store, StoreError, WriteOutcome};

/// Writes notices.
#[derive(Debug)]
pub struct Deps {
    pub store: Store,
    pub clock: Clock,
}

/// An event of SES about a bounce, as `EventBridge` delivers it.
#[derive(Debug, Deserialize)]
pub struct BounceEvent {
    detail: Detail,
}

#[derive(Debug, Deserialize)]
struct Detail {
    mail: SentMail,
}

#[derive(Debug, Deserialize)]
struct SentMail {
    #[serde(default)]
    tags: Tags,
}

/// The tags that `send-mail` gives a notice. Mails with codes have none.
#[derive(Debug, Default, Deserialize)]
struct Tags {
    account: Option<[String; 1]>,
    notice: Option<[String; 1]>,
}

/// Errors of this handler. Lambda calls it again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the mail has an invalid tag")]
    InvalidTag(#[from] InvalidId),
    #[error("DynamoDB request failed")]
    Store(#[from] StoreError),
}

/// Marks the notice whose mail came back. A replay changes nothing.
///
/// # Errors
/// [`Error`].
pub async fn handle(deps: &Deps, event: BounceEvent) -> Result<(), Error> {
    let marked = mark(deps, &event.detail.mail.tags).await;
    if let Err(error) = &marked {
        tracing::error!(cause = errors::chain(error), "returned mail not marked");
    }
    marked
}

async fn mark(deps: &Deps, tags: &Tags) -> Result<(), Error> {
    let (Some([account]), Some([notice])) = (&tags.account, &tags.notice) else {
        tracing::info!(outcome = "no-notice", "mail returned");
        return Ok(());
    };
    let (account, notice) = (account.parse()?, notice.parse()?);
    let now = deps.clock.now();
    let outcome = match deps.store.notice_returned(account, notice, now).await? {
        WriteOutcome::Done => "marked",
        WriteOutcome::Stale => "notice-gone",
    };
    tracing::info!(%account, outcome, "mail returned");
    Ok(())
}
