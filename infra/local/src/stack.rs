//! A whole stack: started in order, described in `stack.json` while it runs, and
//! ended when it is dropped.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use store::Store;

use crate::deploy::{Deployed, Protocol, assume, deploy, deploy_example};
use crate::emulator::Emulator;
use crate::process::{Tether, open_many_files};
use crate::progress::step;
use crate::proxy::{EXAMPLE_PATH, LOCAL_ORIGIN, Proxy, SOCKET_PATH, Upstream, Upstreams, listen};
use crate::record::{Aws, Demo, Record, Service, page_url};
use crate::state::{SecretFile, TemporaryFolder, lock, remove_folder};
use crate::tools::{Environment, find_python};
use crate::watch::{Watch, router};
use crate::{demo, functions, mails, target};

/// The address that the mails of a local stack come from.
const MAIL_FROM: &str = "no-reply@curfew.example";

/// The options of a stack.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder for the stack's record and logs. Each stack needs its own.
    pub state: PathBuf,
    /// The port of the API on 127.0.0.1; 0 stands for any free port.
    pub port: u16,
    /// Serves the HTTP functions with `cargo lambda watch`.
    pub watch: bool,
    /// Web origins whose pages may call the API, besides those of this machine.
    pub allowed_origins: Vec<String>,
    /// Parameters of the template that differ from their defaults.
    pub parameters: BTreeMap<String, String>,
}

impl Options {
    /// Returns the options of a separate stack below `target/`, on a free port.
    #[must_use]
    pub fn apart(name: &str) -> Self {
        Self {
            state: target().join(name),
            port: 0,
            watch: false,
            allowed_origins: Vec::new(),
            parameters: BTreeMap::new(),
        }
    }
}

/// A running stack. It ends, with everything that it has started, when this is
/// dropped.
#[derive(Debug)]
pub struct Stack {
    record: Record,
    // Fields are dropped in this order: first the API becomes unreachable, then the
    // record is removed, then the rest ends.
    _proxy: Proxy,
    record_file: SecretFile,
    service_file: SecretFile,
    watch: Option<Watch>,
    emulator: Emulator,
    _temporary: TemporaryFolder,
    _lock: File,
}

impl Stack {
    /// Starts a stack. Dropping the future ends what it has started so far.
    ///
    /// # Errors
    /// When a step fails; the message names the step.
    pub async fn start(mut options: Options) -> Result<Self> {
        open_many_files();
        let state = options.state.clone();
        fs::create_dir_all(&state)?;
        let lock = lock(&state)?;
        // Bound before the build, so that a port in use is reported at once.
        let listener = listen(options.port)?;
        let address = listener.local_addr()?;
        let api_url = format!("http://{address}");
        let socket_url = format!("ws://{address}{SOCKET_PATH}");
        options.allowed_origins.push(LOCAL_ORIGIN.to_owned());
        options.parameters.extend([
            // The address that socket tickets name.
            ("SocketUrl".to_owned(), socket_url.clone()),
            ("MailFrom".to_owned(), MAIL_FROM.to_owned()),
            ("SecondFactors".to_owned(), "true".to_owned()),
            ("UncountedNetworks".to_owned(), "127.0.0.1/32".to_owned()),
            // The tests ask for many at once.
            ("UnprovenMailBudget".to_owned(), "9999/1".to_owned()),
            ("PageUrl".to_owned(), page_url(&api_url)),
            (
                "AllowedOrigins".to_owned(),
                options.allowed_origins.join(","),
            ),
        ]);

        let record_file = SecretFile::new(state.join("stack.json"))?;
        let service_file = SecretFile::new(state.join("service.env"))?;
        let logs = state.join("logs");
        remove_folder(&logs)?;
        let temporary = TemporaryFolder::new(state.join("temporary"))?;

        let tether = find_python()?;
        let binaries = build(&tether).await?;
        let starting = Emulator::start(&tether, &logs, &temporary.path, &[]);
        let emulator = step("Starting the local AWS", starting).await?;
        let aws = emulator.aws();
        mails::verify(aws, MAIL_FROM).await?;
        let (deployed, mut upstreams, service) =
            deploy_all(&tether, aws, &binaries, &options).await?;
        // Every start checks the routes, though few use them.
        let router = router(&deployed.routes)?;
        let mut watch = None;
        if options.watch {
            let started = start_watch(&tether, aws, &deployed, &router, &options.state).await?;
            upstreams.api = started.upstream();
            watch = Some(started);
        }
        let proxy = Proxy::serve(listener, upstreams)?;
        let store = Store::new(aws.clients().dynamodb(), deployed.tables()?.into());
        let demo = step("Making the demo account", demo::create(&store)).await?;

        let record = Record {
            watch: watch.is_some(),
            ..record(api_url, socket_url, aws, deployed, demo, service, logs)?
        };
        service_file.write(record.service_environment().as_bytes())?;
        record_file.write(&serde_json::to_vec_pretty(&record)?)?;
        Ok(Self {
            record,
            _proxy: proxy,
            record_file,
            service_file,
            watch,
            emulator,
            _temporary: temporary,
            _lock: lock,
        })
    }

