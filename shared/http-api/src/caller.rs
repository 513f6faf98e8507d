//! The caller: from the presented secret to the rows it is admitted by.

use domain::session::{AuthError, Authenticated};
use domain::{Device, DeviceId, EndInfo, Limits, Timestamp, Token};
use store::{Store, StoreError};

use crate::problem::Problem;
use crate::request::{Request, Transport};
use crate::views::SignedOutBy;

/// Why a caller was not let in.
#[derive(Debug, thiserror::Error)]
pub enum CallerError {
    /// What was presented is missing or malformed.
    #[error("the request is not acceptable: {}", .0.name())]
    Unacceptable(Problem),
    /// There is no such session.
    #[error("there is no such session")]
    Unknown,
    /// The session was ended.
    #[error("the session was signed out")]
    SignedOut(EndInfo),
    /// The session ran out.
    #[error("the session has expired")]
    Expired,
    /// The rows could not be read.
    #[error("the session could not be checked")]
    Store(#[from] StoreError),
}

impl From<CallerError> for Problem {
    fn from(error: CallerError) -> Self {
        match error {
            CallerError::Unacceptable(problem) => problem,
            CallerError::Unknown => Self::TokenInvalid,
            CallerError::SignedOut(ended) => Self::SessionSignedOut {
                sign_out: ended.sign_out,
                at: ended.at,
                by: ended.by.as_ref().map(SignedOutBy::from),
                reason: ended.reason.as_str(),
            },
            CallerError::Expired => Self::SessionExpired,
            CallerError::Store(error) => crate::serve::unavailable(&error),
        }
    }
}

/// Why a check let nobody in, without how a session came to its end.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// What was presented is missing or malformed.
    #[error("the request is not acceptable: {}", .0.name())]
    Unacceptable(Problem),
    /// The rows say no.
    #[error("the session is not valid")]
    Refused(AuthError),
    /// The rows could not be read.
    #[error("the session could not be checked")]
    Store(#[from] StoreError),
}

impl Denied {
    /// The word for the log: of a problem, its name.
    #[must_use]
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Unacceptable(problem) => problem.name(),
            Self::Refused(AuthError::Unknown) => "token-invalid",
            Self::Refused(AuthError::SignedOut(..) | AuthError::EndedByEpoch(_)) => {
                "session-signed-out"
            }
            Self::Refused(AuthError::Expired) => "session-expired",
            Self::Store(_) => "unavailable",
        }
    }
}

/// A caller who was let in.
#[derive(Debug)]
pub struct Caller {
    /// The rows that it was admitted by.
    pub caller: Authenticated,
    /// The row of the other device that was asked for, if the account has it.
    pub other: Option<Device>,
    /// How the token came.
    pub transport: Transport,
}

/// Lets the caller in by one round trip to the tables, or says why not. The row
/// of another device of the same account can be read along. The first refusal of
/// a session that was ended is written into its receipt.
///
/// # Errors
/// [`CallerError`]: a table that could not be read never lets anybody in, and
/// never tells a client that it was signed out.
pub async fn authenticate(
    store: &Store,
    request: &Request,
    other: Option<DeviceId>,
    limits: &Limits,
    now: Timestamp,
) -> Result<Caller, CallerError> {
    let denied = match look(store, request, other, limits, now).await {
        Ok(admission) => return Ok(admission),
        Err(denied) => denied,
    };
    let (ended, device) = match denied {
        Denied::Unacceptable(problem) => return Err(CallerError::Unacceptable(problem)),
        Denied::Refused(AuthError::Unknown) => return Err(CallerError::Unknown),
        Denied::Refused(AuthError::Expired) => return Err(CallerError::Expired),
        Denied::Store(error) => return Err(CallerError::Store(error)),
        Denied::Refused(AuthError::SignedOut(ended, device)) => (ended, device),
        Denied::Refused(AuthError::EndedByEpoch(device)) => {
            match store.resolve_end(&device, limits, now).await? {
                Some(ended) => (ended, device),
                None => return Err(CallerError::Unknown),
            }
        }
    };
    note_contact(store, &device, &ended, limits, now).await;
    Err(CallerError::SignedOut(ended))
}

