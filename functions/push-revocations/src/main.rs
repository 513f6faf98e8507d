//! Wiring of the `push-revocations` function.

use push_revocations::{Deps, handle};
use runtime::{Calls, Clients, Clock, Error};
use sockets::{PushQueue, Sockets};
use store::{Store, Tables};

fn main() -> Result<(), Error> {
    runtime::run(deps, handle)
}

fn deps() -> Result<Deps, Error> {
    let clients = Clients::from_environment()?;
    let (table_calls, push_calls) = (Calls::default(), Calls::default());
    let tables = Tables {
        accounts: runtime::required("ACCOUNTS_TABLE")?,
        devices: runtime::required("DEVICES_TABLE")?,
        receipts: runtime::required("RECEIPTS_TABLE")?,
        connections: runtime::required("CONNECTIONS_TABLE")?,
        ..Tables::default()
    };
    let callback_url = runtime::required("SOCKET_CALLBACK_URL")?;
    Ok(Deps {
        store: Store::new(clients.counted(&table_calls).dynamodb(), tables),
        sockets: Sockets::new(clients.counted(&push_calls).sockets(&callback_url)),
        queue: PushQueue::new(clients.sqs(), runtime::required("PUSH_QUEUE_URL")?),
        limits: runtime::limits()?,
        clock: Clock::System,
        table_calls,
        push_calls,
    })
}
