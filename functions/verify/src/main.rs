//! Wiring of the `verify` function.

use codes::Codes;
use factors::{Checker, Sealer};
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
        factors: runtime::required("FACTORS_TABLE")?,
        ..Tables::default()
    };
    let clients = Clients::from_environment()?;
    let queue = runtime::optional("CODES_QUEUE_URL");
    let key = runtime::optional("FACTORS_KEY");
    let policy = runtime::verification_policy()?;
    Ok(Deps {
        store: Store::new(clients.dynamodb(), tables),
        limits: runtime::limits()?,
        policy,
        checker: Checker {
            sealer: key.map(|key| Sealer::new(clients.kms(), key)),
            sends_mail: policy.sends_mail,
        },
        origin_policy: runtime::origin_policy()?,
        clock: Clock::System,
        codes: queue.map(|url| Codes::for_sessions(MailQueue::new(clients.sqs(), url))),
        hasher: runtime::password_hasher()?,
    })
}
