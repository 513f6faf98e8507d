//! Wiring of the `introspect` function.

use introspect::{Deps, handle};
use runtime::{Clients, Clock, Error};
use store::{Store, Tables};

fn main() -> Result<(), Error> {
    runtime::run(deps, handle)
}

fn deps() -> Result<Deps, Error> {
    let tables = Tables {
        accounts: runtime::required("ACCOUNTS_TABLE")?,
        devices: runtime::required("DEVICES_TABLE")?,
        receipts: runtime::required("RECEIPTS_TABLE")?,
        ..Tables::default()
    };
    Ok(Deps {
        store: Store::new(Clients::from_environment()?.dynamodb(), tables),
        limits: runtime::limits()?,
        // A service proves itself by IAM, and its signature covers the gateway's host.
        origin_policy: runtime::allowed_origins(),
        clock: Clock::System,
        issuer: runtime::optional("ISSUER"),
    })
}
