//! The least function that `lambda_runtime` makes, started as ours are: what our
//! own code and the SDK add is seen against it.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;

fn main() -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(lambda_runtime::run(service_fn(
        async |_: LambdaEvent<Value>| Ok::<_, Error>(serde_json::json!({})),
    )))
}
