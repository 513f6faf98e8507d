//! The password: verified with the same work for every address, and rehashed.

use domain::Account;
use domain::password::{Password, PasswordCheck, StoredHash};
use http_api::{Problem, Request};
use store::WriteOutcome;

use crate::Deps;

/// The hash that the password has been verified against.
#[derive(Default)]
pub(crate) struct Verified {
    hash: Option<StoredHash>,
    needs_rehash: bool,
}

impl Verified {
    /// Verifies the password, with the same work when there is no account. Does nothing if
    /// it was verified against the account's hash before.
    ///
    /// # Errors
    /// [`Problem::CredentialsInvalid`]; [`Problem::Unavailable`] if the hash's pepper is not
    /// known.
    pub(crate) async fn verify(
        &mut self,
        deps: &Deps,
        request: &Request,
        password: &Password,
        account: Option<&Account>,
    ) -> Result<(), Problem> {
        let stored = account.map(|account| &account.password_hash);
        if self.hash.is_some() && self.hash.as_ref() == stored {
            return Ok(());
        }
        match deps.hasher.verify(password, stored).await? {
            PasswordCheck::Match { needs_rehash } => {
                self.hash = stored.cloned();
                self.needs_rehash = needs_rehash;
                Ok(())
            }
            PasswordCheck::Mismatch => {
                if let Some(account) = account {
                    request.note_account(account.id);
                }
                request.note_outcome(account.map_or("unknown-address", |_| "wrong-password"));
                Err(Problem::CredentialsInvalid)
            }
        }
    }

    /// Stores a hash with the current parameters and pepper, if the verified one has others. The
    /// sign-in succeeds in any case: after a failure, the next sign-in tries again.
    pub(crate) async fn rehash(&self, deps: &Deps, password: &Password, account: &Account) {
        if !self.needs_rehash {
            return;
        }
        let new = deps.hasher.hash(password);
        let verified = &account.password_hash;
        match deps.store.rehash(account.id, verified, &new).await {
            Ok(WriteOutcome::Done | WriteOutcome::Stale) => {}
            Err(error) => tracing::warn!(cause = error.chain(), "rehash failed"),
        }
    }
}

/// Returns the account, if it exists and is not disabled.
pub(crate) fn require_enabled(
    request: &Request,
    account: Option<Account>,
) -> Result<Account, Problem> {
    let account = account.ok_or(Problem::CredentialsInvalid)?;
    request.note_account(account.id);
    if account.disabled_at.is_some() {
        request.note_outcome("account-disabled");
        return Err(Problem::CredentialsInvalid);
    }
    Ok(account)
}
