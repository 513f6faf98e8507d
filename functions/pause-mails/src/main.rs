//! Wiring of the `pause-mails` function.

use aws_sdk_sesv2::Client;
use pause_mails::{AlarmEvent, Deps, handle};
use runtime::{Clients, Error};

fn main() -> Result<(), Error> {
    runtime::try_run(deps, |deps, event: AlarmEvent| async move {
        handle(deps, event).await.map_err(Error::from)
    })
}

fn deps() -> Result<Deps, Error> {
    Ok(Deps {
        ses: Client::new(Clients::from_environment()?.config()),
        set: runtime::required("UNPROVEN_CONFIGURATION_SET")?,
    })
}
