//! Wiring of the `change-password` function.

use std::sync::Mutex;

use change_password::{Deps, handle};
use domain::password::Hasher;
use start::{Clients, Clock, Error};
use store::{Store, Tables};

fn main() -> Result<(), Error> {
    start::run_meanwhile(
        deps,
        |deps| http_api::held(&deps.hasher).make_meanwhile(),
        |deps, event| async move { Ok::<_, Error>(handle(deps, event).await) },
    )
}

fn deps() -> Result<Deps, Error> {
    let tables = Tables {
        accounts: start::required("ACCOUNTS_TABLE")?,
        devices: start::required("DEVICES_TABLE")?,
        receipts: start::required("RECEIPTS_TABLE")?,
        ..Tables::default()
    };
    Ok(Deps {
        store: Store::new(Clients::from_environment()?.dynamodb(), tables),
        limits: start::limits()?,
        edge: start::edge(),
        clock: Clock::System,
        rules: start::password_rules()?,
        hasher: Mutex::new(Hasher::unmade()),
    })
}
