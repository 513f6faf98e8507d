//! The scripts of `infra/`, run as an operator does.

use std::process::Output;

use curfew::emulator::point;
use curfew::root;
use curfew::tools::{Environment, find_python};
use tokio::process::Command;

use crate::stack::stack;

/// Runs a script on the local AWS, with more variables. Returns its exit code, its output and its errors.
///
/// # Panics
/// When it can't be run.
pub async fn run(
    script: &str,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> (i32, String, String) {
    let tether = find_python().unwrap();
    Environment::Aws.install(&tether).await.unwrap();
    let mut command = Command::new(Environment::Aws.programs().join("python"));
    command
        .env_remove("AWS_PROFILE")
        .env_remove("AWS_SESSION_TOKEN")
        .kill_on_drop(true)
        .arg(root().join("infra").join(script))
        .args(arguments)
        .envs(variables.iter().copied());
    point(&mut command, &stack().aws);
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}
