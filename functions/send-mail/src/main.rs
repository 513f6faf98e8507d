//! Wiring of the `send-mail` function.

use runtime::{Clients, Clock, ConfigError, Error};
use send_mail::{ConfigurationSets, Deps, Sender, UNPROVEN, handle};
use serde::Deserialize;
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
    let product = product(runtime::optional("PAGE_CONFIG"))?;
    let sender = |from: String| Sender::new(clients.ses(), &from, &product, sets);
    Ok(Deps {
        store: Store::new(clients.dynamodb(), tables),
        sender: runtime::optional("MAIL_FROM").map(sender),
        page_url: runtime::required("PAGE_URL")?,
        product,
        unproven: runtime::budget("UNPROVEN_MAIL_BUDGET", UNPROVEN)?,
        clock: Clock::System,
    })
}

/// Returns the name in the configuration of the page.
fn product(page_config: Option<String>) -> Result<String, ConfigError> {
    #[derive(Deserialize)]
    struct Page {
        name: Option<String>,
    }
    let page: Page = match page_config {
        Some(config) => serde_json::from_str(&config).map_err(|_| ConfigError::Invalid {
            name: "PAGE_CONFIG",
            expected: "JSON with a `name` of text, or without one",
        })?,
        None => Page { name: None },
    };
    Ok(page.name.unwrap_or_else(|| "Curfew".to_owned()))
}
