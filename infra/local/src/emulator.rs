//! The local AWS (ministack). `infra/local/emulator.py` starts it, and corrects
//! what it does differently from AWS.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::process::{Tether, Tethered, append_to};
use crate::program;
use crate::record::Aws;
use crate::tools::Environment;

/// The time in which it has to start. It usually takes a second.
const TIMEOUT: Duration = Duration::from_mins(1);

/// The Region of every local resource.
const REGION: &str = "us-east-1";

/// A running local AWS. It ends when this is dropped.
#[derive(Debug)]
pub struct Emulator {
    process: Tethered,
    aws: Aws,
}

#[derive(Deserialize)]
struct Ready {
    port: u16,
}

impl Emulator {
    /// Starts the local AWS on a free port. It writes the logs of the functions to
    /// the folder `logs`, unpacks their code in the folder `temporary`, and leaves
    /// out the corrections in `without`.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(
        tether: &Tether,
        logs: &Path,
        temporary: &Path,
        without: &[&str],
    ) -> Result<Self> {
        fs::create_dir_all(logs)?;
        fs::create_dir_all(temporary)?;
        let log = logs.join("emulator.log");
        let mut command = tether.command(Environment::Aws.programs().join("python"));
        command.arg(program("emulator.py"));
        command
            .arg("--logs")
            .arg(logs)
            .arg("--temporary")
            .arg(temporary);
        for correction in without {
            command.args(["--without", correction]);
        }
        // It takes its own key and Region, and those of the functions, from these
        // variables.
        let mut aws = Aws {
            // Known when it has started.
            endpoint_url: String::new(),
            region: REGION.into(),
            access_key_id: "test".into(),
            secret_access_key: "test".into(),
        };
        command
            .env("AWS_ACCESS_KEY_ID", &aws.access_key_id)
            .env("AWS_SECRET_ACCESS_KEY", &aws.secret_access_key)
            .env("MINISTACK_REGION", &aws.region)
            .stdout(Stdio::piped())
            .stderr(append_to(&log)?);
        let mut process = Tethered::start(command)?;
        let output = process.output().context("the emulator has no output")?;
        let mut lines = BufReader::new(output).lines();
        let line = timeout(TIMEOUT, lines.next_line())
            .await
            .with_context(|| {
                format!("the local AWS did not start in time; see {}", log.display())
            })??;
        let Some(line) = line else {
            bail!("the local AWS did not start; see {}", log.display());
        };
        let ready: Ready = serde_json::from_str(&line)
            .with_context(|| format!("the local AWS printed {line:?} instead of its port"))?;
        aws.endpoint_url = format!("http://127.0.0.1:{}", ready.port);
        Ok(Self { process, aws })
    }

    /// Returns its address and its root key.
    #[must_use]
    pub fn aws(&self) -> &Aws {
        &self.aws
    }

    /// Waits until it ends by itself, which is a fault.
    ///
    /// # Errors
    /// When the operating system can't report it.
    pub async fn ended(&mut self) -> Result<()> {
        self.process.ended().await.map(|_| ())
    }
}

/// Sets the variables by which a command uses the local AWS, and no other.
pub fn point(command: &mut Command, aws: &Aws) {
    command
        .env("AWS_ENDPOINT_URL", &aws.endpoint_url)
        .env("AWS_ACCESS_KEY_ID", &aws.access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", &aws.secret_access_key)
        .env("AWS_REGION", &aws.region)
        .env("AWS_DEFAULT_REGION", &aws.region)
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        // A proxy of the user's can't reach an address of this machine.
        .env("NO_PROXY", "127.0.0.1")
        .env("no_proxy", "127.0.0.1");
}
