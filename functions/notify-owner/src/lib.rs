//! Notifies the owner by mail of what happened to the account: a sign-in on a device that is not
//! known, devices that another one signed out, a changed password, a recovery, a changed address,
//! its undo and a warning of it, a device that was signed out because it gave wrong passwords,
//! many failed sign-ins.
//!
//! A subscriber like any other. A message can come twice, late and out of order: each event
//! has one notice, and a notice whose mail was queued is not queued again.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

mod event;
mod mails;

use std::time::{Duration, Instant};

use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use aws_lambda_events::streams::SqsEventResponse;
use device_info::known;
use domain::email::InvalidEmail;
use domain::factors::AccountFactor;
use domain::ids::InvalidId;
use domain::notice::{FactorAct, reference};
use domain::{
    Account, AccountId, Budget, CounterKey, Device, EmailAddress, FactorId, Notice, NoticeDevice,
    NoticeEvent, NoticeToken, Timestamp,
};
use events::SecurityEventToken;
use futures_util::future::join_all;
use jiff::SignedDuration;
use mail::{AddressWarning, FactorNews, FailedSignIns, Language, MailQueue, Message};
use runtime::{Clock, NoTimeLeft, elapsed_us, return_failed, within};
use serde::Deserialize;
use store::{Cause, Charge, Recorded, Store, StoreError, WriteOutcome};

use crate::event::News;
use crate::mails::mails_of;

/// Reads identities, accounts and devices; writes notices and counters; queues mails.
#[derive(Debug)]
pub struct Deps {
    pub store: Store,
    /// The queue of the mails to owners; none when the stack sends no mail.
    pub queue: Option<MailQueue>,
    /// The language of the notices.
    pub language: Language,
    pub clock: Clock,
}

/// The age up to which an account's first device causes no notice.
const NEW_ACCOUNT: SignedDuration = SignedDuration::from_hours(24);

/// The mails of one kind to an account: ten, then ten a day.
const BUDGET: Budget = Budget::new(10, SignedDuration::from_mins(144));

/// The most times that a row is read and written when other writes come in between.
const ATTEMPTS: u32 = 3;

/// The time for a message. What is not done then goes back to the queue alone, before
/// Lambda ends the process after 30 seconds, which would return the whole batch.
pub const TIME_BUDGET: Duration = Duration::from_secs(25);

/// The time for which an attempt keeps others from queuing the same mail. No attempt is
/// longer, and the queue delivers a message again only later.
pub const LEASE: Duration = Duration::from_secs(30);

/// A message of the queue.
#[derive(Deserialize)]
#[serde(untagged)]
enum Received {
    /// An event of the topic.
    Event(SecurityEventToken),
    /// Failed sign-ins, which `login` has counted.
    FailedSignIns(FailedSignIns),
    /// Something happened to a factor, or for the lack of one.
    FactorNews(FactorNews),
    /// The mailbox before a change of the address warned of it.
    AddressWarning(AddressWarning),
}

