//! Wiring of the `send-mail` function.

use runtime::{Clients, Clock, Error};
use send_mail::{ConfigurationSets, Deps, Sender, UNPROVEN, handle};
use store::{Store, Tables};

fn main() -> Result<(), Error> {
    runtime::run(deps, handle)
}

fn deps() -> Result<Deps, Error> {
    let clients = Clients::from_environment()?;
    let tables = Tables {
        accounts: runtime::required("ACCOUNTS_TABLE")?,
        identities: runtime::required("IDENTITIES_TABLE")?,
        attempts: runtime::required("ATTEMPTS_TABLE")?,
        ..Tables::default()
    };
    let sets = ConfigurationSets {
        unproven: runtime::required("UNPROVEN_CONFIGURATION_SET")?,
        proven: runtime::required("PROVEN_CONFIGURATION_SET")?,
    };
    let product = runtime::product()?;
    let sender = |from: String| Sender::new(clients.config(), &from, &product, sets);
    Ok(Deps {
        store: Store::new(clients.dynamodb(), tables),
        sender: runtime::optional("MAIL_FROM").map(sender),
        page_url: runtime::required("PAGE_URL")?,
        product,
        unproven: runtime::budget("UNPROVEN_MAIL_BUDGET", UNPROVEN)?,
        clock: Clock::System,
    })
}
