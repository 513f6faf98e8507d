//! The command line of the local stack. `cargo run` starts it through
//! `infra/launcher`.

mod inbox;
mod story;

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};
use curfew::{Options, Stack, household, running, target};
use curfew_client::{Credentials, Secret};
use curfew_terminal::Place;
use origin_policy::OriginPolicy;
use tokio::signal::unix::{SignalKind, signal};

/// Builds Curfew, and runs it on an AWS on this machine until Ctrl-C.
#[derive(Parser)]
#[command(
    name = "curfew",
    bin_name = "cargo run --",
    version,
    args_conflicts_with_subcommands = true
)]
struct Arguments {
    /// The port of the API on 127.0.0.1; 0 stands for any free port.
    #[arg(long, default_value_t = 9400)]
    port: u16,
    /// Rebuild the HTTP functions when their code changes, with `cargo lambda
    /// watch`.
    #[arg(long)]
    watch: bool,
    /// Another web origin whose pages may call the API, such as
    /// `https://app.example.com`. Pages of this machine always may. Repeat it for
    /// more.
    #[arg(long, value_name = "URL", value_parser = origin)]
    allow_origin: Vec<String>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Plays the main job on the running stack, or on one of its own: five devices
    /// sign in, and are signed out one, some or all at a time. Checks each step.
    Story {
        /// Print a few lines for each step; the default.
        #[arg(long, conflicts_with = "verbose")]
        brief: bool,
        /// Print requests, answers and events too.
        #[arg(long)]
        verbose: bool,
    },
    /// A device in this terminal: signs in, plays, and goes dark when it is signed
    /// out.
    Device(curfew_terminal::Arguments),
    /// Lists the mails of the running stack, or prints one of them.
    Inbox {
        /// The number of the mail to print.
        number: Option<usize>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments {
        port,
        watch,
        allow_origin,
        command,
    } = Arguments::parse();
    let idle_days = household::IDLE_DAYS.to_string();
    let options = Options {
        state: target().join("local"),
        port,
        watch,
        allowed_origins: allow_origin,
        parameters: BTreeMap::from([("SessionIdleDays".to_owned(), idle_days)]),
    };
    let end = match command {
        Some(Command::Story { verbose, .. }) => Box::pin(story::play(verbose, shutdown()))
            .await
            .map(|()| ExitCode::SUCCESS),
        Some(Command::Device(arguments)) => device(arguments).await,
        Some(Command::Inbox { number }) => inbox::show(number).await.map(|()| ExitCode::SUCCESS),
        None => tokio::select! {
            end = run(options) => end,
            signal = shutdown() => signal,
        }
        .map(|()| ExitCode::SUCCESS),
    };
    match end {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Checks that a browser could send an origin.
fn origin(origin: &str) -> Result<String> {
    ensure!(
        !origin.is_empty() && !origin.contains([',', ' ']),
        "it must be one origin"
    );
    OriginPolicy::new(Some(origin)).validate()?;
    Ok(origin.to_owned())
}

/// Starts a stack, prints how to use it, and waits until a part of it ends.
async fn run(options: Options) -> Result<()> {
    let mut stack = Stack::start(options).await?;
    let record = stack.record();
    household::move_in(record).await?;
    println!();
    println!("Curfew is up. Open {}", record.page_url());
    println!("  API      {}", record.api_url);
    println!("  Socket   {}", record.socket_url);
    println!("  Example  {}/films", record.example_url);
    println!(
        "  Sign in  {}  with the password  {}",
        record.demo.email, record.demo.password
    );
    println!("  Try it   cargo run -- device --name \"Hotel TV\", in another terminal");
    println!("  Mails    cargo run -- inbox");
    println!(
        "  Services . {}, then infra/docs/first-app.md",
        stack.service_path().display()
    );
    println!("  Record   {}", stack.record_path().display());
    println!("  Logs     {}", record.logs.display());
    println!("Press Ctrl-C to stop.");
    stack.broken().await
}

/// Runs a device on the running stack, or on the API that its arguments name.
async fn device(arguments: curfew_terminal::Arguments) -> Result<ExitCode> {
    let state = target().join("local");
    let place = running(&state)?.map(|record| Place {
        api_url: record.api_url,
        socket_url: Some(record.socket_url),
        example_url: Some(record.example_url),
        credentials: Credentials {
            email: record.demo.email,
            password: Secret::new(record.demo.password),
        },
    });
    curfew_terminal::run(arguments, &state.join("devices"), place, shutdown()).await
}

/// Waits for Ctrl-C, SIGTERM, or the end of the terminal.
async fn shutdown() -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => (),
        _ = terminate.recv() => (),
        _ = hang_up.recv() => (),
    }
    eprintln!("Stopping …");
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::Arguments;

    fn allowed(origins: &[&str]) -> Result<Vec<String>, String> {
        let options = origins
            .iter()
            .map(|origin| format!("--allow-origin={origin}"));
        Arguments::try_parse_from(std::iter::once("curfew".to_owned()).chain(options))
            .map(|arguments| arguments.allow_origin)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn allowed_origins_are_those_that_browsers_send() {
        let good = ["https://app.example.com", "http://192.168.1.7:5173", "null"];
        assert_eq!(allowed(&good), Ok(good.map(str::to_owned).into()));

        for (origin, fault) in [
            ("app.example.com", "it needs a scheme"),
            ("https://app.example.com/", "without a slash"),
            ("https://*.example.com", "a wildcard is not supported"),
            ("", "one origin"),
            ("https://a.example,https://b.example", "one origin"),
            ("https://a.example https://b.example", "one origin"),
        ] {
            let error = allowed(&[origin]).unwrap_err();
            assert!(error.contains(fault), "{error}");
        }
    }
}
