//! Wiring of the `authorizer` function.

use authorizer::{AuthorizerEvent, Deps, handle, request_event};
use runtime::{Clients, Clock, Error};
use store::{Store, Tables};

fn main() -> Result<(), Error> {
    runtime::try_run(deps, |deps, event: AuthorizerEvent| async move {
        handle(deps, request_event(event))
            .await
            .map_err(Error::from)
    })
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
        origin_policy: runtime::allowed_origins(),
        clock: Clock::System,
    })
}
