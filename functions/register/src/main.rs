//! Wiring of the `register` function.

use std::sync::Mutex;

use domain::password::Hasher;
use register::{Deps, handle};
use runtime::{Clients, Clock, Error};
use store::{Store, Tables};

fn main() -> Result<(), Error> {
    runtime::run_meanwhile(
        deps,
        |deps| http_api::held(&deps.hasher).make_meanwhile(),
        |deps, event| async move { Ok::<_, Error>(handle(deps, event).await) },
    )
}

fn deps() -> Result<Deps, Error> {
    let tables = Tables {
        accounts: runtime::required("ACCOUNTS_TABLE")?,
        identities: runtime::required("IDENTITIES_TABLE")?,
        ..Tables::default()
    };
    Ok(Deps {
        store: Store::new(Clients::from_environment()?.dynamodb(), tables),
        edge: runtime::edge(),
        clock: Clock::System,
        rules: runtime::password_rules()?,
        hasher: Mutex::new(Hasher::unmade()),
    })
}
