//! Wiring of the `change-address` function.

use change_address::{Deps, handle};
use codes::Codes;
use mail::MailQueue;
use runtime::{Clients, Clock, Error};
use store::{Store, Tables};

fn main() -> Result<(), Error> {
    runtime::run(deps, handle)
}

fn deps() -> Result<Deps, Error> {
    let tables = Tables {
        accounts: runtime::required("ACCOUNTS_TABLE")?,
        identities: runtime::required("IDENTITIES_TABLE")?,
        devices: runtime::required("DEVICES_TABLE")?,
        receipts: runtime::required("RECEIPTS_TABLE")?,
        challenges: runtime::required("CHALLENGES_TABLE")?,
        attempts: runtime::required("ATTEMPTS_TABLE")?,
        ..Tables::default()
    };
    let clients = Clients::from_environment()?;
    let queue = runtime::optional("CODES_QUEUE_URL").map(|url| MailQueue::new(clients.sqs(), url));
    Ok(Deps {
        store: Store::new(clients.dynamodb(), tables),
        limits: runtime::limits()?,
        policy: runtime::verification_policy()?,
        origin_policy: runtime::origin_policy()?,
        clock: Clock::System,
        codes: queue.map(Codes::for_sessions),
    })
}
