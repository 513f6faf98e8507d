//! Wiring of the `verify` function.

use codes::Codes;
use mail::MailQueue;
use runtime::{Clients, Clock, Error};
use store::{Store, Tables};
use verify::{Deps, handle};

fn main() -> Result<(), Error> {
    runtime::run_with_warmup(deps, |deps| deps.hasher.prewarm(), handle)
}

fn deps() -> Result<Deps, Error> {
    let tables = Tables {
        accounts: runtime::required("ACCOUNTS_TABLE")?,
        devices: runtime::required("DEVICES_TABLE")?,
        receipts: runtime::required("RECEIPTS_TABLE")?,
        attempts: runtime::required("ATTEMPTS_TABLE")?,
        challenges: runtime::required("CHALLENGES_TABLE")?,
        ..Tables::default()
    };
    let clients = Clients::from_environment()?;
    let queue = runtime::optional("CODES_QUEUE_URL");
    Ok(Deps {
        store: Store::new(clients.dynamodb(), tables),
        limits: runtime::limits()?,
        policy: runtime::verification_policy()?,
        origin_policy: runtime::origin_policy()?,
        clock: Clock::System,
        codes: queue.map(|url| Codes::for_sessions(MailQueue::new(clients.sqs(), url))),
        hasher: runtime::password_hasher()?,
    })
}
