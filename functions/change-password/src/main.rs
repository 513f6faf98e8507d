//! Wiring of the `change-password` function.

use change_password::{Deps, handle};
use runtime::{Clients, Clock, Error};
use store::{Store, Tables};

fn main() -> Result<(), Error> {
    runtime::run_with_warmup(deps, |deps| deps.hasher.prewarm(), handle)
}

fn deps() -> Result<Deps, Error> {
    let tables = Tables {
        accounts: runtime::required("ACCOUNTS_TABLE")?,
        devices: runtime::required("DEVICES_TABLE")?,
        receipts: runtime::required("RECEIPTS_TABLE")?,
        attempts: runtime::required("ATTEMPTS_TABLE")?,
        ..Tables::default()
    };
    Ok(Deps {
        store: Store::new(Clients::from_environment()?.dynamodb(), tables),
        limits: runtime::limits()?,
        policy: runtime::verification_policy()?,
        origin_policy: runtime::origin_policy()?,
        clock: Clock::System,
        rules: runtime::password_rules()?,
        hasher: runtime::password_hasher()?,
    })
}
