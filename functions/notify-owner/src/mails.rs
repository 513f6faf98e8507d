//! The mails about a notice, as `send-mail` takes them.

use domain::notice::FactorAct;
use domain::{Account, ChangeState, Notice, NoticeEvent, NoticeToken};
use mail::Failures;

use crate::Deps;

/// The most places that a mail names. `send-mail` leaves a longer text out.
const NAMED_PLACES: usize = 10;

/// Returns the mails about a notice: that to the account's address, or to the one before a
/// change; and one to the address that an undo has taken from the account.
pub(crate) fn mails_of(
    deps: &Deps,
    account: &Account,
    notice: &Notice,
    token: &NoticeToken,
) -> Vec<mail::Notice> {
    let mut mails = vec![mail_of(deps, account, notice, token)];
    let Some(change) = &account.address_change else {
        return mails;
    };
    match (&notice.event, change.state) {
        (NoticeEvent::AddressChanged, _) => mails[0].email.clone_from(&change.previous),
        (NoticeEvent::AddressRestored(_), ChangeState::Undone) => mails.push(mail::Notice {
            email: change.previous.clone(),
            event: "address_lost".to_owned(),
            ..mails[0].clone()
        }),
        _ => {}
    }
    mails
}

fn mail_of(deps: &Deps, account: &Account, notice: &Notice, token: &NoticeToken) -> mail::Notice {
    let device = notice.device.clone().unwrap_or_default();
    let failures = match &notice.event {
        NoticeEvent::ManyFailures(failures) => Some(failures),
        _ => None,
    };
    let (places, more_places) = failures.map_or((None, 0), |it| shown_places(&it.places));
    mail::Notice {
        account_id: notice.account.to_string(),
        notice_id: notice.id.to_string(),
        email: account.email.clone(),
        event: notice.event.kind().to_owned(),
        at_s: notice.at.as_second(),
        device_type: notice
            .device
            .as_ref()
            .map(|device| device.device_type.as_str().to_owned()),
        os: device.os,
        browser: device.browser,
        place: places.or(device.place),
        reference: notice.reference.clone(),
        sign_out: sign_out_of(&notice.event),
        failures: failures.map(|failures| Failures {
            count: failures.count,
            since_s: failures.since.as_second(),
            more_places,
        }),
        link_secret: has_link(&notice.event).then(|| token.to_text().to_string()),
        language: deps.language,
    }
}

/// Returns the sign-out whose receipt a mail links to.
fn sign_out_of(event: &NoticeEvent) -> Option<String> {
    match event {
        NoticeEvent::SignedIn { .. }
        | NoticeEvent::AddressChanged
        | NoticeEvent::AddressWarned
        | NoticeEvent::Factor { .. }
        | NoticeEvent::ManyFailures(_) => None,
        NoticeEvent::SignedOut(id)
        | NoticeEvent::PasswordChanged(id)
        | NoticeEvent::Recovered(id)
        | NoticeEvent::AddressRestored(id)
        | NoticeEvent::WrongPassword(id) => Some(id.to_string()),
    }
}

/// Returns whether the mail has a link with which the owner answers.
fn has_link(event: &NoticeEvent) -> bool {
    matches!(
        event,
        NoticeEvent::SignedIn { .. }
            | NoticeEvent::AddressChanged
            | NoticeEvent::Factor {
                act: FactorAct::Added,
                ..
            }
    )
}

/// Returns the places that a mail names, and the number of the others.
fn shown_places(places: &[String]) -> (Option<String>, usize) {
    let (named, others) = places.split_at(places.len().min(NAMED_PLACES));
    (Some(named.join(", ")), others.len())
}
