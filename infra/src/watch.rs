//! Hot reload: `cargo lambda watch` serves the HTTP functions, by the routes in
//! the workspace's Cargo.toml, over the tables of the running stack. Streams and
//! queues stay with the deployed functions.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::deploy::Deployed;
use crate::emulator::point;
use crate::functions::cargo_lambda;
use crate::process::{Tether, Tethered};
use crate::stack::Aws;

/// How long it may take to listen; it builds nothing before the first request.
const PATIENCE: Duration = Duration::from_mins(1);

/// The HTTP functions under `cargo lambda watch`.
#[derive(Debug)]
pub struct Watch {
    process: Tethered,
    address: SocketAddr,
}

impl Watch {
    /// Starts serving. A function is built when it is first called.
    ///
    /// # Errors
    /// When `cargo lambda watch` does not start.
    pub async fn start(tether: &Tether, aws: &Aws, deployed: &Deployed) -> Result<Self> {
        let address = free_address()?;
        let mut command = cargo_lambda(tether)?;
        command
            .args(["watch", "--disable-cors", "--invoke-address", "127.0.0.1"])
            .args(["--invoke-port", &address.port().to_string()])
            // Building a function for the first time takes longer than the
            // default of a few seconds.
            .args(["--timeout", "600"])
            .envs(environment(deployed)?);
        point(&mut command, aws);
        let mut process = Tethered::start(command)?;
        let listening = async {
            while TcpStream::connect(address).await.is_err() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            ended = process.ended() => bail!("cargo lambda watch ended: {}", ended?),
            up = timeout(PATIENCE, listening) => up.context("cargo lambda watch does not listen")?,
        }
        Ok(Self { process, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it ends by itself, which it should not.
    ///
    /// # Errors
    /// When the operating system can't tell.
    pub async fn ended(&mut self) -> Result<()> {
        self.process.ended().await.map(|_| ())
    }
}

/// The variables of all functions together: `cargo lambda watch` gives every
/// function the same.
fn environment(deployed: &Deployed) -> Result<BTreeMap<&str, &str>> {
    let mut all = BTreeMap::new();
    for (function, facts) in &deployed.functions {
        for (name, value) in &facts.environment {
            let other = all.insert(name.as_str(), value.as_str());
            if other.is_some_and(|other| other != value) {
                bail!("{name} of {function} is not the same as another function's");
            }
        }
    }
    Ok(all)
}

/// An address that nothing listens on.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