/// Reasons to return a message to the queue.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the message is not an event")]
    NotAnEvent(#[source] serde_json::Error),
    #[error("the message has an invalid id")]
    InvalidId(#[from] InvalidId),
    #[error("the message has an invalid address")]
    InvalidAddress(#[from] InvalidEmail),
    #[error("DynamoDB request failed")]
    Store(#[from] StoreError),
    #[error("the mail was not queued")]
    NotQueued(#[source] Cause),
    /// If that attempt fails, this message is the one that queues the mail.
    #[error("another attempt is about to queue the mail")]
    InProgress,
    #[error(transparent)]
    NoTimeLeft(#[from] NoTimeLeft),
}

/// The outcome of a message, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Queued,
    QueuedBefore,
    /// The notice is on the page alone: its account had too many mails of its kind.
    OverBudget,
    /// The event causes no notice.
    NoNews,
    NoAccount,
    /// Nobody has proven the account's address.
    Unconfirmed,
    NoMail,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::QueuedBefore => "queued-before",
            Self::OverBudget => "over-budget",
            Self::NoNews => "no-news",
            Self::NoAccount => "no-account",
            Self::Unconfirmed => "unconfirmed-address",
            Self::NoMail => "no-mail",
        }
    }
}

/// Notifies the owner of each event, and returns the messages that failed to the queue.
pub async fn handle(deps: &Deps, event: SqsEvent) -> SqsEventResponse {
    let outcomes = join_all(event.records.iter().map(|message| process(deps, message))).await;
    return_failed(&event, outcomes, "owner not notified")
}

async fn process(deps: &Deps, message: &SqsMessage) -> Result<(), Error> {
    let started = Instant::now();
    let body = message.body.as_deref().unwrap_or_default();
    let received: Received = serde_json::from_str(body).map_err(Error::NotAnEvent)?;
    let news = news_in(deps, &received).await?;
    let (jti, account) = match &received {
        Received::Event(token) => (Some(&*token.jti), Some(token.sub_id.user.id)),
        _ => (None, news.as_ref().ok().map(|news| news.account)),
    };
    let outcome = match (news, &deps.queue) {
        (Err(outcome), _) => outcome,
        (Ok(_), None) => Outcome::NoMail,
        (Ok(news), Some(queue)) => {
            within(TIME_BUDGET, Box::pin(notify(deps, queue, &news))).await??
        }
    };
    tracing::info!(
        jti,
        account = account.map(tracing::field::display),
        outcome = outcome.name(),
        duration_us = elapsed_us(started),
        "event processed",
    );
    Ok(())
}

/// Returns what a message says to the owner.
async fn news_in(deps: &Deps, received: &Received) -> Result<Result<News, Outcome>, Error> {
    let news = match received {
        Received::Event(token) => News::of(token)?,
        Received::FailedSignIns(failed) => return of_failures(deps, failed).await,
        Received::FactorNews(of_factor) => {
            Box::pin(News::of_factor(&deps.store, of_factor)).await?
        }
        Received::AddressWarning(warning) => {
            Box::pin(News::of_warning(&deps.store, warning)).await?
        }
    };
    Ok(news.ok_or(Outcome::NoNews))
}

/// Returns what failed sign-ins say to the owner of their address, if it has one.
async fn of_failures(deps: &Deps, failed: &FailedSignIns) -> Result<Result<News, Outcome>, Error> {
    let email = EmailAddress::parse(&failed.email)?;
    Ok(match deps.store.account_by_email(&email).await? {
        Some(account) => Ok(News::of_failures(account, failed)?),
        None => Err(Outcome::NoAccount),
    })
}

/// Writes the notice and queues its mail, if the event is news to the owner.
async fn notify(deps: &Deps, queue: &MailQueue, news: &News) -> Result<Outcome, Error> {
    let devices: Vec<_> = news.by.into_iter().collect();
    let mut rows = deps.store.rows(news.account, &devices).await?;
    let device = news.by.and_then(|by| rows.take_device(by));
    let Some(account) = rows.account else {
        return Ok(Outcome::NoAccount);
    };
    // The address may be a stranger's.
    if account.confirmed_at.is_none() {
        return Ok(Outcome::Unconfirmed);
    }
    if is_first_device(deps, news, &account, device.as_ref()).await? {
        return Ok(Outcome::NoNews);
    }
    let Some(at) = time_of(news, &account) else {
        return Ok(Outcome::NoNews);
    };
    let notice = notice_of(news, at, account.id, device.as_ref());
    queue_mails(deps, queue, &account, &notice).await
}

/// Writes the notice, and queues its mails, unless that was done before or there were too many
/// of its kind.
async fn queue_mails(
    deps: &Deps,
    queue: &MailQueue,
    account: &Account,
    notice: &Notice,
) -> Result<Outcome, Error> {
    let token = NoticeToken::new(account.id, notice.id, runtime::random());
    let now = deps.clock.now();
    let (hash, lease) = (token.hash(), (now, now + LEASE));
    let notice = match deps.store.record_notice(notice, &hash, lease).await? {
        Recorded::Written(notice) => notice,
        Recorded::QueuedBefore => return Ok(Outcome::QueuedBefore),
        Recorded::InProgress => return Err(Error::InProgress),
    };
    let added = added_factor(&notice);
    // An app whose notice is left out would stay young for ever.
    if added.is_none() && !is_within_budget(deps, &notice, now).await? {
        deps.store.notice_queued(&notice, now).await?;
        return Ok(Outcome::OverBudget);
    }
    for mail in mails_of(deps, account, &notice, &token) {
        let message = Message::Notice(Box::new(mail));
        queue.send(&message).await.map_err(Error::NotQueued)?;
    }
    // Settle first, then mark the notice as queued: a second delivery of a queued notice does
    // nothing, so a failed write would leave the factor young for ever.
    if let Some(id) = added {
        Box::pin(begin_to_settle(deps, account.id, id, now)).await?;
    }
    deps.store.notice_queued(&notice, now).await?;
    Ok(Outcome::Queued)
}

/// Returns the factor that was added, if the notice is about one.
fn added_factor(notice: &Notice) -> Option<FactorId> {
    match notice.event {
        NoticeEvent::Factor {
            act: FactorAct::Added,
            id,
            ..
        } => Some(id),
        _ => None,
    }
}

/// Counts the mail for its account and its kind.
async fn is_within_budget(deps: &Deps, notice: &Notice, now: Timestamp) -> Result<bool, Error> {
    let (account, kind) = (notice.account, notice.event.kind());
    let counter = CounterKey::new("notice", &[account.as_bytes(), kind.as_bytes()]);
    let charge = deps.store.charge(counter, &BUDGET, now).await?;
    Ok(matches!(charge, Charge::Admitted(_)))
}

/// Records that the notice of a new factor went to the address: from now on it settles.
async fn begin_to_settle(
    deps: &Deps,
    account: AccountId,
    id: FactorId,
    now: Timestamp,
) -> Result<(), Error> {
    for _ in 0..ATTEMPTS {
        let Some(account) = deps.store.rows(account, &[]).await?.account else {
            return Ok(());
        };
        let mut factors = account.factors.clone();
        let is_new = |it: &&mut AccountFactor| it.id == id && it.notified_at.is_none();
        let Some(factor) = factors.iter_mut().find(is_new) else {
            return Ok(());
        };
        factor.notified_at = Some(now);
        let recording = deps.store.record_factor_notices(&account, &factors);
        if recording.await? == WriteOutcome::Done {
            return Ok(());
        }
    }
    Err(StoreError::Contended.into())
}

/// Returns the time of an event. That of a changed address is the account's own, by which its
/// notice is bound to the change; none if that change is not the account's last one any more.
fn time_of(news: &News, account: &Account) -> Option<Timestamp> {
    if news.event != NoticeEvent::AddressChanged {
        return Some(news.at);
    }
    let change = account.address_change.as_ref()?;
    let is_it = change.at.as_second() == news.at.as_second();
    (is_it && change.undo(change.at).is_open()).then_some(change.at)
}

fn notice_of(news: &News, at: Timestamp, account: AccountId, device: Option<&Device>) -> Notice {
    let gathered_by = news.by.filter(|_| news.is_gathered);
    Notice {
        account,
        id: news.event.notice_id(at, gathered_by),
        event: news.event.clone(),
        at,
        device: device.map(shown).or_else(|| {
            let place = news.place.clone()?;
            Some(NoticeDevice {
                place: Some(place),
                ..NoticeDevice::default()
            })
        }),
        reference: reference(runtime::random()),
        answer: None,
        returned_at: None,
    }
}

/// Returns whether a sign-in is that of the first device of a new account. An old account
/// without devices has none: its first sign-in in a long time is news.
async fn is_first_device(
    deps: &Deps,
    news: &News,
    account: &Account,
    device: Option<&Device>,
) -> Result<bool, Error> {
    let is_new = news.at.duration_since(account.created_at) < NEW_ACCOUNT;
    let (NoticeEvent::SignedIn { .. }, Some(device), true) = (&news.event, device, is_new) else {
        return Ok(false);
    };
    let is_earlier = |other: &Device| {
        other.id != device.id && other.first_signed_in_at <= device.first_signed_in_at
    };
    Ok(!deps.store.has_device(account.id, is_earlier).await?)
}

/// Returns what a mail may show of a device.
fn shown(device: &Device) -> NoticeDevice {
    let (info, place) = (&device.info, &device.place);
    let place = match (&place.city, &place.country, &place.ip) {
        (Some(city), Some(country), _) if known::is_plain(city) => {
            Some(format!("{city}, {country}"))
        }
        (_, Some(country), _) => Some(country.clone()),
        (_, None, ip) => ip.clone(),
    };
    NoticeDevice {
        device_type: info.device_type,
        os: info.os.as_deref().and_then(known::os).map(str::to_owned),
        browser: info
            .browser
            .as_deref()
            .and_then(known::browser)
            .map(str::to_owned),
        place,
    }
}
