//! Wiring of the `sign-out-device` function.

use runtime::{Clients, Clock, Error};
use sign_out_device::{Deps, handle};
use store::{Store, Tables};

fn main() -> Result<(), Error> {
    runtime::run(deps, handle)
}

fn deps() -> Result<Deps, Error> {
    let tables = Tables {
        accounts: runtime::required("ACCOUNTS_TABLE")?,
        devices: runtime::required("DEVICES_TABLE")?,
        receipts: runtime::required("RECEIPTS_TABLE")?,
        ..Tables::default()
    };
    Ok(Deps {
        store: Store::new(Clients::from_environment()?.dynamodb(), tables),
        limits: runtime::limits()?,
        policy: runtime::verification_policy()?,
        most_unproven: runtime::unproven_sign_outs()?,
        origin_policy: runtime::origin_policy()?,
        clock: Clock::System,
    })
}
