//! Wiring of the `login` function.

use std::sync::Mutex;

use domain::password::Hasher;
use login::{Deps, handle};
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
        identities: start::required("IDENTITIES_TABLE")?,
        devices: start::required("DEVICES_TABLE")?,
        receipts: start::required("RECEIPTS_TABLE")?,
        ..Tables::default()
    };
    Ok(Deps {
        store: Store::new(Clients::from_environment()?.dynamodb(), tables),
        limits: start::limits()?,
        edge: start::edge(),
        clock: Clock::System,
        hasher: Mutex::new(Hasher::unmade()),
    })
}
