//! Authentication: from the token of a request to the rows of its session.

use domain::receipt::Step;
use domain::session::{AuthError, Authenticated};
use domain::{Device, DeviceId, EndInfo, Limits, Place, Timestamp, Token};
use store::{ResolvedStatus, Store, StoreError, WriteOutcome};

use crate::problem::Problem;
use crate::request::Request;

/// Authenticates the caller, in one round trip to the tables if the session is valid.
/// If a sign-out ended the session, returns which one, and records in its receipt that
/// the device is notified.
///
/// # Errors
/// The problem to answer with. A failed read is `unavailable`, never a verdict on
/// the session.
pub async fn authenticate(
    store: &Store,
    request: &Request,
    limits: &Limits,
    now: Timestamp,
) -> Result<Authenticated, Problem> {
    let (caller, _) = authenticate_with_device(store, request, None, limits, now).await?;
    Ok(caller)
}

/// Checks that the caller's session may end sessions of others in this hour. The write
/// checks it again and counts.
///
/// # Errors
/// [`Problem::RateLimited`].
pub fn may_end_others(caller: &Authenticated, now: Timestamp) -> Result<(), Problem> {
    match caller.device.must_wait(now) {
        Some(retry_after) => Err(Problem::RateLimited { retry_after }),
        None => Ok(()),
    }
}

/// As [`authenticate`], and reads another device's row of the caller's account in
/// the same round trip; none when the account has no such device.
///
/// # Errors
/// As [`authenticate`].
pub async fn authenticate_with_device(
    store: &Store,
    request: &Request,
    wanted: Option<DeviceId>,
    limits: &Limits,
    now: Timestamp,
) -> Result<(Authenticated, Option<Device>), Problem> {
    let token = request.token()?;
    let (session, device) = read(store, &token, wanted, limits, now).await?;
    note_caller(request, &token, &session);
    let (ended, signed_out) = match session {
        Ok(caller) => return Ok((caller, device)),
        Err(AuthError::Unknown) => return Err(Problem::TokenInvalid),
        Err(AuthError::Expired) => return Err(Problem::SessionExpired),
        Err(AuthError::AccountDisabled) => return Err(Problem::AccountDisabled),
        Err(AuthError::Superseded) => return Err(Problem::TokenSuperseded),
        Err(AuthError::SignedOut(ended, device)) => (ended, device),
        Err(AuthError::EndedByEpoch(device)) => {
            match store.resolve_end(&device, limits, now).await? {
                ResolvedStatus::SignedOut(ended, device) => (ended, device),
                ResolvedStatus::Expired => return Err(Problem::SessionExpired),
                ResolvedStatus::AccountDisabled => return Err(Problem::AccountDisabled),
                ResolvedStatus::Replaced | ResolvedStatus::SignedIn => {
                    return Err(Problem::TokenInvalid);
                }
            }
        }
    };
    let contact = Step::Notified;
    record_contact(store, &signed_out, &ended, contact, limits, now).await;
    Err(Problem::signed_out(&ended, signed_out.id))
}

/// Checks a token for a caller that gives no reason when it refuses (the authorizer,
/// introspection). If the epoch ended the session, the first call looks up the sign-out
/// and records `seen` in its receipt; later calls skip that read.
///
/// # Errors
/// [`StoreError`] when the session could not be read, which is no verdict. The inner
/// error is the verdict on the session.
pub async fn check_token(
    store: &Store,
    token: &Token,
    limits: &Limits,
    now: Timestamp,
) -> Result<Result<Authenticated, AuthError>, StoreError> {
    let (session, _) = read(store, token, None, limits, now).await?;
    match &session {
        Err(AuthError::SignedOut(ended, device)) => {
            record_contact(store, device, ended, Step::Seen, limits, now).await;
        }
        Err(AuthError::EndedByEpoch(device)) if !device.has_contact(Step::Seen) => {
            match store.resolve_end(device, limits, now).await {
                Ok(ResolvedStatus::SignedOut(ended, device)) => {
                    record_contact(store, &device, &ended, Step::Seen, limits, now).await;
                }
                Ok(_) => {}
                Err(error) => contact_not_recorded(&error),
            }
        }
        // No receipt has the others.
        Ok(_) | Err(_) => {}
    }
    Ok(session)
}

