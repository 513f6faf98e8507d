//! Answering a code: what a request presents, and what the challenge then proves.

use domain::challenge::{Challenge, ChallengeSecret, Code, Purpose};
use domain::{AccountId, Timestamp};
use http_api::Problem;
use store::{AddressOwner, Store};

/// Parses the secret and the code of a request.
///
/// # Errors
/// `request-invalid`, with the field.
pub fn parse_answer(challenge: &str, code: &str) -> Result<(ChallengeSecret, Code), Problem> {
    Ok((
        ChallengeSecret::parse(challenge)
            .map_err(|error| Problem::invalid("challenge", error.to_string()))?,
        Code::parse(code).map_err(|error| Problem::invalid("code", error.to_string()))?,
    ))
}

/// Counts a try, and returns the challenge if the code answers it.
///
/// # Errors
/// `code-invalid` and `unavailable`.
pub async fn answered_challenge(
    store: &Store,
    purpose: Purpose,
    (secret, code): &(ChallengeSecret, Code),
    now: Timestamp,
) -> Result<Challenge, Problem> {
    let found = store.try_challenge(&secret.id(), purpose).await?;
    let answered = found.filter(|it| it.is_answered_by_code(secret, code, now));
    answered.ok_or(Problem::CodeInvalid)
}

/// Does the same for a request that may be repeated because its answer was lost: by then the
/// challenge has the purpose `completed` instead of `open`.
///
/// # Errors
/// As [`answered_challenge`].
pub async fn open_or_completed_challenge(
    store: &Store,
    [open, completed]: [Purpose; 2],
    answer: &(ChallengeSecret, Code),
    now: Timestamp,
) -> Result<Challenge, Problem> {
    match answered_challenge(store, open, answer, now).await {
        Err(Problem::CodeInvalid) => answered_challenge(store, completed, answer, now).await,
        other => other,
    }
}

/// Returns the account that has the address of a challenge without a proof, if one has.
///
/// # Errors
/// `taken`, if an account has proven the address, or had it and can still get it back; and
/// `unavailable`.
pub async fn unproven_owner(
    store: &Store,
    challenge: &Challenge,
    taken: Problem,
    now: Timestamp,
) -> Result<Option<AccountId>, Problem> {
    let owner = match store.address_owner(&challenge.email, now).await? {
        AddressOwner::Nobody => return Ok(None),
        AddressOwner::Former => return Err(taken),
        AddressOwner::Account(owner) => owner,
    };
    let account = store.rows(owner, &[]).await?.account;
    let is_confirmed = account.is_some_and(|account| account.confirmed_at.is_some());
    if is_confirmed {
        Err(taken)
    } else {
        Ok(Some(owner))
    }
}
