//! Wiring of the `api` function.

use api::{Deps, handle};
use runtime::{Clock, Error};

fn main() -> Result<(), Error> {
    let deps = || {
        Ok(Deps {
            origin_policy: runtime::origin_policy(),
            clock: Clock::System,
        })
    };
    runtime::run(deps, handle)
}
