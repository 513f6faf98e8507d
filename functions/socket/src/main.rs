//! Wiring of the `socket` function.

use runtime::{Clients, Clock, Error};
use socket::{Deps, handle};
use sockets::{PushQueue, Sockets};
use store::{Store, Tables};

fn main() -> Result<(), Error> {
    runtime::run(deps, handle)
}

fn deps() -> Result<Deps, Error> {
    let clients = Clients::from_environment()?;
    let tables = Tables {
        accounts: runtime::required("ACCOUNTS_TABLE")?,
        devices: runtime::required("DEVICES_TABLE")?,
        receipts: runtime::required("RECEIPTS_TABLE")?,
        connections: runtime::required("CONNECTIONS_TABLE")?,
        tickets: runtime::required("SOCKET_TICKETS_TABLE")?,
        ..Tables::default()
    };
    let callback_url = runtime::required("SOCKET_CALLBACK_URL")?;
    Ok(Deps {
        store: Store::new(clients.dynamodb(), tables),
        sockets: Sockets::new(clients.sockets(&callback_url)),
        queue: PushQueue::new(clients.sqs(), runtime::required("PUSH_QUEUE_URL")?),
        limits: runtime::limits()?,
        clock: Clock::System,
    })
}
