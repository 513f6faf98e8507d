//! Wiring of the `mark-returned-mails` function.

use mark_returned_mails::{BounceEvent, Deps, handle};
use runtime::{Clients, Clock, Error};
use store::{Store, Tables};

fn main() -> Result<(), Error> {
    runtime::try_run(deps, |deps, event: BounceEvent| async move {
        handle(deps, event).await.map_err(Error::from)
    })
}

fn deps() -> Result<Deps, Error> {
    let tables = Tables {
        notices: runtime::required("NOTICES_TABLE")?,
        ..Tables::default()
    };
    Ok(Deps {
        store: Store::new(Clients::from_environment()?.dynamodb(), tables),
        clock: Clock::System,
    })
}
