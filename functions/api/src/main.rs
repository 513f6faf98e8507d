//! Wiring of the `api` function.

use api::{Deps, handle};
use start::{Clock, Error};

fn main() -> Result<(), Error> {
    let deps = || {
        Ok(Deps {
            edge: start::edge(),
            clock: Clock::System,
        })
    };
    start::run(deps, |deps, event| async move {
        Ok::<_, Error>(handle(deps, event).await)
    })
}
