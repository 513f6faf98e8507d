//! The write of a new session, alone or with the end of every other one.

use domain::session::{SessionStatus, session_status};
use domain::{Account, EndInfo, EndedSession};
use store::{StoreError, WriteOutcome};

use crate::{NewSession, SignIn};

/// Writes the new session's row and, if the request asks for it, signs every other device
/// out. If the row still holds a session that an account-wide sign-out ended and the sweep
/// has not marked, also writes the receipt entry of that session.
pub(crate) async fn write(
    sign_in: &SignIn<'_>,
    account: &Account,
    new: &NewSession,
) -> Result<WriteOutcome, StoreError> {
    let SignIn { store, limits, .. } = *sign_in;
    let replaced = new.replaced.as_ref().map(|before| before.session);
    let unswept = unswept(sign_in, account, new).await?;
    if let Some(sign_out) = &new.sign_out {
        let unswept = unswept.as_ref().map(|(session, ended)| (session, ended));
        let verified = (sign_out, &account.password_hash);
        return store
            .sign_in_and_end_others((&new.row, replaced), unswept, verified, limits)
            .await;
    }
    match unswept {
        Some((session, ended)) => {
            store
                .replace_unswept_session(&new.row, &session, &ended, limits)
                .await
        }
        None => store.sign_in(&new.row, replaced, limits).await,
    }
}

/// Returns the session in the row that an account-wide sign-out ended and the sweep has
/// not marked, with that end, unless it had expired before.
async fn unswept(
    sign_in: &SignIn<'_>,
    account: &Account,
    new: &NewSession,
) -> Result<Option<(EndedSession, EndInfo)>, StoreError> {
    let SignIn {
        store, limits, now, ..
    } = *sign_in;
    let Some(before) = &new.replaced else {
        return Ok(None);
    };
    if session_status(account, before, limits, now) != SessionStatus::EndedByEpoch {
        return Ok(None);
    }
    let ended = store.end_by_epoch(before).await?;
    let ended = ended.filter(|ended| !before.had_expired(ended.at, limits));
    Ok(ended.map(|ended| (EndedSession::from(before), ended)))
}
