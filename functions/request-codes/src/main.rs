//! Wiring of the `request-codes` function.

use codes::Codes;
use mail::MailQueue;
use request_codes::{Deps, handle};
use runtime::{Clients, Clock, Error};
use store::{Store, Tables};

fn main() -> Result<(), Error> {
    runtime::run(deps, handle)
}

fn deps() -> Result<Deps, Error> {
    let clients = Clients::from_environment()?;
    let tables = Tables {
        identities: runtime::required("IDENTITIES_TABLE")?,
        accounts: runtime::required("ACCOUNTS_TABLE")?,
        devices: runtime::required("DEVICES_TABLE")?,
        challenges: runtime::required("CHALLENGES_TABLE")?,
        attempts: runtime::required("ATTEMPTS_TABLE")?,
        ..Tables::default()
    };
    let queue = runtime::optional("CODES_QUEUE_URL");
    let uncounted = runtime::uncounted_networks()?;
    Ok(Deps {
        store: Store::new(clients.dynamodb(), tables),
        limits: runtime::limits()?,
        origin_policy: runtime::origin_policy()?,
        clock: Clock::System,
        codes: queue.map(|url| Codes::new(MailQueue::new(clients.sqs(), url), uncounted)),
    })
}
