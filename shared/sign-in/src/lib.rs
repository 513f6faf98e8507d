//! A new session: described, written and answered, once a sign-in has proven who signs in.
//!
//! Two functions sign people in: `login` by a password, and `second-step` by what a password
//! is not enough for.

mod logged_in;
mod new_session;
mod page;
mod wanted;
mod write;

use domain::{Account, Device, Limits, SignOut, Timestamp};
use http_api::{Answer, DeviceKeys, Problem, Request};
use store::{Store, StoreError, WriteOutcome};

pub use logged_in::LoggedIn;
pub use new_session::{NewSession, Trust};
pub use wanted::{DeviceClaims, SignOutOthers, TokenTransport, Wanted, WantedFields};

/// The most attempts of a sign-in when other writes change the same rows in between.
/// One more than for other writes: the client has just waited for a hash.
pub const ATTEMPTS: u32 = 4;

/// A sign-in.
#[derive(Debug, Clone, Copy)]
pub struct SignIn<'a> {
    /// The tables.
    pub store: &'a Store,
    /// The limits of sessions.
    pub limits: &'a Limits,
    /// Whether the deployment sends mail.
    pub sends_mail: bool,
    /// The request.
    pub request: &'a Request,
    /// What it asks for.
    pub wanted: &'a Wanted,
    /// Now.
    pub now: Timestamp,
}

impl SignIn<'_> {
    /// Creates a session for the device of the keys, with the account's epoch. Signs the
    /// session out that a page's cookie has. Call this only when the sign-in is proven.
    ///
    /// # Errors
    /// `unavailable`.
    pub async fn prepare(
        &self,
        account: &Account,
        devices: Vec<Device>,
        keys: &mut DeviceKeys,
        trust: Trust,
    ) -> Result<NewSession, Problem> {
        let device = keys.identify(account, devices, self.now, runtime::random());
        let mut session = NewSession::new(self, (account, device, trust));
        if self.wanted.ends_others {
            let random = runtime::random();
            let sign_out = SignOut::at_sign_in(account, &session.row, self.now, random);
            session.end_others(account, sign_out);
        }
        self.request.note_device(session.row.id);
        session.earlier = page::end_earlier(self, &session.row).await?;
        Ok(session)
    }

    /// Writes the session. `Stale` means that another write came first, or that the answer to
    /// this one was lost: the same session must not be written twice.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn write(
        &self,
        account: &Account,
        session: &NewSession,
    ) -> Result<WriteOutcome, StoreError> {
        write::write(self, account, session).await
    }

    /// Returns the answer that shows the session, once.
    #[must_use]
    pub fn answer(&self, account: &Account, session: NewSession, keys: &DeviceKeys) -> Answer {
        logged_in::answer(self, account, session, keys)
    }
}
