//! A whole stack: started in order, described in `stack.json` while it runs,
//! and ended when it is dropped.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::deploy::{Deployed, Protocol, deploy, deploy_example};
use crate::emulator::Emulator;
use crate::front::{EXAMPLE_PATH, Front, SOCKET_PATH, Upstream, Upstreams, listen};
use crate::process::open_many_files;
use crate::progress::step;
use crate::tools::{Environment, find_python};
use crate::watch::Watch;
use crate::{demo, functions, target};

/// How a stack is to be started.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder for what belongs to the running stack: its record, its logs.
    /// Two stacks need two.
    pub state: PathBuf,
    /// The port of the API on 127.0.0.1; 0 takes any free one.
    pub port: u16,
    /// Whether `cargo lambda watch` serves the HTTP functions.
    pub watch: bool,
    /// The template's parameters that are not to have their defaults.
    pub parameters: BTreeMap<String, String>,
}

impl Options {
    /// A stack of one's own below `target/`, on a free port.
    #[must_use]
    pub fn apart(name: &str) -> Self {
        Self {
            state: target().join(name),
            port: 0,
            watch: false,
            parameters: BTreeMap::new(),
        }
    }
}

/// What `stack.json` says of a running stack.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Record {
    /// Where the API is, without a slash at the end.
    pub api_url: String,
    /// Where devices open their socket.
    pub socket_url: String,
    /// Where the example of an adopting team's API is, without a slash at the
    /// end.
    pub example_url: String,
    /// Where the local AWS is.
    pub aws: Aws,
    /// The names of the tables.
    pub tables: Tables,
    /// The topic of the events.
    pub topic_arn: String,
    /// A household to sign in to.
    pub demo: Demo,
    /// The folder of the logs, `<function>.log` each.
    pub logs: PathBuf,
    /// The functions by their logical id in the template.
    pub functions: BTreeMap<String, Function>,
    /// The outputs of the template.
    pub outputs: BTreeMap<String, String>,
    /// The physical id of each resource, by its logical id.
    pub resources: BTreeMap<String, String>,
    /// Whether `cargo lambda watch` serves the HTTP functions. It is no gateway:
    /// it takes every client's address for 127.0.0.1.
    #[serde(default)]
    pub watch: bool,
}

/// How to reach the local AWS as its root user.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Aws {
    /// The address of every service.
    pub endpoint_url: String,
    /// The Region that everything is in.
    pub region: String,
    /// The key's id.
    pub access_key_id: String,
    /// The key's secret, which guards nothing.
    pub secret_access_key: String,
}

impl Aws {
    /// The root key of an emulator whose address is not known yet.
    pub(crate) fn local(region: &str) -> Self {
        Self {
            endpoint_url: String::new(),
            region: region.into(),
            access_key_id: "test".into(),
            secret_access_key: "test".into(),
        }
    }
}

/// The names of the tables.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Tables {
    /// Accounts.
    pub accounts: String,
    /// E-mail addresses.
    pub identities: String,
    /// Devices.
    pub devices: String,
    /// Sign-outs.
    pub receipts: String,
    /// Open sockets.
    pub connections: String,
    /// Tickets for sockets.
    pub socket_tickets: String,
}

/// The demo household.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Demo {
    /// Its e-mail address.
    pub email: String,
    /// Its password, another one at each start.
    pub password: String,
}

/// A deployed function.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Function {
    /// Its name in the local AWS.
    pub function_name: String,
    /// The role that it runs in.
    pub role_arn: String,
    /// Its environment variables.
    pub environment: BTreeMap<String, String>,
}

/// A running stack. It ends, with everything that it started, when this is
/// dropped.
#[derive(Debug)]
pub struct Stack {
    record: Record,
    // Fields are dropped in order: first nobody can call, then the record goes,
    // then the rest.
    _front: Front,
    written: WrittenRecord,
    watch: Option<Watch>,
    emulator: Emulator,
    _temporary: TemporaryFolder,
    _lock: File,
}

impl Stack {
    /// Starts a stack. Dropping the future half-way ends what it has started.
    ///
    /// # Errors
    /// When a step fails; the message says which.
    pub async fn start(options: Options) -> Result<Self> {
        let Options {
            state,
            port,
            watch,
            mut parameters,
        } = options;
        open_many_files();
        fs::create_dir_all(&state)?;
        let lock = lock(&state)?;
        // Taken first, so that nobody waits for a build to hear that the port
        // is taken.
        let listener = listen(port)?;
        let address = listener.local_addr()?;
        let api_url = format!("http://{address}");
        let socket_url = format!("ws://{address}{SOCKET_PATH}");
        // What devices are told of the socket's place.
        parameters.insert("SocketUrl".to_owned(), socket_url.clone());

        let written = WrittenRecord::new(state.join("stack.json"))?;
        let logs = state.join("logs");
        remove_folder(&logs)?;
        let temporary = TemporaryFolder::new(state.join("temporary"))?;

        let tether = find_python()?;
        let built = async {
            Environment::Tools.install(&tether).await?;
            step("Building the functions", functions::build(&tether)).await
        };
        tokio::try_join!(built, Environment::Aws.install(&tether))?;
        let starting = Emulator::start(&tether, &logs, &temporary.path, &[]);
        let emulator = step("Starting the local AWS", starting).await?;
        let deployed = step(
            "Deploying template.yaml",
            deploy(&tether, emulator.aws(), &state, &parameters),
        )
        .await?;

        let deploying = deploy_example(&tether, emulator.aws(), &deployed);
        let example = step("Deploying infra/example", deploying).await?;

        let mut upstreams = Upstreams {
            api: gateway(emulator.aws(), &deployed, Protocol::Http)?,
            socket: gateway(emulator.aws(), &deployed, Protocol::WebSocket)?,
            example: gateway(emulator.aws(), &example, Protocol::Http)?,
        };
        let watch = if watch {
            let starting = Watch::start(&tether, emulator.aws(), &deployed, &state);
            let watch = step("Starting cargo lambda watch", starting).await?;
            upstreams.api = Upstream {
                authority: watch.address().to_string(),
                prefix: String::new(),
            };
            Some(watch)
        } else {
            None
        };
        let front = Front::serve(listener, upstreams)?;
        let household = demo::register(&api_url);
        let demo = step("Making the demo household", household).await?;

        let record = Record {
            watch: watch.is_some(),
            ..record(api_url, socket_url, emulator.aws(), deployed, demo, logs)?
        };
        written.write(&record)?;
        Ok(Self {
            record,
            _front: front,
            written,
            watch,
            emulator,
            _temporary: temporary,
            _lock: lock,
        })
    }

