//! Wiring of the `send-mail` function.

use runtime::{Clients, Error};
use send_mail::{ConfigurationSets, Deps, Sender, handle};
use store::{Store, Tables};

fn main() -> Result<(), Error> {
    runtime::run(deps, handle)
}

fn deps() -> Result<Deps, Error> {
    let clients = Clients::from_environment()?;
    let tables = Tables {
        identities: runtime::required("IDENTITIES_TABLE")?,
        ..Tables::default()
    };
    let sets = ConfigurationSets {
        unproven: runtime::required("UNPROVEN_CONFIGURATION_SET")?,
        proven: runtime::required("PROVEN_CONFIGURATION_SET")?,
    };
    Ok(Deps {
        store: Store::new(clients.dynamodb(), tables),
        sender: runtime::optional("MAIL_FROM").map(|from| Sender::new(clients.ses(), from, sets)),
        page_url: runtime::required("PAGE_URL")?,
    })
}
