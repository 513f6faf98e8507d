//! Wiring of the `authorizer` function.

use authorizer::{Asked, Deps, asked_about, handle};
use start::{Clients, Clock, Error};
use store::{Store, Tables};

fn main() -> Result<(), Error> {
    start::run(deps, |deps, asked: Asked| async move {
        let event = asked_about(asked);
        handle(deps, event).await.map_err(Error::from)
    })
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
    })
}
