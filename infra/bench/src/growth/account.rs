//! An account of so many devices, on tables of its own, and the functions that
//! serve it: release builds, each a process.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use curfew_tests::bundle::{Bundle, json_of};
use curfew_tests::cost::Cost;
use curfew_tests::engine::Engine;
use curfew_tests::many::{add_devices, signed_in};
use curfew_tests::tables;
use domain::{DeviceId, SessionId, Token};
use http_api::Reply;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::lambda::Function;
use crate::programs::{Program, folder};
use crate::requests::{PASSWORD, environment, gateway};
use crate::services::{Services, bundle_over};

const EMAIL: &str = "lea@example.com";
/// The address of an account whose row can't be read.
const UNREADABLE: &str = "anna@example.com";
const WRONG_PASSWORD: &str = "nine lanterns drift past the harbour";

/// Requests of each kind before those that count.
const WARM_UP: usize = 5;
/// How often something is done anew that a busy machine has spoiled: a call was
/// given up and made again.
const TRIES: usize = 5;
/// How many tokens are tried after an operation, beside the caller's, the target's
/// and a new one.
const TRIED: usize = 100;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// A new device signs in.
    SignIn,
    /// A device asks who it is.
    Check,
    /// A device lists the devices, the first page as it comes without a limit.
    List,
    /// A device signs another one out; where it is alone, itself.
    SignOutOne,
    /// A device signs every other one out.
    SignOutOthers,
    /// A device signs every one out, itself included.
    SignOutGlobal,
}

impl Operation {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self::SignIn,
        Self::Check,
        Self::List,
        Self::SignOutOne,
        Self::SignOutOthers,
        Self::SignOutGlobal,
    ];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::SignIn => "sign in",
            Self::Check => "check",
            Self::List => "list, first page",
            Self::SignOutOne => "sign out one",
            Self::SignOutOthers => "sign out others",
            Self::SignOutGlobal => "sign out global",
        }
    }

    /// Whether it ends every session but the caller's, or every one.
    pub fn is_sign_out_all(self) -> bool {
        matches!(self, Self::SignOutOthers | Self::SignOutGlobal)
    }
}

/// The functions that are measured. The second also tells whether a token is let in.
pub const FUNCTIONS: [&str; 5] = [
    "login",
    SESSION,
    "list-devices",
    "sign-out-device",
    "sign-out-all",
];
const SESSION: &str = "session";

/// What a function is asked, and the status of the answer when all went as it should.
struct Asked {
    function: &'static str,
    event: Value,
    status: u64,
}

impl Asked {
    /// Fails unless an answer is of the kind that it should be.
    fn judge(&self, answer: &Value) -> Result<()> {
        if answer["statusCode"] != self.status {
            bail!("{} does not do its part: {answer}", self.function);
        }
        Ok(())
    }
}

/// What one operation used once, and what it left behind.
#[derive(Debug, Clone, Serialize)]
pub struct Counted {
    /// Calls and units.
    #[serde(flatten)]
    pub cost: Cost,
    /// The rows that were judged by the rule.
    pub rows_judged: usize,
    /// The tokens that were tried.
    pub tokens_tried: usize,
    /// Sessions that are valid by their rows, or whose token was let in, and should
    /// not be.
    pub alive_that_should_be_dead: usize,
    /// The other way round.
    pub dead_that_should_be_alive: usize,
}

/// The processor time of an operation, in microseconds, in one round.
#[derive(Debug, Clone, Copy)]
pub struct Spent {
    /// All of it.
    pub us: f64,
    /// How much of it was the hash, where there is one.
    pub hash_us: Option<f64>,
}

