//! Brings `template.yaml` to the local AWS: `sam deploy`, and then by hand what
//! the emulator ignores of a template (`infra/local/complete.py`).

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tokio::io::AsyncReadExt;

use crate::emulator::point;
use crate::functions::built;
use crate::process::{Tether, Tethered, run, run_logged};
use crate::record::{Aws, Function};
use crate::tools::Environment;
use crate::{program, root};

/// The name of the CloudFormation stack.
const NAME: &str = "curfew";

/// The name of that of the example beside it.
const EXAMPLE: &str = "example";

/// What was deployed.
#[derive(Debug, Deserialize)]
pub struct Deployed {
    /// Each API, by its logical id.
    pub apis: BTreeMap<String, Api>,
    /// Each function, by its logical id.
    pub functions: BTreeMap<String, Function>,
    /// The function that each route leads to: `POST /v1/login` to `Login`.
    pub routes: BTreeMap<String, String>,
    /// The outputs of the template.
    pub outputs: BTreeMap<String, String>,
    /// The physical id of each resource, by its logical id.
    pub resources: BTreeMap<String, String>,
}

/// An API of the gateway.
#[derive(Debug, Deserialize)]
pub struct Api {
    /// Another one at each start.
    pub id: String,
    /// What it speaks.
    pub protocol: Protocol,
    /// The name of its one stage.
    pub stage: String,
}

/// What an API speaks.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// Requests.
    Http,
    /// Sockets.
    WebSocket,
}

impl Deployed {
    /// The one API that speaks this.
    ///
    /// # Errors
    /// When there is none or more than one.
    pub fn api(&self, protocol: Protocol) -> Result<&Api> {
        let mut apis = self.apis.values().filter(|api| api.protocol == protocol);
        match (apis.next(), apis.next()) {
            (Some(api), None) => Ok(api),
            (None, _) => bail!("the template has no {protocol:?} API"),
            _ => bail!("the template has more than one {protocol:?} API"),
        }
    }

    /// An output of the template.
    ///
    /// # Errors
    /// When the template has none of that name.
    pub fn output(&self, name: &str) -> Result<&str> {
        let value = self.outputs.get(name);
        value
            .map(String::as_str)
            .with_context(|| format!("template.yaml has no output {name}"))
    }

    /// Returns the physical id of a resource.
    ///
    /// # Errors
    /// When the stack has no such resource.
    pub fn resource(&self, logical_id: &str) -> Result<&str> {
        let id = self.resources.get(logical_id);
        id.map(String::as_str)
            .with_context(|| format!("template.yaml has no resource {logical_id}"))
    }
}

/// Deploys what `cargo lambda build` built. `state` is the folder for the copy
/// of the template and for logs; `parameters` are those of the template that are
/// not to have their defaults.
///
/// # Errors
/// When the template can't be deployed, or the local AWS does not do as it says.
pub async fn deploy(
    tether: &Tether,
    aws: &Aws,
    state: &Path,
    parameters: &BTreeMap<String, String>,
) -> Result<Deployed> {
    let copy = state.join("template.json");
    prepare(tether, &copy).await?;
    sam_deploy(tether, aws, &copy, state, parameters).await?;
    complete(tether, aws, NAME).await
}

/// Deploys the example of an adopting team's API beside the bundle, which it asks
/// about each request. Not by `sam`, which takes as long for it as for the bundle.
///
/// # Errors
/// As [`deploy`].
pub async fn deploy_example(tether: &Tether, aws: &Aws, bundle: &Deployed) -> Result<Deployed> {
    let mut command = tether.command(Environment::Aws.programs().join("python"));
    command
        .arg(program("create.py"))
        .arg(root().join("infra/example/template.yaml"))
        .arg(built())
        .arg(EXAMPLE)
        .arg(format!("Architecture={}", architecture()?))
        .arg(format!("AuthorizerArn={}", bundle.output("AuthorizerArn")?));
    point(&mut command, aws);
    run(command, "creating the stack of infra/example").await?;
    complete(tether, aws, EXAMPLE).await
}

/// Makes the copy of the template that is deployed.
async fn prepare(tether: &Tether, copy: &Path) -> Result<()> {
    let mut command = tether.command(Environment::Aws.programs().join("python"));
    command
        .arg(program("prepare.py"))
        .arg(root().join("template.yaml"));
    command.arg(built()).arg(copy);
    run(command, "reading template.yaml").await
}

async fn sam_deploy(
    tether: &Tether,
    aws: &Aws,
    template: &Path,
    state: &Path,
    parameters: &BTreeMap<String, String>,
) -> Result<()> {
    let mut command = tether.command(Environment::Tools.programs().join("sam"));
    command
        .args([
            "deploy",
            "--stack-name",
            NAME,
            "--resolve-s3",
            "--no-progressbar",
        ])
        .args(["--no-confirm-changeset", "--no-fail-on-empty-changeset"])
        .args(["--capabilities", "CAPABILITY_IAM"])
        .arg("--parameter-overrides")
        .arg(format!("Architecture={}", architecture()?))
        .args(
            parameters
                .iter()
                .map(|(name, value)| format!("{name}={value}")),
        )
        .arg("--template-file")
        .arg(template)
        .current_dir(state)
        .env("SAM_CLI_TELEMETRY", "0")
        .env("SAM_CLI_POLL_DELAY", "0.2")
        // Where it would otherwise write into the home folder.
        .env("__SAM_CLI_APP_DIR", state.join("sam"));
    point(&mut command, aws);
    run_logged(command, "sam deploy", &state.join("logs/deploy.log")).await
}

/// The architecture of this machine, as Lambda names it.
fn architecture() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("x86_64"),
        "aarch64" => Ok("arm64"),
        other => bail!("Lambda has no functions for {other}"),
    }
}

async fn complete(tether: &Tether, aws: &Aws, stack: &str) -> Result<Deployed> {
    let mut command = tether.command(Environment::Aws.programs().join("python"));
    command
        .arg(program("complete.py"))
        .arg(stack)
        .stdout(Stdio::piped());
    point(&mut command, aws);
    let mut process = Tethered::start(command)?;
    let mut text = String::new();
    let mut output = process.output().context("complete.py has no output")?;
    output.read_to_string(&mut text).await?;
    let status = process.ended().await?;
    if !status.success() {
        bail!("completing the deployment failed ({status})");
    }
    serde_json::from_str(&text).context("complete.py said something else than it should")
}
