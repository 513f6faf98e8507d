//! The demo account, and accounts without a mail: written as a confirmation would.

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::password::{Hasher, Password};
use domain::{Account, AccountId, EmailAddress, Epoch};
use store::{RegisterOutcome, Store};

use crate::record::Demo;

/// The same address at each start.
const EMAIL: &str = "demo@example.com";

/// Makes the account, with a new password at each start.
///
/// # Errors
/// When the tables don't take it.
pub(crate) async fn create(store: &Store) -> Result<Demo> {
    let demo = Demo {
        email: EMAIL.into(),
        password: password()?,
    };
    register(store, &demo.email, &demo.password).await?;
    Ok(demo)
}

/// Makes an account whose address counts as confirmed.
///
/// # Errors
/// When the address is taken, or the tables don't take it.
pub async fn register(store: &Store, email: &str, password: &str) -> Result<AccountId> {
    let address = EmailAddress::parse(email)?;
    let now = runtime::Clock::System.now();
    let account = Account {
        id: AccountId::from_random(runtime::random()),
        email: address.as_normal().to_owned(),
        password_hash: Hasher::new().hash(&Password::parse(password)?, runtime::random()),
        epoch: Epoch::FIRST,
        kept_session: None,
        disabled_at: None,
        created_at: now,
        confirmed_at: Some(now),
        recovered_at: None,
        recovered_epoch: None,
        factors: Vec::new(),
        factors_lost_at: None,
        hold: None,
        address_change: None,
        sign_in_codes: false,
    };
    let registered = store.register(&account, &address).await?;
    ensure!(
        registered == RegisterOutcome::Registered,
        "{email} has an account"
    );
    Ok(account.id)
}

/// Returns a password of 20 characters: 120 random bits.
///
/// # Errors
/// When the operating system has no randomness.
#[expect(
    clippy::disallowed_methods,
    reason = "nothing else in this crate needs a secret"
)]
pub fn password() -> Result<String> {
    let mut bytes = [0; 15];
    getrandom::fill(&mut bytes).context("the operating system has no randomness")?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
