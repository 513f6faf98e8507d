//! Wiring of the `login` function.

use std::cell::LazyCell;

use codes::Codes;
use login::{Deps, handle};
use mail::MailQueue;
use runtime::{Clients, Clock, Error};
use store::{Store, Tables};

fn main() -> Result<(), Error> {
    runtime::run_with_warmup(deps, |deps| deps.hasher.prewarm(), handle)
}

fn deps() -> Result<Deps, Error> {
    let tables = Tables {
        accounts: runtime::required("ACCOUNTS_TABLE")?,
        identities: runtime::required("IDENTITIES_TABLE")?,
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
    let budgets = runtime::sign_in_budgets()?;
    let uncounted = budgets.uncounted.clone();
    Ok(Deps {
        store: Store::new(clients.dynamodb(), tables),
        notices: queue("NOTIFY_QUEUE_URL"),
        codes: queue("CODES_QUEUE_URL").map(|queue| Codes::new(queue, uncounted)),
        limits: runtime::limits()?,
        budgets,
        sign_in_codes: runtime::sign_in_codes()?,
        external: runtime::external_verification()?,
        origin_policy: runtime::origin_policy()?,
        clock: Clock::System,
        hasher: runtime::password_hasher()?,
    })
}
