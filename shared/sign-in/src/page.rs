//! The earlier session of a page. The answer overwrites its cookie, so that nobody would
//! have its token any more.

use domain::session::{AuthError, authenticate};
use domain::{Device, SignOut, SignOutId, Token};
use http_api::{ENDED_COOKIE, ENDED_COOKIE_AGE_S, Problem, SESSION_COOKIE, WRITE_ATTEMPTS, cookie};
use store::{StoreError, WriteOutcome};

use crate::{SignIn, TokenTransport};

/// A session that a sign-out has ended, now or earlier.
pub(crate) struct EndedEarlier {
    token: Token,
    pub(crate) sign_out: SignOutId,
}

impl EndedEarlier {
    /// Returns the cookie with which the page can acknowledge the sign-out.
    pub(crate) fn cookie(&self) -> String {
        cookie(ENDED_COOKIE, &self.token.to_text(), ENDED_COOKIE_AGE_S)
    }
}

/// Signs out the session in a page's cookie, unless the new session replaces it in its
/// row. Returns it, if a sign-out has ended it.
///
/// The cookie proves that the session is the page's. Call this only when the sign-in is
/// proven, and before the new session is written: if it fails, nothing has begun.
pub(crate) async fn end_earlier(
    sign_in: &SignIn<'_>,
    new: &Device,
) -> Result<Option<EndedEarlier>, Problem> {
    let SignIn {
        store, limits, now, ..
    } = *sign_in;
    let Some(token) = earlier_token(sign_in, new) else {
        return Ok(None);
    };
    for _ in 0..WRITE_ATTEMPTS {
        let mut rows = store.rows(token.account(), &[token.device()]).await?;
        let device = rows.take_device(token.device());
        let ended = match authenticate(&token, rows.account, device, limits, now) {
            Ok(caller) => {
                let sign_out = SignOut::of_this(&caller, now, runtime::random());
                let ended = store.sign_out_this(&caller, &sign_out, limits);
                if ended.await? == WriteOutcome::Stale {
                    continue;
                }
                Some(sign_out.id)
            }
            Err(AuthError::SignedOut(ended, _)) => Some(ended.sign_out),
            Err(AuthError::EndedByEpoch(device)) => end_by_epoch(sign_in, &device).await?,
            Err(
                AuthError::Unknown
                | AuthError::Expired
                | AuthError::AccountDisabled
                | AuthError::Superseded,
            ) => None,
        };
        return Ok(ended.map(|sign_out| EndedEarlier { token, sign_out }));
    }
    Err(StoreError::Contended.into())
}

/// Returns the sign-out that ended the session by the account's epoch, if its receipt has the
/// device.
async fn end_by_epoch(
    sign_in: &SignIn<'_>,
    device: &Device,
) -> Result<Option<SignOutId>, StoreError> {
    let ended = sign_in.store.end_by_epoch(device).await?;
    let ended = ended.filter(|ended| device.is_in_receipt_of(ended, sign_in.limits));
    Ok(ended.map(|ended| ended.sign_out))
}

/// Returns the token in a page's cookie, unless the new session has the same row.
fn earlier_token(sign_in: &SignIn<'_>, new: &Device) -> Option<Token> {
    // Of these requests only, the origin is known to be allowed.
    if sign_in.wanted.transport != TokenTransport::Cookie {
        return None;
    }
    let cookies = sign_in.request.cookies(SESSION_COOKIE);
    let [cookie] = cookies.as_slice() else {
        return None;
    };
    let token = Token::parse(cookie).ok()?;
    let is_new = (token.account(), token.device()) == (new.account, new.id);
    (!is_new).then_some(token)
}
