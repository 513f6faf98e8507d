//! A whole stack: started in order, described in `stack.json` while it runs,
//! and ended when it is dropped.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::deploy::{Deployed, Protocol, deploy, deploy_example};
use crate::emulator::Emulator;
use crate::front::{EXAMPLE_PATH, Front, SOCKET_PATH, Upstream, Upstreams, listen};
use crate::process::open_many_files;
use crate::progress::step;
use crate::record::{Aws, Demo, Record, Tables};
use crate::state::{RecordFile, TemporaryFolder, lock, remove_folder};
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

/// A running stack. It ends, with everything that it started, when this is
/// dropped.
#[derive(Debug)]
pub struct Stack {
    record: Record,
    // Fields are dropped in order: first nobody can call, then the record goes,
    // then the rest.
    _front: Front,
    record_file: RecordFile,
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

        let record_file = RecordFile::new(state.join("stack.json"))?;
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
        record_file.write(&record)?;
        Ok(Self {
            record,
            _front: front,
            record_file,
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
        &self.record_file.path
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
            tickets: resource("Tickets")?,
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
