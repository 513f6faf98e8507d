//! `cargo run -- device`: a device in a terminal. It plays films until it is signed
//! out, and takes a few commands.
//!
//! `device` is the device and its life, `commands` what its owner types (`codes` when they
//! can't sign in), `player` and `film` what it plays, `screen` and `input` the terminal. `adapter` speaks
//! with the suite of clients instead.

mod adapter;
mod codes;
mod commands;
mod device;
mod film;
mod input;
mod player;
mod screen;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use curfew_client::{Credentials, Secret};

use crate::device::Device;

/// The options of `cargo run -- device`.
#[derive(Args, Clone, Debug)]
#[command(after_help = format!("Commands to type while it runs: {}\nWithout a way in: {}", commands::COMMANDS, codes::COMMANDS))]
pub struct Arguments {
    /// The name of the device. A device of the same name stays the same one.
    #[arg(long, default_value = "Hotel TV")]
    name: String,
    /// The type of the device.
    #[arg(long = "type", default_value = "tv",
          value_parser = ["tv", "phone", "tablet", "computer", "console", "other"])]
    device_type: String,
    /// The account to sign in to; the demo account by default.
    #[arg(long)]
    email: Option<String>,
    /// The account's password.
    #[arg(long)]
    password: Option<String>,
    /// Another API than that of the running stack.
    #[arg(long, requires_all = ["email", "password"])]
    api_url: Option<String>,
    /// Start without a network; `online` connects it.
    #[arg(long)]
    offline: bool,
    /// Stay signed in after the process ends, like a TV that is switched off. By
    /// default only the device key is kept.
    #[arg(long)]
    remember: bool,
    /// Speak JSON with the suite of clients on standard input and output.
    #[arg(long, conflicts_with_all = ["name", "device_type", "email", "password", "api_url",
                                      "offline", "remember"])]
    adapter: bool,
}

/// The API of a device, and the account that it signs in to.
#[derive(Clone, Debug)]
pub struct Place {
    /// The API.
    pub api_url: String,
    /// The socket, if it is known.
    pub socket_url: Option<String>,
    /// The example API that has the films, if there is one.
    pub example_url: Option<String>,
    /// The account.
    pub credentials: Credentials,
}

impl Arguments {
    /// Returns the running stack, or the API that was named instead of it.
    fn place(&self, running: Option<Place>) -> Result<Place> {
        if let (Some(api_url), Some(email), Some(password)) =
            (&self.api_url, &self.email, &self.password)
        {
            return Ok(Place {
                api_url: api_url.clone(),
                socket_url: None,
                example_url: None,
                credentials: Credentials {
                    email: email.clone(),
                    password: Secret::new(password),
                },
            });
        }
        let Some(mut place) = running else {
            bail!(
                "No stack is running on this machine. Start one with `cargo run` in another \
                 terminal, or name an API with --api-url, --email and --password."
            );
        };
        if let Some(email) = &self.email {
            if self.password.is_none() {
                bail!("--email needs --password");
            }
            place.credentials.email.clone_from(email);
        }
        if let Some(password) = &self.password {
            place.credentials.password = Secret::new(password);
        }
        Ok(place)
    }
}

/// Returns the device's name as the name of a folder that can't lead elsewhere.
fn folder_name(name: &str) -> Result<String> {
    let folder = name.replace(['/', '\\', '\0'], "-");
    if folder.trim().is_empty() || folder.starts_with('.') || folder.len() > 200 {
        bail!("--name {name:?} can't be used as the name of a folder");
    }
    Ok(folder)
}

/// Runs the device until its session has ended, or until `interrupted` resolves.
/// Its storage is a folder of its name below `folder`.
///
/// # Errors
/// When the sign-in fails, or the terminal can't be used.
pub async fn run(
    arguments: Arguments,
    folder: &Path,
    running: Option<Place>,
    interrupted: impl Future<Output = Result<()>>,
) -> Result<ExitCode> {
    if arguments.adapter {
        return adapter::run().await.map(|()| ExitCode::SUCCESS);
    }
    let place = arguments.place(running)?;
    let folder = folder.join(folder_name(&arguments.name)?);
    let device = Device::new(&arguments, place, folder)?;
    tokio::select! {
        code = device.run(arguments.offline) => code,
        end = interrupted => end.map(|()| ExitCode::SUCCESS),
    }
}

#[cfg(test)]
mod tests {
    use super::folder_name;

    #[test]
    fn a_name_can_not_leave_the_folder() {
        assert_eq!(folder_name("a/../b").unwrap(), "a-..-b");
        for name in ["", " ", ".", "..", ".hidden"] {
            assert!(folder_name(name).is_err(), "{name}");
        }
    }
}
