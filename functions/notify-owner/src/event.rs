//! The events of the topic that are news to the owner.

use domain::ids::InvalidId;
use domain::notice::FactorAct;
use domain::ownership::{Hold, HoldCause};
use domain::{AccountId, DeviceId, FactorId, Failures, NoticeEvent, Scope, Timestamp};
use events::{Event, Reason, SecurityEventToken, SessionRevoked};
use mail::{AddressWarning, FactorNews, FailedSignIns};
use store::Store;

use crate::Error;

/// An event that the owner is notified of.
pub(crate) struct News {
    pub(crate) account: AccountId,
    pub(crate) event: NoticeEvent,
    pub(crate) at: Timestamp,
    /// The device that did it, or that gave wrong passwords.
    pub(crate) by: Option<DeviceId>,
    /// The place, if no device has one.
    pub(crate) place: Option<String>,
    /// Whether more of the same is gathered in one notice.
    pub(crate) is_gathered: bool,
}

impl News {
    fn new(account: AccountId, event: NoticeEvent, at: Timestamp) -> Self {
        Self {
            account,
            event,
            at,
            by: None,
            place: None,
            is_gathered: false,
        }
    }

    /// Returns what failed sign-ins to the address of an account say.
    pub(crate) fn of_failures(
        account: AccountId,
        failed: &FailedSignIns,
    ) -> Result<Self, InvalidId> {
        let time = |ms| Timestamp::from_millisecond(ms).map_err(|_| InvalidId);
        let event = NoticeEvent::ManyFailures(Failures {
            count: failed.failures,
            since: time(failed.since_ms)?,
            places: failed.places.clone(),
        });
        Ok(Self::new(account, event, time(failed.at_ms)?))
    }

    /// Returns what news of a factor says; none if its rows say otherwise.
    pub(crate) async fn of_factor(store: &Store, news: &FactorNews) -> Result<Option<Self>, Error> {
        let account: AccountId = news.factor_account.parse()?;
        let act = FactorAct::parse(&news.act).ok_or(InvalidId)?;
        let id: FactorId = news.id.parse()?;
        let by = match &news.by {
            Some((device, session)) => Some((device.parse()?, session.parse()?)),
            None => None,
        };
        if !is_true(store, account, act, id, news).await? {
            return Ok(None);
        }
        let at = Timestamp::from_millisecond(news.at_ms).map_err(|_| InvalidId)?;
        Ok(Some(Self {
            by: by.map(|(device, _)| device),
            place: news.place.clone(),
            ..Self::new(account, NoticeEvent::Factor { act, id, by }, at)
        }))
    }

    /// Returns what a warning of a changed address says; none if the account's row says otherwise.
    pub(crate) async fn of_warning(
        store: &Store,
        warning: &AddressWarning,
    ) -> Result<Option<Self>, Error> {
        let account: AccountId = warning.warned_account.parse()?;
        let at = Timestamp::from_millisecond(warning.at_ms).map_err(|_| InvalidId)?;
        let hold = store
            .rows(account, &[])
            .await?
            .account
            .and_then(|it| it.hold);
        let is_it = |hold: &Hold| hold.cause == HoldCause::Warning && hold.began_at == at;
        let hold = hold.filter(is_it);
        Ok(hold.map(|_| Self::new(account, NoticeEvent::AddressWarned, at)))
    }

