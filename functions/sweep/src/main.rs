//! Wiring of the `sweep` function.

use events::Topic;
use runtime::{Clients, Clock, ConfigError, Error};
use store::{Store, Tables};
use sweep::{Deps, Queue, handle};

fn main() -> Result<(), Error> {
    runtime::run(deps, handle)
}

fn deps() -> Result<Deps, Error> {
    let clients = Clients::from_environment()?;
    let tables = Tables {
        devices: runtime::required("DEVICES_TABLE")?,
        receipts: runtime::required("RECEIPTS_TABLE")?,
        ..Tables::default()
    };
    Ok(Deps {
        store: Store::new(clients.dynamodb(), tables),
        topic: Topic::new(clients.config(), runtime::required("TOPIC_ARN")?),
        queue: Queue::new(clients.sqs(), runtime::required("SWEEP_QUEUE_URL")?),
        issuer: runtime::required("ISSUER")?,
        page_size: page_size()?,
        limits: runtime::limits()?,
        clock: Clock::System,
    })
}

fn page_size() -> Result<i32, ConfigError> {
    let name = "SWEEP_PAGE_SIZE";
    let size = runtime::number(name, 25)?;
    if (1..=100).contains(&size) {
        Ok(size)
    } else {
        Err(ConfigError::Invalid {
            name,
            expected: "a number of devices from 1 to 100",
        })
    }
}