/// An account and its functions.
pub struct Account {
    /// How many devices are signed in.
    pub devices: usize,
    services: Services,
    bundle: Bundle,
    /// The tokens, the caller's first. The last device is signed out as one.
    tokens: Vec<Token>,
    caller_session: SessionId,
    /// The rows that an operation changes, as they were made.
    kept: Vec<(&'static str, Value)>,
    functions: BTreeMap<String, Function>,
    /// The calls of each operation.
    calls: BTreeMap<Operation, usize>,
}

impl Account {
    /// Makes it: one device signs in, and the others are written like it.
    pub async fn new(devices: usize, programs: &[Program]) -> Result<Self> {
        let engine = Engine::new();
        let bundle = bundle_over(&engine);
        for email in [EMAIL, UNREADABLE] {
            done(&bundle.register(email, PASSWORD).await)?;
        }
        for mut row in engine.rows(tables::ACCOUNTS) {
            let row_of = serde_json::to_value(&row)?;
            if row_of["email"]["S"] == UNREADABLE {
                row.remove("password_hash");
                engine.put(tables::ACCOUNTS, &serde_json::to_value(&row)?);
            }
        }
        let signed_in = done(&bundle.log_in(EMAIL, PASSWORD, None).await)?;
        let caller = token_of(&signed_in).context("signing in gives no token")?;
        let (account, device) = (caller.account(), caller.device());
        let row = bundle
            .store
            .rows(account, &[device])
            .await?
            .devices
            .pop()
            .context("a device has a row")?;
        let now = bundle.clock.now();
        let others = add_devices(&engine, &row, devices - 1, now);

        let services = Services::start(engine).await?;
        let mut account = Self {
            devices,
            services,
            bundle,
            tokens: std::iter::once(caller).chain(others).collect(),
            caller_session: row.session,
            kept: Vec::new(),
            functions: BTreeMap::new(),
            calls: BTreeMap::new(),
        };
        account.begin().await?;
        for program in programs {
            account.start(program).await?;
        }
        Ok(account)
    }

    async fn start(&mut self, program: &Program) -> Result<()> {
        let logs = folder().join("growth");
        fs::create_dir_all(&logs)?;
        let log = logs.join(format!("{}-{}.log", program.name, self.devices));
        let mut command = Command::new(&program.file);
        command.env_clear();
        environment(&mut command);
        command.env("AWS_ENDPOINT_URL", &self.services.url);
        let mut function = Function::start(command, None, &log).await?;
        function.initialised().await?;
        function.idle().await?;
        self.functions.insert(program.name.clone(), function);
        Ok(())
    }

    /// Lets the functions end.
    pub async fn end(self) -> Result<()> {
        for function in self.functions.into_values() {
            function.end().await?;
        }
        Ok(())
    }

    /// Begins a round: the caller has been active just now, so that no check finds
    /// a touch due, and its row is kept as it is now.
    pub async fn begin(&mut self) -> Result<()> {
        let (caller, store) = (self.caller(), &self.bundle.store);
        let now = self.bundle.clock.now();
        store
            .touch(caller.account(), caller.device(), self.caller_session, now)
            .await?;
        let account = json!({ "account_id": { "S": caller.account().to_string() } });
        self.kept = vec![
            self.row(tables::ACCOUNTS, &account)?,
            self.row(tables::DEVICES, &key(caller))?,
            self.row(tables::DEVICES, &key(self.target()))?,
        ];
        Ok(())
    }

    /// Does an operation, counts its calls and units, and judges every session
    /// after it. Then everything is again as it was.
    pub async fn count(&mut self, operation: Operation) -> Result<Counted> {
        let asked = self.asked(operation);
        for _ in 0..WARM_UP {
            let answer = self.ask(&asked).await?;
            self.restore(&answer);
        }
        // Until two agree: a call that was given up and made again counts twice.
        let mut before = None;
        for _ in 0..TRIES {
            let _before = self.services.take_cost();
            self.services.meter(true);
            let answer = self.ask(&asked).await?;
            self.services.meter(false);
            let cost = self.services.take_cost();
            if before.as_ref() != Some(&cost) {
                before = Some(cost);
                self.restore(&answer);
                continue;
            }
            self.calls.insert(operation, cost.calls.len());
            let counted = self.judge(operation, &answer, cost).await?;
            self.restore(&answer);
            return Ok(counted);
        }
        bail!("{} costs something else each time", operation.name());
    }

