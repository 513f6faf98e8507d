//! Wiring of the `push-revocations` function.

use push_revocations::{Deps, handle};
use sockets::{PushQueue, Sockets};
use start::{Calls, Clients, Clock, Error};
use store::{Store, Tables};

fn main() -> Result<(), Error> {
    start::run(deps, |deps, event| async move {
        Ok::<_, Error>(handle(deps, event).await)
    })
}

fn deps() -> Result<Deps, Error> {
    let clients = Clients::from_environment()?;
    let (table_calls, push_calls) = (Calls::default(), Calls::default());
    let tables = Tables {
        accounts: start::required("ACCOUNTS_TABLE")?,
        devices: start::required("DEVICES_TABLE")?,
        receipts: start::required("RECEIPTS_TABLE")?,
        connections: start::required("CONNECTIONS_TABLE")?,
        ..Tables::default()
    };
    let callback_url = start::required("SOCKET_CALLBACK_URL")?;
    Ok(Deps {
        store: Store::new(clients.counted(&table_calls).dynamodb(), tables),
        sockets: Sockets::new(clients.counted(&push_calls).sockets(&callback_url)),
        queue: PushQueue::new(clients.sqs(), start::required("PUSH_QUEUE_URL")?),
        limits: start::limits()?,
        clock: Clock::System,
        table_calls,
        push_calls,
    })
}
