//! Wiring of the `second-step` function.

use codes::Codes;
use factors::{Checker, Sealer};
use mail::MailQueue;
use runtime::{Clients, Clock, Error};
use second_step::{Deps, handle};
use store::{Store, Tables};

fn main() -> Result<(), Error> {
    runtime::run(deps, handle)
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
    let key = runtime::optional("FACTORS_KEY");
    let policy = runtime::verification_policy()?;
    let queue = |name| Some(MailQueue::new(clients.sqs(), runtime::optional(name)?));
    Ok(Deps {
        store: Store::new(clients.dynamodb(), tables),
        limits: runtime::limits()?,
        policy,
        checker: Checker {
            sealer: key.map(|key| Sealer::new(clients.config(), key)),
            sends_mail: policy.sends_mail,
        },
        sign_in_codes: runtime::sign_in_codes()?,
        product: runtime::product()?,
        notices: queue("NOTIFY_QUEUE_URL"),
        codes: queue("CODES_QUEUE_URL").map(Codes::for_sessions),
        origin_policy: runtime::origin_policy()?,
        clock: Clock::System,
    })
}