    /// Returns what an event says; none if it is no news. `credential-change` is none: the
    /// event of the sessions that ended with it comes as well.
    pub(crate) fn of(token: &SecurityEventToken) -> Result<Option<Self>, InvalidId> {
        let mut is_gathered = false;
        let (event, circumstances, by) = match &token.events {
            Event::SessionEstablished(event) => {
                let device = token.sub_id.device.map(|device| device.id);
                let Some(device) = device.filter(|_| !event.is_known_device) else {
                    return Ok(None);
                };
                let session = event.session_id;
                let event_of = NoticeEvent::SignedIn { device, session };
                (event_of, &event.circumstances, Some(device))
            }
            Event::SessionRevoked(event) => {
                let Some((news, by)) = of_revoked(event, token)? else {
                    return Ok(None);
                };
                is_gathered = event.scope == Some(Scope::Device);
                (news, &event.circumstances, by)
            }
            Event::OtherSessionsRevoked(event) => {
                let by = event.requested_by;
                let Some(news) = of_sign_out(event.reason, by, token)? else {
                    return Ok(None);
                };
                (news, &event.circumstances, by)
            }
            Event::AddressChanged(event) => {
                let by = Some(event.requested_by);
                (NoticeEvent::AddressChanged, &event.circumstances, by)
            }
            Event::CredentialChange(_) => return Ok(None),
        };
        let at = Timestamp::from_second(circumstances.event_timestamp).map_err(|_| InvalidId)?;
        Ok(Some(Self {
            by,
            is_gathered,
            ..Self::new(token.sub_id.user.id, event, at)
        }))
    }
}

/// Returns what the end of a session says, and the device that the notice shows.
fn of_revoked(
    event: &SessionRevoked,
    token: &SecurityEventToken,
) -> Result<Option<(NoticeEvent, Option<DeviceId>)>, InvalidId> {
    let by = match event.reason {
        // No device asked for it, and the notice shows the one that it ended.
        Reason::WrongPassword => token.sub_id.device.map(|device| device.id),
        _ => event.requested_by,
    };
    match event.scope {
        // The end of one session of many is in the notice about all of them.
        None | Some(Scope::Local) => Ok(None),
        Some(_) => Ok(of_sign_out(event.reason, by, token)?.map(|news| (news, by))),
    }
}

/// Returns what a sign-out says, by its reason. Without a device an operator did it, or the
/// owner from the link of a notice.
fn of_sign_out(
    reason: Reason,
    by: Option<DeviceId>,
    token: &SecurityEventToken,
) -> Result<Option<NoticeEvent>, InvalidId> {
    let event = match (reason, by) {
        (Reason::SignedOut, Some(_)) => NoticeEvent::SignedOut,
        (Reason::PasswordChanged, _) => NoticeEvent::PasswordChanged,
        (Reason::Recovered, _) => NoticeEvent::Recovered,
        (Reason::AddressRestored, _) => NoticeEvent::AddressRestored,
        (Reason::WrongPassword, _) => NoticeEvent::WrongPassword,
        (Reason::SignedOut, None) | (Reason::AccountDisabled | Reason::Replaced, _) => {
            return Ok(None);
        }
    };
    token.txn.parse().map(|id| Some(event(id)))
}

/// Returns whether the rows say what the news does. It is queued before the write that it is
/// about, so that no write goes without its notice, and comes after it.
async fn is_true(
    store: &Store,
    account: AccountId,
    act: FactorAct,
    id: FactorId,
    news: &FactorNews,
) -> Result<bool, Error> {
    if let Some(challenge) = &news.challenge_id {
        let challenge = challenge.parse().map_err(|_| InvalidId)?;
        return Ok(store.challenge(&challenge).await?.is_some());
    }
    if matches!(
        act,
        FactorAct::CodesMade | FactorAct::CodeUsed | FactorAct::StepMissing
    ) {
        return Ok(true);
    }
    let account = store.rows(account, &[]).await?.account;
    let Some(account) = account else {
        return Ok(act == FactorAct::Removed);
    };
    let has_it = account.factors.iter().any(|it| it.id == id);
    Ok(match act {
        FactorAct::RemovalAsked => {
            let lost_at = account.factors_lost_at;
            lost_at.is_some_and(|at| at.as_millisecond() == news.at_ms)
        }
        FactorAct::SignInCodesOff => !account.sign_in_codes,
        FactorAct::Added => has_it,
        _ => !has_it,
    })
}
