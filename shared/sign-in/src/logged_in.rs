//! The answer to a sign-in.

use domain::{Account, Rfc3339, Timestamp};
use http_api::{
    AccountView, Answer, DEVICE_COOKIE, DeviceKeys, DeviceView, SESSION_COOKIE, cookie,
};
use serde::Serialize;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::page::EndedEarlier;
use crate::{NewSession, SignIn, TokenTransport};

/// The answer: a session.
#[derive(Serialize, ToSchema)]
pub struct LoggedIn {
    /// The secret of the session, shown this once. Absent with `cookie`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^cft_[A-Za-z0-9_-]{92}$")]
    pub token: Option<Zeroizing<String>>,
    /// The key that identifies the device at its next sign-in: the one of the request, or
    /// another one if that can't name a new device because its time is more than a day
    /// off. Absent with `cookie`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^cfd_[0-9]{13}_[A-Za-z0-9_-]{43}$")]
    pub device_key: Option<Zeroizing<String>>,
    /// The session's id, as sockets and events name it. It is not a secret and gives no
    /// access.
    #[schema(value_type = String, format = Uuid)]
    pub session: String,
    /// The latest end of the session.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Rfc3339,
    /// The device.
    pub device: DeviceView,
    /// The account.
    pub account: AccountView,
    /// The sign-out that ended the session in the page's cookie, if that was another
    /// device's or account's. A page that has wiped its data acknowledges it as any other.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Uuid)]
    pub earlier_sign_out: Option<String>,
    /// The sign-out of the other devices, if the request asked for it. Its receipt shows
    /// how far it has come.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Uuid)]
    pub sign_out: Option<String>,
}

impl LoggedIn {
    /// Returns an example for the document.
    ///
    /// # Panics
    /// Never: its time is well-formed.
    #[must_use]
    pub fn example() -> Self {
        Self {
            token: Some(Zeroizing::new(format!("cft_{}", "x".repeat(92)))),
            device_key: Some(Zeroizing::new(format!(
                "cfd_1795168800000_{}",
                "x".repeat(43)
            ))),
            session: "c2a7a1f4-6d0b-4b43-9a55-0e3f9d2b7c11".to_owned(),
            expires_at: "2027-11-20T09:30:00Z"
                .parse::<Timestamp>()
                .expect("it is a time")
                .into(),
            device: DeviceView::example(),
            account: AccountView::example(),
            earlier_sign_out: None,
            sign_out: None,
        }
    }
}

/// Returns the answer that shows the session, once.
pub(crate) fn answer(
    sign_in: &SignIn<'_>,
    account: &Account,
    session: NewSession,
    keys: &DeviceKeys,
) -> Answer {
    let in_cookie = sign_in.wanted.transport == TokenTransport::Cookie;
    let NewSession {
        row,
        token,
        key,
        earlier,
        sign_out,
        ..
    } = session;
    let token = token.to_text();
    let mut cookies = Vec::new();
    if in_cookie {
        cookies.extend(secret_cookies(
            sign_in,
            row.expires_at,
            (&token, &keys.to_cookie(&key)),
        ));
    }
    cookies.extend(earlier.as_ref().map(EndedEarlier::cookie));
    let answer = Answer::json(
        200,
        &LoggedIn {
            token: (!in_cookie).then_some(token),
            device_key: (!in_cookie).then_some(key),
            session: row.session.to_string(),
            expires_at: row.expires_at.into(),
            device: DeviceView::signed_in(&row, row.id, row.recognized_until.is_some()),
            account: AccountView::new(account, sign_in.sends_mail),
            earlier_sign_out: earlier.map(|earlier| earlier.sign_out.to_string()),
            sign_out: sign_out.map(|sign_out| sign_out.id.to_string()),
        },
    );
    cookies.into_iter().fold(answer, Answer::with_cookie)
}

/// Returns the cookies with a session's token and the device keys. The keys outlast the session.
fn secret_cookies(
    sign_in: &SignIn<'_>,
    expires_at: Timestamp,
    (token, keys): (&str, &str),
) -> [String; 2] {
    let SignIn { limits, now, .. } = *sign_in;
    let seconds_to = |end: Timestamp| end.duration_since(now).as_secs();
    let kept_until = limits.device_kept_until(expires_at);
    [
        cookie(SESSION_COOKIE, token, seconds_to(expires_at)),
        cookie(DEVICE_COOKIE, keys, seconds_to(kept_until)),
    ]
}
