//! Wiring of the `verify` function.

use std::cell::LazyCell;

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
    // One client for both queues, and none where no mail is sent.
    let sqs = LazyCell::new(|| clients.sqs());
    let queue = |name| {
        let url = runtime::optional(name)?;
        Some(MailQueue::new(sqs.clone(), url))
    };
    let key = runtime::optional("FACTORS_KEY");
    let policy = runtime::verification_policy()?;
    Ok(Deps {
        store: Store::new(clients.dynamodb(), tables),
        limits: runtime::limits()?,
        policy,
        checker: Checker {
            sealer: key.map(|key| Sealer::new(clients.config(), key)),
            sends_mail: policy.sends_mail,
        },
        origin_policy: runtime::origin_policy()?,
        clock: Clock::System,
        codes: queue("CODES_QUEUE_URL").map(Codes::for_sessions),
        notices: queue("NOTIFY_QUEUE_URL"),
        hasher: runtime::password_hasher()?,
    })
}