    /// Does an operation a few times, and tells the processor time of its function.
    pub async fn spend(&mut self, operation: Operation, times: u32) -> Result<Spent> {
        let mut asked = vec![self.asked(operation)];
        if operation == Operation::SignIn {
            asked.extend([refused_sign_in(), unreadable_sign_in()]);
        }
        let calls = self.calls[&operation];
        // What is only there to find the hash makes the calls before the hash.
        let calls = calls + (asked.len() - 1) * calls.saturating_sub(1);
        for _ in 0..TRIES {
            let _before = self.services.take_calls();
            let mut spent = vec![Duration::ZERO; asked.len()];
            for _ in 0..times {
                for (asked, spent) in asked.iter().zip(&mut spent) {
                    let before = self.processor_time(asked)?;
                    let answer = self.ask(asked).await?;
                    *spent += self.processor_time(asked)?.saturating_sub(before);
                    self.restore(&answer);
                }
            }
            if self.services.take_calls().len() != calls * times as usize {
                continue;
            }
            let us = |at: usize| spent[at].as_secs_f64() * 1e6 / f64::from(times);
            return Ok(Spent {
                us: us(0),
                hash_us: (asked.len() == 3).then(|| us(1) - us(2)),
            });
        }
        bail!("{} makes calls again and again", operation.name());
    }

    fn caller(&self) -> &Token {
        &self.tokens[0]
    }

    fn target(&self) -> &Token {
        self.tokens.last().unwrap_or(&self.tokens[0])
    }

    fn asked(&self, operation: Operation) -> Asked {
        let text = self.caller().to_text();
        let token = Some(text.as_str());
        let sign_out_all = |scope: &str| {
            let body = json!({ "scope": scope });
            gateway("POST", "/v1/sign-out-all", token, Some(&body))
        };
        let (function, event) = match operation {
            Operation::SignIn => ("login", sign_in(EMAIL, PASSWORD)),
            Operation::Check => (SESSION, check(&text)),
            Operation::List => ("list-devices", gateway("GET", "/v1/devices", token, None)),
            Operation::SignOutOne => {
                let device = self.target().device().to_string();
                let path = format!("/v1/devices/{device}/sign-out");
                let mut event = gateway("POST", &path, token, None);
                event["pathParameters"] = json!({ "device_id": device });
                ("sign-out-device", event)
            }
            Operation::SignOutOthers => ("sign-out-all", sign_out_all("others")),
            Operation::SignOutGlobal => ("sign-out-all", sign_out_all("global")),
        };
        Asked {
            function,
            event,
            status: 200,
        }
    }

    /// Asks, and fails unless the answer is of the kind that it should be.
    async fn ask(&mut self, asked: &Asked) -> Result<Value> {
        let function = self.functions.get_mut(asked.function);
        let function = function.with_context(|| format!("{} does not run", asked.function))?;
        let answer = function.invoke(&asked.event).await?;
        asked.judge(&answer)?;
        let body = answer["body"].as_str().unwrap_or("{}");
        Ok(serde_json::from_str(body)?)
    }

    fn processor_time(&self, asked: &Asked) -> Result<Duration> {
        let function = self.functions.get(asked.function);
        let function = function.with_context(|| format!("{} does not run", asked.function))?;
        function.processor_time()
    }

    fn row(&self, table: &'static str, key: &Value) -> Result<(&'static str, Value)> {
        let row = self.services.engine.row(table, key);
        Ok((table, row.context("a row that was written")?))
    }

    /// Lets everything be as it was before an operation: the rows that it changed,
    /// and without those that it made, which its answer names.
    fn restore(&self, answer: &Value) {
        let engine = &self.services.engine;
        for (table, row) in &self.kept {
            engine.put_all(table, std::slice::from_ref(row));
        }
        let account = json!({ "S": self.caller().account().to_string() });
        let forget = |table, name: &str, id: &Value| {
            if let Some(id) = id.as_str() {
                engine.delete(table, &json!({ "account_id": account, name: { "S": id } }));
            }
        };
        if answer["token"].is_string() {
            forget(tables::DEVICES, "device_id", &answer["device"]["id"]);
        }
        forget(tables::RECEIPTS, "sign_out_id", &answer["sign_out"]["id"]);
    }

