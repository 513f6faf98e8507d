//! Addresses: whose one is, changing that of an account, and undoing it.

use aws_sdk_dynamodb::types::Update;
use domain::address_change::{AddressChange, NewAddress};
use domain::challenge::Challenge;
use domain::ownership::Hold;
use domain::password::StoredHash;
use domain::session::Authenticated;
use domain::{
    Account, AccountId, EmailAddress, Limits, Notice, NoticeAnswer, NoticeId, Purpose, SignOut,
    Timestamp,
};

use crate::attributes::{built, number, string};
use crate::error::StoreError;
use crate::rows::{account, device, notice, receipt};
use crate::writes::{self, Write, WriteOutcome};
use crate::{Store, reads};

/// Whose an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressOwner {
    /// No account has it.
    Nobody,
    /// An account has it.
    Account(AccountId),
    /// An account had it until a change that the old mailbox can still undo. Nobody else gets it
    /// before.
    Former,
}

impl Store {
    /// Returns whose an address is at `now`.
    ///
    /// `GetItem` of Identities (`email`), consistent.
    ///
    /// # Errors
    /// [`StoreError`] when the read failed.
    pub async fn address_owner(
        &self,
        email: &EmailAddress,
        now: Timestamp,
    ) -> Result<AddressOwner, StoreError> {
        let key = account::identity_key(email);
        let item = reads::get(&self.client, &self.tables.identities, key).await?;
        let Some(identity) = item.as_ref().map(account::identity_from).transpose()? else {
            return Ok(AddressOwner::Nobody);
        };
        Ok(match identity.kept_until {
            None => AddressOwner::Account(identity.account),
            Some(until) if now < until => AddressOwner::Former,
            Some(_) => AddressOwner::Nobody,
        })
    }

    /// Changes the address of the caller's account to one whose mail the caller has read. The
    /// challenge is kept for a confirmation that is repeated. `claimed` is the account that had
    /// the address without a proof: it is left without one.
    ///
    /// One transaction: Accounts (`account_id`), only if it still has the epoch and the address
    /// of the caller's check; Devices (`account_id`, `device_id`), only if the row still holds
    /// the caller's session, signed in; Identities (`email`), the new one only if no account has
    /// it, or still the claimed one, and the old one, which is kept for the account as long as
    /// the change can be undone; the claimed account, only if nobody has confirmed its address;
    /// Challenges (`challenge_id`), whose purpose changes; Receipts (the record for the stream).
    /// The change's id is the client request token, so a replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn change_address(
        &self,
        caller: &Authenticated,
        challenge: &Challenge,
        (new, claimed): (&NewAddress, Option<AccountId>),
        limits: &Limits,
    ) -> Result<WriteOutcome, StoreError> {
        let (accounts, account) = (&self.tables.accounts, &caller.account);
        let session = device::is_signed_in(caller.device.session);
        let identity = match claimed {
            None => account::address_is_free(new.at),
            Some(old) => account::address_is_of(old),
        };
        let identity = identity.put(
            &self.tables.identities,
            account::to_identity(account, &new.email),
        );
        let record = receipt::put_address_change(&self.tables.receipts, caller, new, limits);
        let mut writes = vec![
            Write::Update(account::change_address(accounts, account, new)),
            Write::Check(session.check(
                &self.tables.devices,
                device::key(account.id, caller.device.id),
            )),
            Write::Put(identity),
            self.turn_into(challenge, Purpose::AddressChanged),
            Write::Put(record),
        ];
        if !account.email.is_empty() {
            let undo_ends = new.change.as_ref().map(AddressChange::undo_ends_at);
            let until = undo_ends.unwrap_or(new.at);
            writes.push(self.keep_identity(&account.email, until));
        }
        writes.extend(
            claimed
                .map(|old| account::without_address(accounts, old))
                .map(Write::Update),
        );
        writes::transact(&self.client, writes, new.id.to_string()).await
    }

    /// Undoes a change of the address: gives the account the one before, ends every session and
    /// makes the password void until a recovery. No sign-out that is written in between gets in
    /// its way.
    ///
    /// One transaction: Notices (`account_id`, `notice_id`), which is answered; Accounts
    /// (`account_id`), whose epoch jumps, only if the epoch is still before the jump and this
    /// change is the last one and was not undone; Identities (`email`), the one before, only if
    /// it is still kept for the account, and the changed one, which is free from now on; Receipts
    /// (the header and the record). The sign-out's id is the client request token, so a replay
    /// changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn undo_address_change(
        &self,
        (account, change): (&Account, &AddressChange),
        notice: &Notice,
        (sign_out, void): (&SignOut, &StoredHash),
        limits: &Limits,
    ) -> Result<WriteOutcome, StoreError> {
        let next = sign_out.last_ended().map_or(0, |ended| ended.next().0);
        let restore =
            account::restore_address(&self.tables.accounts, (account, change), sign_out.at)
                .expression_attribute_values(":next", number(next))
                .expression_attribute_values(":void", string(void.as_str()));
        let (notices, answer) = (&self.tables.notices, NoticeAnswer::Undo);
        let answered = notice::answer_alongside(notices, notice, answer, sign_out.at);
        let mut writes = vec![
            Write::Update(answered),
            Write::Update(built(restore.build())),
            Write::Update(self.take_identity_back(account.id, &change.previous)),
            self.keep_identity(&account.email, sign_out.at),
        ];
        let records = receipt::put_header(&self.tables.receipts, sign_out, limits);
        writes.extend(records.into_iter().map(Write::Put));
        writes::transact(&self.client, writes, sign_out.id.to_string()).await
    }

    /// Holds changes of an account whose old mailbox says that a change, which a settled factor
    /// proved, was not the owner's.
    ///
    /// One transaction: Notices (`account_id`, `notice_id`), which is answered, only if it was
    /// not; Accounts (`account_id`), only if this change is the last one. `attempt` is the client
    /// request token, so a replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn warn_of_address_change(
        &self,
        (account, change): (&Account, &AddressChange),
        notice: &Notice,
        hold: &Hold,
        attempt: NoticeId,
    ) -> Result<WriteOutcome, StoreError> {
        let answered = notice::answer(
            &self.tables.notices,
            notice,
            NoticeAnswer::Undo,
            hold.began_at,
        );
        let warn = account::warn_of_change(&self.tables.accounts, (account, change), hold);
        let writes = [Write::Update(answered), Write::Update(warn)];
        writes::transact(&self.client, writes, attempt.to_string()).await
    }

    /// Returns the update that keeps an address for the account that had it until `until`. It
    /// needs no condition: that on the account's address says whose it is.
    fn keep_identity(&self, email: &str, until: Timestamp) -> Write {
        Write::Update(account::keep_identity(
            &self.tables.identities,
            email,
            until,
        ))
    }

    fn take_identity_back(&self, account: AccountId, email: &str) -> Update {
        account::take_identity_back(&self.tables.identities, account, email)
    }
}