    /// What there is to know of it.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The file that says the same while the stack runs.
    #[must_use]
    pub fn record_path(&self) -> &Path {
        &self.written.path
    }

    /// Waits until a part of it ends by itself, which is an error.
    ///
    /// # Errors
    /// Always, sooner or later; the message says which part has ended.
    pub async fn broken(&mut self) -> Result<()> {
        let watch = async {
            match &mut self.watch {
                Some(watch) => watch.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = self.emulator.ended() => ended?,
            ended = watch => {
                ended?;
                bail!("cargo lambda watch has ended");
            }
        }
        bail!(
            "the local AWS has ended; see {}",
            self.record.logs.join("emulator.log").display()
        )
    }
}

/// The record of the stack that runs in a folder, if one does and answers.
///
/// # Errors
/// When the record can't be read.
pub fn running(state: &Path) -> Result<Option<Record>> {
    let path = state.join("stack.json");
    // A killed stack leaves its record behind, but not its lock.
    if !path.exists() || lock(state).is_ok() {
        return Ok(None);
    }
    let text = fs::read(&path).with_context(|| format!("could not read {}", path.display()))?;
    serde_json::from_slice(&text)
        .context("stack.json is no record of a stack")
        .map(Some)
}

/// Where the local gateway serves the API that speaks this.
fn gateway(aws: &Aws, deployed: &Deployed, protocol: Protocol) -> Result<Upstream> {
    let authority = aws.endpoint_url.trim_start_matches("http://").to_owned();
    let api = deployed.api(protocol)?;
    let prefix = format!("/_aws/execute-api/{}/{}", api.id, api.stage);
    Ok(Upstream { authority, prefix })
}

fn record(
    api_url: String,
    socket_url: String,
    aws: &Aws,
    deployed: Deployed,
    demo: Demo,
    logs: PathBuf,
) -> Result<Record> {
    let resource = |logical_id| deployed.resource(logical_id).map(str::to_owned);
    Ok(Record {
        example_url: format!("{api_url}{EXAMPLE_PATH}"),
        api_url,
        socket_url,
        aws: aws.clone(),
        tables: Tables {
            accounts: resource("Accounts")?,
            identities: resource("Identities")?,
            devices: resource("Devices")?,
            receipts: resource("Receipts")?,
            connections: resource("Connections")?,
            socket_tickets: resource("Tickets")?,
        },
        topic_arn: resource("Events")?,
        demo,
        logs,
        functions: deployed.functions,
        outputs: deployed.outputs,
        resources: deployed.resources,
        watch: false,
    })
}

/// Takes the folder for one stack, until the file is dropped.
fn lock(state: &Path) -> Result<File> {
    let file = File::create(state.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!(
                "a stack is running already; see {}",
                state.join("stack.json").display()
            )
        }
        Err(TryLockError::Error(error)) => Err(error).context("could not lock the state folder"),
    }
}

fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("could not remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Where the local AWS unpacks code.
#[derive(Debug)]
struct TemporaryFolder {
    path: PathBuf,
}

impl TemporaryFolder {
    /// Removes what a killed stack left.
    fn new(path: PathBuf) -> Result<Self> {
        remove_folder(&path)?;
        Ok(Self { path })
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // What can't be removed now is removed by the next start.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// `stack.json`, which is there only while the stack answers.
#[derive(Debug)]
struct WrittenRecord {
    path: PathBuf,
}

impl WrittenRecord {
    /// Nothing is written yet, and what a killed stack left is removed.
    fn new(path: PathBuf) -> Result<Self> {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("could not remove {}", path.display()))
            }
            _ => Ok(Self { path }),
        }
    }

    /// Writes it in one piece, for the owner's eyes: it holds a password.
    fn write(&self, record: &Record) -> Result<()> {
        let partial = self.path.with_extension("json.partial");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&partial)?;
        file.write_all(&serde_json::to_vec_pretty(record)?)?;
        fs::rename(partial, &self.path).context("could not write stack.json")
    }
}

impl Drop for WrittenRecord {
    fn drop(&mut self) {
        // It may never have been written.
        let _ = fs::remove_file(&self.path);
    }
}
