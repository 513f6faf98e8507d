//! Wiring of the `socket` function.

use socket::{Deps, handle};
use sockets::{PushQueue, Sockets};
use start::{Clients, Clock, Error};
use store::{Store, Tables};

fn main() -> Result<(), Error> {
    start::run(deps, |deps, event| async move {
        Ok::<_, Error>(handle(deps, event).await)
    })
}

fn deps() -> Result<Deps, Error> {
    let clients = Clients::from_environment()?;
    let tables = Tables {
        accounts: start::required("ACCOUNTS_TABLE")?,
        devices: start::required("DEVICES_TABLE")?,
        receipts: start::required("RECEIPTS_TABLE")?,
        connections: start::required("CONNECTIONS_TABLE")?,
        socket_tickets: start::required("SOCKET_TICKETS_TABLE")?,
        ..Tables::default()
    };
    let callback_url = start::required("SOCKET_CALLBACK_URL")?;
    Ok(Deps {
        store: Store::new(clients.dynamodb(), tables),
        sockets: Sockets::new(clients.sockets(&callback_url)),
        queue: PushQueue::new(clients.sqs(), start::required("PUSH_QUEUE_URL")?),
        limits: start::limits()?,
        edge: start::edge(),
        clock: Clock::System,
    })
}
