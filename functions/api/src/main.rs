//! Wiring of the `api` function.

use api::{Deps, handle};
use start::{Clock, Error};

fn main() -> Result<(), Error> {
    start::run(deps, |deps, event| async move {
        Ok::<_, Error>(handle(deps, event).await)
    })
}

fn deps() -> Result<Deps, Error> {
    Ok(Deps {
        edge: start::edge(),
        clock: Clock::System,
    })
}