    /// Judges every row by the rule, and tries tokens.
    async fn judge(&mut self, operation: Operation, answer: &Value, cost: Cost) -> Result<Counted> {
        let new = token_of(answer);
        let everybody: BTreeSet<DeviceId> =
            self.tokens.iter().chain(&new).map(Token::device).collect();
        let (caller, target) = (self.caller().device(), self.target().device());
        let should_live = |device: &DeviceId| match operation {
            Operation::SignIn | Operation::Check | Operation::List => true,
            Operation::SignOutOne => *device != target,
            Operation::SignOutOthers => *device == caller,
            Operation::SignOutGlobal => false,
        };
        let (bundle, now) = (&self.bundle, self.bundle.clock.now());
        let account = self.caller().account();
        let valid = signed_in(&bundle.store, account, &bundle.limits, now).await;
        let valid: BTreeSet<DeviceId> = valid.into_iter().collect();
        let mut alive: BTreeSet<DeviceId> = valid
            .iter()
            .filter(|device| !should_live(device))
            .copied()
            .collect();
        let mut dead: BTreeSet<DeviceId> = everybody
            .iter()
            .filter(|device| should_live(device) && !valid.contains(device))
            .copied()
            .collect();

        let mut tried = self.sample();
        tried.extend(&new);
        let tried: Vec<Tried> = tried.into_iter().map(Tried::from).collect();
        for Tried { device, key, text } in &tried {
            // A device that is refused for the first time leaves a trace.
            let row = self.row(tables::DEVICES, key)?;
            let is_let_in = self.is_let_in(text).await?;
            self.services.engine.put_all(row.0, &[row.1]);
            match (is_let_in, should_live(device)) {
                (true, false) => _ = alive.insert(*device),
                (false, true) => _ = dead.insert(*device),
                _ => {}
            }
        }
        Ok(Counted {
            cost,
            rows_judged: everybody.len(),
            tokens_tried: tried.len(),
            alive_that_should_be_dead: alive.len(),
            dead_that_should_be_alive: dead.len(),
        })
    }

    /// Some of the tokens, evenly: the first and the last among them.
    fn sample(&self) -> Vec<&Token> {
        let step = self.tokens.len().div_ceil(TRIED);
        let mut some: Vec<&Token> = self.tokens.iter().step_by(step).collect();
        if some.last().map(|token| token.device()) != Some(self.target().device()) {
            some.push(self.target());
        }
        some
    }

    /// Whether a token passes the check: the function decides, over HTTP.
    async fn is_let_in(&mut self, token: &str) -> Result<bool> {
        let function = self.functions.get_mut(SESSION);
        let function = function.context("the check does not run")?;
        let answer = function.invoke(&check(token)).await?;
        match answer["statusCode"].as_u64() {
            Some(200) => Ok(true),
            Some(401) => Ok(false),
            _ => bail!("a check is not decided: {answer}"),
        }
    }
}

/// A token that is tried, with the device's row.
struct Tried {
    device: DeviceId,
    key: Value,
    text: String,
}

impl From<&Token> for Tried {
    fn from(token: &Token) -> Self {
        Self {
            device: token.device(),
            key: key(token),
            text: token.to_text().to_string(),
        }
    }
}

/// A sign-in that is refused because of its password. It reads and hashes as
/// much as one that is not.
fn refused_sign_in() -> Asked {
    Asked {
        function: "login",
        event: sign_in(EMAIL, WRONG_PASSWORD),
        status: 401,
    }
}

/// A sign-in to an account whose row has no hash. It reads as much, finds the row
/// damaged, and hashes nothing.
fn unreadable_sign_in() -> Asked {
    Asked {
        function: "login",
        event: sign_in(UNREADABLE, PASSWORD),
        status: 503,
    }
}

fn sign_in(email: &str, password: &str) -> Value {
    let body = json!({
        "email": email, "password": password,
        "device": { "name": "Hotel TV", "type": "tv" },
    });
    gateway("POST", "/v1/login", None, Some(&body))
}

fn check(token: &str) -> Value {
    gateway("GET", "/v1/session", Some(token), None)
}

fn key(token: &Token) -> Value {
    json!({
        "account_id": { "S": token.account().to_string() },
        "device_id": { "S": token.device().to_string() },
    })
}

/// The token that a sign-in answers with.
fn token_of(answer: &Value) -> Option<Token> {
    Token::parse(answer["token"].as_str()?).ok()
}

/// The body of an answer to what was done.
fn done(reply: &Reply) -> Result<Value> {
    if !matches!(reply.status_code, 200 | 202) {
        bail!("not done: {reply:?}");
    }
    Ok(json_of(reply))
}
