//! The account that the in-process tests use, and its devices as their clients
//! hold them.

use domain::password::{Hasher, Password};
use domain::{
    Account, AccountId, DeviceId, EmailAddress, Epoch, Limits, SessionId, SignOut, SignOutId,
    Timestamp, Token,
};
use http_api::Reply;
use runtime::Clock;
use serde_json::Value;
use store::{RegisterOutcome, Store, StoreError, WriteOutcome};

use crate::bundle::{CHEAP, json_of};

/// The account's address.
pub const EMAIL: &str = "lea@example.com";
/// The address of another account.
pub const OTHER_EMAIL: &str = "ada@example.com";
/// The password of every account.
pub const PASSWORD: &str = "quiet otter borrows nine lanterns";
/// Another password that the rules accept.
pub const OTHER_PASSWORD: &str = "nine lanterns drift past the harbour";
/// The time at which every test begins.
pub const NOON: &str = "2026-11-20T12:00:00Z";

/// Returns a clock that stands at [`NOON`] until a test moves it.
#[must_use]
pub fn noon() -> Clock {
    Clock::fixed(NOON.parse().expect("a well-formed timestamp"))
}

/// An account and its devices.
#[derive(Debug, Clone)]
pub struct TestAccount {
    /// Its id.
    pub id: AccountId,
    /// Its address.
    pub email: String,
    /// Its password when the test begins.
    pub password: String,
    /// Its devices, the oldest first.
    pub devices: Vec<TestDevice>,
}

/// A device that has signed in, with the secrets that its client holds.
#[derive(Debug, Clone)]
pub struct TestDevice {
    /// The account that it signed in to.
    pub account: AccountId,
    /// Its id.
    pub id: DeviceId,
    /// Its session.
    pub session: SessionId,
    /// The session's token.
    pub token: String,
    /// The key with which the same device signs in again.
    pub key: String,
}

impl TestDevice {
    /// Reads the answer to a sign-in.
    #[must_use]
    pub fn of(reply: &Reply) -> Self {
        let body = json_of(reply);
        assert_eq!(reply.status_code, 200, "{body}");
        let text = |value: &Value| value.as_str().expect("a string").to_owned();
        let token = text(&body["token"]);
        Self {
            account: Token::parse(&token).expect("a token").account(),
            id: text(&body["device"]["id"]).parse().expect("an id"),
            session: text(&body["session"]).parse().expect("an id"),
            token,
            key: text(&body["device_key"]),
        }
    }

    /// Returns the device with a token that has its ids and another secret.
    #[must_use]
    pub fn with_wrong_secret(&self) -> Self {
        let token = Token::new(self.account, self.id, [1; 32]);
        Self {
            token: token.to_text().to_string(),
            ..self.clone()
        }
    }
}

/// Registers an account with a password, without the API.
///
/// # Errors
/// When a table fails.
pub async fn register(
    store: &Store,
    email: &str,
    password: &str,
    confirmed_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<AccountId, StoreError> {
    let address = EmailAddress::parse(email).expect("an address");
    let password = Password::parse(password).expect("a password");
    let mut hasher = Hasher::with_params(CHEAP).expect("in bounds");
    let account = Account {
        id: AccountId::from_random(runtime::random()),
        email: address.as_normal().to_owned(),
        password_hash: hasher.hash(&password, runtime::random()),
        epoch: Epoch::FIRST,
        kept_session: None,
        disabled_at: None,
        created_at: now,
        confirmed_at,
        recovered_at: None,
        recovered_epoch: None,
        factors: Vec::new(),
        factors_lost_at: None,
        hold: None,
        address_change: None,
        sign_in_codes: false,
    };
    // Boxed: the SDK's future is large, and most tests begin with this one.
    let registered = Box::pin(store.register(&account, &address)).await?;
    assert_eq!(registered, RegisterOutcome::Registered);
    Ok(account.id)
}

/// Disables an account as an operator does, and returns the sign-out that ends its
/// sessions.
///
/// # Errors
/// When a table fails, or the account keeps changing.
pub async fn disable(
    store: &Store,
    account: AccountId,
    limits: &Limits,
    now: Timestamp,
) -> Result<SignOutId, StoreError> {
    for _ in 0..3 {
        let rows = store.rows(account, &[]).await?;
        let account = rows.account.expect("the account");
        let sign_out = SignOut::of_disabled(&account, now, runtime::random());
        if store.disable(&account, &sign_out, limits).await? == WriteOutcome::Done {
            return Ok(sign_out.id);
        }
    }
    Err(StoreError::Contended)
}
