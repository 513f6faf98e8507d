//! Wiring of the `register` function.

use codes::Codes;
use mail::MailQueue;
use register::{Deps, handle};
use runtime::{Clients, Clock, Error};
use store::{Store, Tables};

fn main() -> Result<(), Error> {
    runtime::run_with_warmup(deps, |deps| deps.hasher.prewarm(), handle)
}

fn deps() -> Result<Deps, Error> {
    let clients = Clients::from_environment()?;
    let queue = runtime::optional("CONFIRMATIONS_QUEUE_URL");
    let uncounted = runtime::uncounted_networks()?;
    let tables = Tables {
        accounts: runtime::required("ACCOUNTS_TABLE")?,
        identities: runtime::required("IDENTITIES_TABLE")?,
        challenges: runtime::required("CHALLENGES_TABLE")?,
        attempts: runtime::required("ATTEMPTS_TABLE")?,
        ..Tables::default()
    };
    Ok(Deps {
        store: Store::new(clients.dynamodb(), tables),
        origin_policy: runtime::origin_policy()?,
        clock: Clock::System,
        rules: runtime::password_rules()?,
        hasher: runtime::password_hasher()?,
        codes: queue.map(|url| Codes::new(MailQueue::new(clients.sqs(), url), uncounted)),
    })
}
