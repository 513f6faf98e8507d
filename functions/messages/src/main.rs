//! Wiring of the `messages` function.

use mail::MailQueue;
use messages::{Deps, handle};
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
        notices: runtime::required("NOTICES_TABLE")?,
        factors: runtime::required("FACTORS_TABLE")?,
        ..Tables::default()
    };
    let clients = Clients::from_environment()?;
    let queue = runtime::optional("NOTIFY_QUEUE_URL");
    Ok(Deps {
        store: Store::new(clients.dynamodb(), tables),
        limits: runtime::limits()?,
        origin_policy: runtime::origin_policy()?,
        clock: Clock::System,
        sends_mail: runtime::optional("MAIL_FROM").is_some(),
        warnings: queue.map(|url| MailQueue::new(clients.sqs(), url)),
    })
}
