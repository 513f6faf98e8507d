//! Wiring of the `api` function.

use api::{Deps, handle};
use runtime::{Clock, ConfigError, Error};

fn main() -> Result<(), Error> {
    runtime::run(deps, handle)
}

fn deps() -> Result<Deps, Error> {
    let origin_policy = runtime::origin_policy()?;
    // Checked only here, where every page sends its preflight: devices without a page
    // keep working.
    origin_policy.validate().map_err(ConfigError::Origin)?;
    Ok(Deps {
        origin_policy,
        allowed_headers: runtime::header_names("ALLOWED_HEADERS")?,
        clock: Clock::System,
    })
}
