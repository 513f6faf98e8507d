//! Wiring of the `publish-revocations` function.

use events::Topic;
use publish_revocations::{Deps, Unpublished, handle};
use start::{Clients, Error};

fn main() -> Result<(), Error> {
    start::run(deps, |deps, event| async move {
        Ok::<_, Error>(handle(deps, event).await)
    })
}

fn deps() -> Result<Deps, Error> {
    let clients = Clients::from_environment()?;
    Ok(Deps {
        topic: Topic::new(clients.sns(), start::required("TOPIC_ARN")?),
        unpublished: Unpublished::new(clients, start::required("UNPUBLISHED_QUEUE_URL")?),
        issuer: start::required("ISSUER")?,
    })
}
