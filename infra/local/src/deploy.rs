//! Deploys `template.yaml` to the local AWS with `sam deploy`, and then applies
//! what the emulator ignores of a template (`infra/local/complete.py`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::io::AsyncReadExt;

use crate::emulator::point;
use crate::process::{Tether, Tethered, run, run_logged};
use crate::record::{Aws, Function, Service, Tables};
use crate::tools::Environment;
use crate::{program, root, target};

/// The name of the CloudFormation stack.
const NAME: &str = "curfew";

/// The name of the stack of the example.
const EXAMPLE: &str = "example";

/// A deployed stack.
#[derive(Debug, Deserialize)]
pub struct Deployed {
    /// The APIs by their logical id.
    pub apis: BTreeMap<String, Api>,
    /// The functions by their logical id.
    pub functions: BTreeMap<String, Function>,
    /// The logical id of each route's function: `Login` for `POST /v1/login`.
    pub routes: BTreeMap<String, String>,
    /// The outputs of the template.
    pub outputs: BTreeMap<String, String>,
    /// The physical id of each resource, by its logical id.
    pub resources: BTreeMap<String, String>,
}

/// An API of the gateway.
#[derive(Debug, Deserialize)]
pub struct Api {
    /// A new id at each start.
    pub id: String,
    /// The protocol of its clients.
    pub protocol: Protocol,
    /// The name of its only stage.
    pub stage: String,
}

/// The protocol of an API.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// HTTP requests.
    Http,
    /// A socket that stays open.
    WebSocket,
}

impl Deployed {
    /// Returns the API of a protocol.
    ///
    /// # Errors
    /// Unless there is exactly one.
    pub fn api(&self, protocol: Protocol) -> Result<&Api> {
        let mut apis = self.apis.values().filter(|api| api.protocol == protocol);
        match (apis.next(), apis.next()) {
            (Some(api), None) => Ok(api),
            (None, _) => bail!("the template has no {protocol:?} API"),
            _ => bail!("the template has more than one {protocol:?} API"),
        }
    }

    /// Returns an output of the template.
    ///
    /// # Errors
    /// When the template has no output of that name.
    pub fn output(&self, name: &str) -> Result<&str> {
        let value = self.outputs.get(name);
        value
            .map(String::as_str)
            .with_context(|| format!("template.yaml has no output {name}"))
    }

    /// Returns the path at which the local gateway serves the API of a protocol.
    ///
    /// # Errors
    /// Unless there is exactly one.
    pub fn path(&self, protocol: Protocol) -> Result<String> {
        let api = self.api(protocol)?;
        Ok(format!("/_aws/execute-api/{}/{}", api.id, api.stage))
    }

    /// Returns the names of the tables.
    ///
    /// # Errors
    /// When the stack has not every table.
    pub fn tables(&self) -> Result<Tables> {
        let resource = |logical_id| self.resource(logical_id).map(str::to_owned);
        Ok(Tables {
            accounts: resource("Accounts")?,
            identities: resource("Identities")?,
            devices: resource("Devices")?,
            receipts: resource("Receipts")?,
            connections: resource("Connections")?,
            tickets: resource("Tickets")?,
            attempts: resource("Attempts")?,
            notices: resource("Notices")?,
            challenges: resource("Challenges")?,
            factors: resource("Factors")?,
        })
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

/// Deploys `template.yaml` with the functions in the folder `binaries`. `state` is
/// the folder for a copy of the template and for logs; `parameters` are those that
/// differ from their defaults.
///
/// # Errors
/// When the template can't be deployed, or the local AWS differs from it.
pub async fn deploy(
    tether: &Tether,
    aws: &Aws,
    binaries: &Path,
    state: &Path,
    parameters: &BTreeMap<String, String>,
) -> Result<Deployed> {
    let copy = state.join("template.json");
    prepare(tether, binaries, &copy).await?;
    sam_deploy(tether, aws, &copy, state, parameters).await?;
    complete(tether, aws, NAME).await
}

/// Deploys the example API, which uses the authorizer of the bundle.
///
/// # Errors
/// As [`deploy`].
pub async fn deploy_example(
    tether: &Tether,
    aws: &Aws,
    binaries: &Path,
    bundle: &Deployed,
) -> Result<Deployed> {
    let output = |name| Ok::<_, anyhow::Error>((name, bundle.output(name)?));
    let parameters = [output("AuthorizerArn")?, output("IntrospectionArn")?];
    let template = "infra/example/template.yaml";
    create_stack(tether, aws, binaries, EXAMPLE, template, &parameters).await
}

/// Deploys another stack. It is not deployed by `sam`, which takes as long for a small one
/// as for the whole bundle.
///
/// # Errors
/// As [`deploy`].
pub async fn create_stack(
    tether: &Tether,
    aws: &Aws,
    binaries: &Path,
    name: &str,
    template: &str,
    parameters: &[(&str, &str)],
) -> Result<Deployed> {
    let mut command = tether.command(Environment::Aws.programs().join("python"));
    command
        .arg(program("create.py"))
        .arg(root().join(template))
        .arg(binaries)
        .arg(archives())
        .arg(name)
        .arg(format!("Architecture={}", architecture()?))
        .args(
            parameters
                .iter()
                .map(|(name, value)| format!("{name}={value}")),
        );
    point(&mut command, aws);
    run(command, &format!("deploying {template}")).await?;
    complete(tether, aws, name).await
}

/// The folder of the packed functions.
fn archives() -> PathBuf {
    target().join("lambda")
}

/// Packs the functions, and writes a copy of the template that points to them.
async fn prepare(tether: &Tether, binaries: &Path, copy: &Path) -> Result<()> {
    let mut command = tether.command(Environment::Aws.programs().join("python"));
    command
        .arg(program("prepare.py"))
        .arg(root().join("template.yaml"))
        .arg(binaries)
        .arg(archives())
        .arg(copy);
    run(command, "packing the functions").await
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
        // The default is a folder in the home folder.
        .env("__SAM_CLI_APP_DIR", state.join("sam"));
    point(&mut command, aws);
    run_logged(command, "sam deploy", &state.join("logs/deploy.log")).await
}

/// Returns Lambda's name for the architecture of this machine.
fn architecture() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("x86_64"),
        "aarch64" => Ok("arm64"),
        other => bail!("Lambda does not support {other}"),
    }
}

/// Applies what the emulator has ignored, and returns what is deployed.
async fn complete(tether: &Tether, aws: &Aws, stack: &str) -> Result<Deployed> {
    printed_by(tether, aws, "complete.py", stack).await
}

/// Returns a key of a role.
///
/// # Errors
/// When the local AWS does not give one out.
pub async fn assume(tether: &Tether, aws: &Aws, role_arn: &str) -> Result<Service> {
    printed_by(tether, aws, "assume.py", role_arn).await
}

/// Runs a program of this folder, and returns the JSON that it prints.
async fn printed_by<T: DeserializeOwned>(
    tether: &Tether,
    aws: &Aws,
    name: &str,
    argument: &str,
) -> Result<T> {
    let mut command = tether.command(Environment::Aws.programs().join("python"));
    command
        .arg(program(name))
        .arg(argument)
        .stdout(Stdio::piped());
    point(&mut command, aws);
    let mut process = Tethered::start(command)?;
    let mut text = String::new();
    let mut output = process
        .output()
        .with_context(|| format!("{name} has no output"))?;
    output.read_to_string(&mut text).await?;
    let status = process.ended().await?;
    if !status.success() {
        bail!("{name} failed ({status})");
    }
    serde_json::from_str(&text).with_context(|| format!("{name} printed an unexpected document"))
}
