//! Verification: a session's new token.

use std::fmt::Write as _;

use domain::challenge::Challenge;
use domain::factors::FactorUse;
use domain::session::Authenticated;
use domain::verification::NewToken;
use domain::{Device, Timestamp};

use crate::Store;
use crate::error::StoreError;
use crate::rows::{account, challenge, device};
use crate::writes::{self, Write, WriteOutcome};

/// What a verification uses up: each works once.
#[derive(Debug, Clone, Default)]
pub struct UsedUp {
    /// The challenge that a code has answered.
    pub challenge: Option<Challenge>,
    /// The factor that was shown.
    pub factor: Option<FactorUse>,
    /// Whether that stops the removal of lost factors.
    pub stops_removal: bool,
}

impl Store {
    /// Gives the caller's session another token, which is verified.
    ///
    /// One transaction: Accounts (`account_id`), only if it still has the epoch that the
    /// caller was authenticated under; Devices (`account_id`, `device_id`), only if the row
    /// still has the token that was read, which names the session, and is signed in; with a code,
    /// Challenges (`challenge_id`), which is deleted; with a factor, Factors
    /// (`account_id`, `factor_id`), as [`Store::take_second_step`], which can stop the removal of
    /// lost factors. The account's other sessions and the session's own times stay. The start of
    /// the new token's hash is the client request token, so a replay changes nothing.
    ///
    /// The delete of the challenge needs no condition: only this session can answer it, and a
    /// verification that used it before has replaced the token. So the caller must read the row
    /// before it tries the code.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn verify(
        &self,
        caller: &Authenticated,
        new: &NewToken,
        used: &UsedUp,
    ) -> Result<WriteOutcome, StoreError> {
        let (account, row) = (&caller.account, &caller.device);
        let same_epoch = if used.stops_removal {
            self.keep_factors(account)
        } else {
            let key = account::key(account.id);
            let check = account::has_epoch(account.epoch).check(&self.tables.accounts, key);
            Write::Check(check)
        };
        let mut writes = vec![
            same_epoch,
            Write::Update(device::verify(&self.tables.devices, row, new)),
        ];
        if let Some(shown) = &used.factor {
            writes.push(self.use_factor(account.id, shown));
        }
        if let Some(answered) = &used.challenge {
            let take = challenge::delete(&self.tables.challenges, &answered.id);
            writes.push(Write::Delete(take));
        }
        writes::transact(&self.client, writes, request_token(new)).await
    }

    /// Ends the time for which the token before is accepted, because the new one has been
    /// seen.
    ///
    /// `UpdateItem` of Devices (`account_id`, `device_id`), only if the row still holds this
    /// session, signed in, and the end that was read. A replay is `Stale`. Not retried when the
    /// row is busy: the next call will do, and five minutes after the verification it ends anyway.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn end_previous_token(
        &self,
        row: &Device,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<WriteOutcome, StoreError> {
        let update = device::end_previous_token(&self.tables.devices, row, until, now);
        writes::update_once(&self.client, update).await
    }
}

/// Returns 32 characters that no other verification has.
fn request_token(new: &NewToken) -> String {
    let mut token = String::new();
    for byte in &new.hash.as_bytes()[..16] {
        let _ = write!(token, "{byte:02x}");
    }
    token
}
