//! Wiring of the `page` function.

use page::{Config, Deps, handle};
use runtime::{Clock, ConfigError, Error};

fn main() -> Result<(), Error> {
    runtime::run(deps, handle)
}

fn deps() -> Result<Deps, Error> {
    let name = "PAGE_CONFIG";
    let json = runtime::optional(name).unwrap_or_else(|| "{}".to_owned());
    let min_length = runtime::password_rules()?.min_length();
    let idle_days = runtime::limits()?.idle.as_hours() / 24;
    let config = Config::parse(&json, min_length, idle_days).map_err(|fault| {
        let fault = fault.to_string();
        ConfigError::Wrong { name, fault }
    })?;
    Ok(Deps::new(
        runtime::origin_policy()?,
        &config,
        &runtime::required("SOCKET_URL")?,
        Clock::System,
    ))
}
