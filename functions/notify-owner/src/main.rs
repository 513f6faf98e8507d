//! Wiring of the `notify-owner` function.

use mail::{Language, MailQueue};
use notify_owner::{Deps, handle};
use runtime::{Clients, Clock, ConfigError, Error};
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
        attempts: runtime::required("ATTEMPTS_TABLE")?,
        notices: runtime::required("NOTICES_TABLE")?,
        challenges: runtime::required("CHALLENGES_TABLE")?,
        ..Tables::default()
    };
    let queue = MailQueue::new(clients.sqs(), runtime::required("MAILS_QUEUE_URL")?);
    Ok(Deps {
        store: Store::new(clients.dynamodb(), tables),
        queue: runtime::optional("MAIL_FROM").map(|_| queue),
        language: language()?,
        clock: Clock::System,
    })
}

fn language() -> Result<Language, ConfigError> {
    let name = "MAIL_LANGUAGE";
    let tag = runtime::required(name)?;
    Language::of_tag(&tag).ok_or(ConfigError::Invalid {
        name,
        expected: "`en`, `es` or `de`",
    })
}