    /// Returns the description of the stack.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Returns the file that holds the description while the stack runs.
    #[must_use]
    pub fn record_path(&self) -> &Path {
        &self.record_file.path
    }

    /// Returns the file with the environment of a service, for a shell.
    #[must_use]
    pub fn service_path(&self) -> &Path {
        &self.service_file.path
    }

    /// Waits until a part of the stack ends by itself, which is a fault.
    ///
    /// # Errors
    /// Always; the message names the part that has ended.
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

/// Builds the functions while the Python tools are installed. Returns the folder
/// of the binaries.
async fn build(tether: &Tether) -> Result<PathBuf> {
    let building = step("Building the functions", functions::build(tether));
    // One after the other: an installation blocks the thread while it waits for the
    // lock of another one.
    let installing = async {
        Environment::Tools.install(tether).await?;
        Environment::Aws.install(tether).await
    };
    let (binaries, ()) = tokio::try_join!(building, installing)?;
    Ok(binaries)
}

/// Deploys the bundle and the example. Returns what is deployed of the bundle, where
/// the local gateway serves the APIs, and the key of the example's service.
async fn deploy_all(
    tether: &Tether,
    aws: &Aws,
    binaries: &Path,
    options: &Options,
) -> Result<(Deployed, Upstreams, Service)> {
    let deploying = deploy(tether, aws, binaries, &options.state, &options.parameters);
    let bundle = step("Deploying template.yaml", deploying).await?;
    let deploying = deploy_example(tether, aws, binaries, &bundle);
    let example = step("Deploying infra/example", deploying).await?;
    let upstreams = Upstreams {
        api: gateway(aws, &bundle, Protocol::Http)?,
        socket: gateway(aws, &bundle, Protocol::WebSocket)?,
        example: gateway(aws, &example, Protocol::Http)?,
    };
    let service = assume(tether, aws, example.output("ServiceRoleArn")?).await?;
    Ok((bundle, upstreams, service))
}

async fn start_watch(
    tether: &Tether,
    aws: &Aws,
    deployed: &Deployed,
    router: &str,
    state: &Path,
) -> Result<Watch> {
    Environment::CargoLambda.install(tether).await?;
    let starting = Watch::start(tether, aws, deployed, router, state);
    step("Starting cargo lambda watch", starting).await
}

/// Returns where the local gateway serves the API of a protocol.
fn gateway(aws: &Aws, deployed: &Deployed, protocol: Protocol) -> Result<Upstream> {
    let authority = aws.endpoint_url.trim_start_matches("http://").to_owned();
    let prefix = deployed.path(protocol)?;
    Ok(Upstream { authority, prefix })
}

fn record(
    api_url: String,
    socket_url: String,
    aws: &Aws,
    deployed: Deployed,
    demo: Demo,
    service: Service,
    logs: PathBuf,
) -> Result<Record> {
    let resource = |logical_id| deployed.resource(logical_id).map(str::to_owned);
    Ok(Record {
        example_url: format!("{api_url}{EXAMPLE_PATH}"),
        api_url,
        socket_url,
        aws: aws.clone(),
        tables: deployed.tables()?,
        topic_arn: resource("Events")?,
        mails_url: mails::url(aws),
        demo,
        service,
        logs,
        functions: deployed.functions,
        outputs: deployed.outputs,
        resources: deployed.resources,
        watch: false,
    })
}