/// Checks a token as [`check_token`], and updates when its device was last active, and
/// where, if the request is the device's own. Sets the ids of the request's log line.
///
/// # Errors
/// As [`check_token`].
pub async fn check_and_touch(
    store: &Store,
    request: &Request,
    token: &Token,
    place: Option<Place>,
    limits: &Limits,
    now: Timestamp,
) -> Result<Result<Device, AuthError>, StoreError> {
    let mut session = check_token(store, token, limits, now).await?;
    note_caller(request, token, &session);
    if let Ok(caller) = &mut session
        && touch_if_due(store, &mut caller.device, place, limits, now).await == WriteOutcome::Stale
    {
        // The session has ended since it was read: check again to return the reason.
        session = check_token(store, token, limits, now).await?;
    }
    Ok(session.map(|caller| caller.device))
}

/// Returns the outcome of a refused session for the log: the name of its problem.
#[must_use]
pub fn outcome(error: &AuthError) -> &'static str {
    match error {
        AuthError::Unknown => Problem::TokenInvalid.name(),
        AuthError::SignedOut(..) | AuthError::EndedByEpoch(_) => "session-signed-out",
        AuthError::Expired => Problem::SessionExpired.name(),
        AuthError::AccountDisabled => Problem::AccountDisabled.name(),
        AuthError::Superseded => Problem::TokenSuperseded.name(),
    }
}

/// Updates when the device was last active, and where if that is known, if it is due. A failed update is only
/// logged: the session is valid, and the next request tries again. `Stale` means that
/// the session has ended since it was read.
pub async fn touch_if_due(
    store: &Store,
    device: &mut Device,
    place: Option<Place>,
    limits: &Limits,
    now: Timestamp,
) -> WriteOutcome {
    if !device.is_touch_due(now, limits) {
        return WriteOutcome::Done;
    }
    let touched = store.touch(
        device.account,
        device.id,
        device.session,
        place.as_ref(),
        now,
    );
    match touched.await {
        Ok(WriteOutcome::Done) => {
            device.last_active_at = now;
            device.active_place = place.unwrap_or_else(|| device.active_place.clone());
        }
        Ok(WriteOutcome::Stale) => return WriteOutcome::Stale,
        Err(error) => tracing::warn!(cause = error.chain(), "last-active update failed"),
    }
    WriteOutcome::Done
}

/// Reads the rows that the token names, and the wanted device's, and applies the
/// rule of validity.
async fn read(
    store: &Store,
    token: &Token,
    wanted: Option<DeviceId>,
    limits: &Limits,
    now: Timestamp,
) -> Result<(Result<Authenticated, AuthError>, Option<Device>), StoreError> {
    let ids: Vec<DeviceId> = [Some(token.device()), wanted]
        .into_iter()
        .flatten()
        .collect();
    let mut rows = store.rows(token.account(), &ids).await?;
    let device = rows.take_device(token.device());
    let other = match wanted {
        Some(id) if id == token.device() => device.clone(),
        Some(id) => rows.take_device(id),
        None => None,
    };
    let session = domain::authenticate(token, rows.account, device, limits, now);
    if let Ok(caller) = &session {
        end_previous_token(store, token, &caller.device, now).await;
    }
    Ok((session, other))
}

/// Ends the time of the token before, at the first call with the one that a verification gave.
/// A failure is only logged: the next call tries again, and that time ends by itself.
async fn end_previous_token(store: &Store, token: &Token, device: &Device, now: Timestamp) {
    let Some(previous) = device.previous_token else {
        return;
    };
    if now >= previous.until || previous.hash.matches(&token.hash()) {
        return;
    }
    let ending = store.end_previous_token(device, previous.until, now);
    if let Err(error) = Box::pin(ending).await {
        tracing::warn!(cause = error.chain(), "previous token not ended");
    }
}

/// Sets the caller's ids in the log line, if it holds the secret of the session that
/// its token names. Anyone can write any ids into a token.
fn note_caller(request: &Request, token: &Token, session: &Result<Authenticated, AuthError>) {
    if *session != Err(AuthError::Unknown) {
        request.note_account(token.account());
        request.note_device(token.device());
    }
}

/// Records the first contact of a kind of an ended session in the sign-out's receipt. A
/// failure is only logged: the answer does not depend on it, and the next contact tries again.
pub async fn record_contact(
    store: &Store,
    device: &Device,
    ended: &EndInfo,
    contact: Step,
    limits: &Limits,
    now: Timestamp,
) {
    if let Err(error) = store
        .record_contact(device, ended, contact, now, limits)
        .await
    {
        contact_not_recorded(&error);
    }
}

fn contact_not_recorded(error: &StoreError) {
    tracing::warn!(cause = error.chain(), "receipt update failed");
}
