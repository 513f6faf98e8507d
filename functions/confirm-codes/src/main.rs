//! Wiring of the `confirm-codes` function.

use confirm_codes::{Deps, handle};
use factors::{Checker, Sealer};
use runtime::{Clients, Clock, Error};
use store::{Store, Tables};

fn main() -> Result<(), Error> {
    runtime::run_with_warmup(deps, |deps| deps.hasher.prewarm(), handle)
}

fn deps() -> Result<Deps, Error> {
    let tables = Tables {
        accounts: runtime::required("ACCOUNTS_TABLE")?,
        identities: runtime::required("IDENTITIES_TABLE")?,
        receipts: runtime::required("RECEIPTS_TABLE")?,
        challenges: runtime::required("CHALLENGES_TABLE")?,
        attempts: runtime::required("ATTEMPTS_TABLE")?,
        factors: runtime::required("FACTORS_TABLE")?,
        ..Tables::default()
    };
    let clients = Clients::from_environment()?;
    let key = runtime::optional("FACTORS_KEY");
    Ok(Deps {
        store: Store::new(clients.dynamodb(), tables),
        limits: runtime::limits()?,
        origin_policy: runtime::origin_policy()?,
        clock: Clock::System,
        checker: Checker {
            sealer: key.map(|key| Sealer::new(clients.config(), key)),
            // A recovery has been asked for by mail.
            sends_mail: true,
        },
        rules: runtime::password_rules()?,
        hasher: runtime::password_hasher()?,
    })
}