/// As [`authenticate`], for one who is not told how a session came to its end.
///
/// # Errors
/// [`Denied`], in the same cases.
pub async fn check(
    store: &Store,
    request: &Request,
    limits: &Limits,
    now: Timestamp,
) -> Result<Caller, Denied> {
    let looked = look(store, request, None, limits, now).await;
    noted(store, looked, limits, now).await
}

/// As [`check`], of a token that did not come as the caller's own.
///
/// # Errors
/// [`Denied`], in the same cases.
pub async fn check_token(
    store: &Store,
    token: &Token,
    limits: &Limits,
    now: Timestamp,
) -> Result<Authenticated, Denied> {
    let looked = match store.rows(token.account(), &[token.device()]).await {
        Ok(mut rows) => {
            let device = rows.take_device(token.device());
            domain::authenticate(token, rows.account, device, limits, now).map_err(Denied::Refused)
        }
        Err(error) => Err(Denied::Store(error)),
    };
    noted(store, looked, limits, now).await
}

async fn look(
    store: &Store,
    request: &Request,
    other: Option<DeviceId>,
    limits: &Limits,
    now: Timestamp,
) -> Result<Caller, Denied> {
    let presented = request.token().map_err(Denied::Unacceptable)?;
    if presented.transport == Transport::Cookie && request.method() != "GET" {
        request.require_origin().map_err(Denied::Unacceptable)?;
    }
    let token = presented.token;
    let ids = [Some(token.device()), other];
    let ids: Vec<DeviceId> = ids.into_iter().flatten().collect();
    let mut rows = store.rows(token.account(), &ids).await?;
    let device = rows.take_device(token.device());
    let other = match other {
        Some(id) if id == token.device() => device.clone(),
        Some(id) => rows.take_device(id),
        None => None,
    };
    let refusal = match domain::authenticate(&token, rows.account, device, limits, now) {
        Ok(caller) => {
            request.note_account(caller.account.id);
            request.note_device(caller.device.id);
            return Ok(Caller {
                caller,
                other,
                transport: presented.transport,
            });
        }
        Err(refusal) => refusal,
    };
    if refusal != AuthError::Unknown {
        // The caller holds the secret, so the ids in its token are its own.
        request.note_account(token.account());
        request.note_device(token.device());
    }
    Err(Denied::Refused(refusal))
}

/// Hands the outcome on, and writes the first refusal of a session that was ended
/// into its receipt.
async fn noted<T>(
    store: &Store,
    looked: Result<T, Denied>,
    limits: &Limits,
    now: Timestamp,
) -> Result<T, Denied> {
    match &looked {
        Err(Denied::Refused(AuthError::SignedOut(ended, device))) => {
            note_contact(store, device, ended, limits, now).await;
        }
        Err(Denied::Refused(AuthError::EndedByEpoch(device))) if device.contacted_at.is_none() => {
            match store.resolve_end(device, limits, now).await {
                Ok(Some(ended)) => note_contact(store, device, &ended, limits, now).await,
                Ok(None) => {}
                Err(error) => not_noted(&error),
            }
        }
        _ => {}
    }
    looked
}

/// The verdict stands without it; what could not be written is written at the
/// next contact.
async fn note_contact(
    store: &Store,
    device: &Device,
    ended: &EndInfo,
    limits: &Limits,
    now: Timestamp,
) {
    if let Err(error) = store.record_contact(device, ended, now, limits).await {
        not_noted(&error);
    }
}

fn not_noted(error: &StoreError) {
    tracing::warn!(
        cause = error.chain(),
        "A contact was not written into its receipt."
    );
}
