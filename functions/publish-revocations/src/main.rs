//! Wiring of the `publish-revocations` function.

use events::Topic;
use publish_revocations::{Deps, Unpublished, handle};
use runtime::{Clients, Error};

fn main() -> Result<(), Error> {
    runtime::run(deps, handle)
}

fn deps() -> Result<Deps, Error> {
    let clients = Clients::from_environment()?;
    Ok(Deps {
        topic: Topic::new(clients.config(), runtime::required("TOPIC_ARN")?),
        unpublished: Unpublished::new(clients, runtime::required("UNPUBLISHED_QUEUE_URL")?),
        issuer: runtime::required("ISSUER")?,
    })
}
