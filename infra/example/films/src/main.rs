//! The Lambda function of the films.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use tracing::Level;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_target(false)
        .with_ansi(false)
        .with_max_level(Level::INFO)
        .init();
    lambda_runtime::run(service_fn(
        |event: LambdaEvent<films::Request>| async move {
            Ok::<_, Error>(films::handle(&event.payload))
        },
    ))
    .await
}
