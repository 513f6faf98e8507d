//! An account with many devices on tables of its own, and the functions that serve it:
//! release builds, each a process.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
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

use super::operation::{EMAIL, Operation, Request, check, sign_in};
use crate::lambda::Function;
use crate::programs::{Program, folder};
use crate::requests::{PASSWORD, environment};
use crate::services::{Services, bundle_over};

/// The address of an account whose row has no hash.
const UNREADABLE: &str = "anna@example.com";
const WRONG_PASSWORD: &str = "nine lanterns drift past the harbour";

/// Requests of each kind before those that count.
const WARM_UP: usize = 5;
/// How often a measurement is repeated in which a busy machine caused a retried call.
const TRIES: usize = 5;
/// How many tokens are tried after an operation, beside the target's and a new one.
const TRIED: usize = 100;

/// What one operation used, and the sessions that it left.
#[derive(Serialize)]
pub struct Counted {
    #[serde(flatten)]
    pub cost: Cost,
    pub rows_judged: usize,
    pub tokens_tried: usize,
    /// Sessions that are valid by their rows, or whose token was let in, and should not
    /// be.
    pub alive_that_should_be_dead: usize,
    pub dead_that_should_be_alive: usize,
}

/// The processor time of an operation in one round, in microseconds.
#[derive(Clone, Copy)]
pub struct Spent {
    pub us: f64,
    /// The part of it that is the hash, of operations that hash.
    pub hash_us: Option<f64>,
}

pub struct Account {
    /// How many devices are signed in.
    pub devices: usize,
    services: Services,
    bundle: Bundle,
    /// The caller's token comes first. The last device is the target of a sign-out.
    tokens: Vec<Token>,
    caller_session: SessionId,
    /// The rows that operations change, as they were before.
    kept: Vec<(&'static str, Value)>,
    functions: BTreeMap<String, Function>,
}

impl Account {
    /// Signs one device in, adds the rows of the others after its pattern, and starts the
    /// functions.
    pub async fn new(devices: usize, programs: &[Program]) -> Result<Self> {
        let engine = Engine::new();
        let bundle = bundle_over(&engine);
        for email in [EMAIL, UNREADABLE] {
            let reply = bundle.register(email, PASSWORD).await;
            ensure!(reply.status_code == 202, "registering: {reply:?}");
        }
        remove_hash(&engine)?;
        let reply: Reply = bundle.log_in(EMAIL, PASSWORD, None).await;
        let caller = token_of(&json_of(&reply));
        let caller = caller.with_context(|| format!("signing in: {reply:?}"))?;
        let device = caller.device();
        let mut rows = bundle.store.rows(caller.account(), &[device]).await?;
        let row = rows.devices.pop().context("a device has a row")?;
        let others = add_devices(&engine, &row, devices - 1, bundle.clock.now());
        let mut account = Self {
            devices,
            services: Services::start(engine).await?,
            bundle,
            tokens: std::iter::once(caller).chain(others).collect(),
            caller_session: row.session,
            kept: Vec::new(),
            functions: BTreeMap::new(),
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

    /// Ends the functions.
    pub async fn end(self) -> Result<()> {
        for function in self.functions.into_values() {
            function.end().await?;
        }
        Ok(())
    }

    /// Begins a round: marks the caller as just active, so that no check has to write
    /// that, and keeps the rows as they are.
    pub async fn begin(&mut self) -> Result<()> {
        let (caller, store) = (self.caller(), &self.bundle.store);
        let (account, device) = (caller.account(), caller.device());
        let now = self.bundle.clock.now();
        store
            .touch(account, device, self.caller_session, None, now)
            .await?;
        let account = json!({ "account_id": { "S": account.to_string() } });
        self.kept = vec![
            self.row(tables::ACCOUNTS, &account)?,
            self.row(tables::DEVICES, &key(caller))?,
            self.row(tables::DEVICES, &key(self.target()))?,
        ];
        Ok(())
    }

    /// Counts the calls and units of an operation, judges every session after it, and
    /// restores the rows.
    pub async fn count(&mut self, operation: Operation) -> Result<Counted> {
        let request = operation.request(self.caller(), self.target());
        for _ in 0..WARM_UP {
            let answer = self.send(&request).await?;
            self.restore(&answer);
        }
        // Until two agree: a call that was retried counts twice.
        let mut before = None;
        for _ in 0..TRIES {
            let _before = self.services.take_cost();
            self.services.meter(true);
            let answer = self.send(&request).await?;
            self.services.meter(false);
            let mut cost = self.services.take_cost();
            // Some calls run side by side.
            cost.calls.sort();
            if before.as_ref() != Some(&cost) {
                before = Some(cost);
                self.restore(&answer);
                continue;
            }
            let counted = self.judge(operation, &answer, cost).await?;
            self.restore(&answer);
            return Ok(counted);
        }
        bail!(
            "the cost of `{}` differs from time to time",
            operation.name()
        );
    }

    /// Does an operation a few times and returns the processor time of its function.
    pub async fn spend(&mut self, operation: Operation, times: u32) -> Result<Spent> {
        let mut requests = vec![operation.request(self.caller(), self.target())];
        if operation == Operation::SignIn {
            // The hash is the difference of the two: both read as much, and the second
            // finds no hash.
            requests.push(Request {
                status: 401,
                ..Request::new("login", sign_in(EMAIL, WRONG_PASSWORD))
            });
            requests.push(Request {
                status: 503,
                ..Request::new("login", sign_in(UNREADABLE, PASSWORD))
            });
        }
        let calls = self.calls_of(&requests).await?;
        for _ in 0..TRIES {
            let _before = self.services.take_calls();
            let mut spent = vec![Duration::ZERO; requests.len()];
            for _ in 0..times {
                for (request, spent) in requests.iter().zip(&mut spent) {
                    let before = self.function(request.function)?.processor_time()?;
                    let answer = self.send(request).await?;
                    let after = self.function(request.function)?.processor_time()?;
                    *spent += after.saturating_sub(before);
                    self.restore(&answer);
                }
            }
            if self.services.take_calls().len() != calls * times as usize {
                continue;
            }
            let us = |at: usize| spent[at].as_secs_f64() * 1e6 / f64::from(times);
            let hash_us = (requests.len() == 3).then(|| us(1) - us(2));
            return Ok(Spent { us: us(0), hash_us });
        }
        bail!(
            "`{}` retried calls in each of {TRIES} tries: the machine is too busy. Stop what else \
             runs on it, and run this again",
            operation.name()
        );
    }

    /// Returns the number of calls that one of each request makes: until two rounds agree.
    async fn calls_of(&mut self, requests: &[Request]) -> Result<usize> {
        let mut before = None;
        for _ in 0..TRIES {
            let _before = self.services.take_calls();
            for request in requests {
                let answer = self.send(request).await?;
                self.restore(&answer);
            }
            let calls = self.services.take_calls().len();
            if before.replace(calls) == Some(calls) {
                return Ok(calls);
            }
        }
        bail!("the number of calls differs from time to time");
    }

    fn caller(&self) -> &Token {
        &self.tokens[0]
    }

    fn target(&self) -> &Token {
        self.tokens.last().unwrap_or(&self.tokens[0])
    }

    fn function(&mut self, name: &str) -> Result<&mut Function> {
        let function = self.functions.get_mut(name);
        function.with_context(|| format!("{name} does not run"))
    }

    /// Sends a request and returns the body of its answer.
    async fn send(&mut self, request: &Request) -> Result<Value> {
        let function = self.function(request.function)?;
        let answer = function.invoke(&request.event).await?;
        if answer["statusCode"] != request.status {
            bail!("{} answered {answer}", request.function);
        }
        Ok(serde_json::from_str(
            answer["body"].as_str().unwrap_or("{}"),
        )?)
    }

    fn row(&self, table: &'static str, key: &Value) -> Result<(&'static str, Value)> {
        let row = self.services.engine.row(table, key);
        Ok((table, row.context("a stored row")?))
    }

    /// Restores the rows that an operation changed, and removes those that it added.
    fn restore(&self, answer: &Value) {
        let engine = &self.services.engine;
        for (table, row) in &self.kept {
            engine.put_all(table, std::slice::from_ref(row));
        }
        let account = json!({ "S": self.caller().account().to_string() });
        let remove = |table, name: &str, id: &Value| {
            if let Some(id) = id.as_str() {
                engine.delete(table, &json!({ "account_id": account, name: { "S": id } }));
            }
        };
        if answer["token"].is_string() {
            remove(tables::DEVICES, "device_id", &answer["device"]["id"]);
        }
        remove(tables::RECEIPTS, "sign_out_id", &answer["sign_out"]["id"]);
        // Refused sign-ins would use up their budgets.
        for row in engine.rows(tables::ATTEMPTS) {
            let row = serde_json::to_value(&row).expect("a row is JSON");
            engine.delete(tables::ATTEMPTS, &json!({ "counter": row["counter"] }));
        }
    }

    /// Judges every row by the product's rule, and tries tokens at the function that
    /// checks.
    async fn judge(&mut self, operation: Operation, answer: &Value, cost: Cost) -> Result<Counted> {
        let new = token_of(answer);
        let all: BTreeSet<DeviceId> = self.tokens.iter().chain(&new).map(Token::device).collect();
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
        let mut alive: BTreeSet<DeviceId> = valid.into_iter().collect();
        let mut dead: BTreeSet<DeviceId> = all.difference(&alive).copied().collect();
        alive.retain(|device| !should_live(device));
        dead.retain(should_live);

        let tried: Vec<(DeviceId, Value, String)> = (self.sample().into_iter().chain(&new))
            .map(|token| (token.device(), key(token), token.to_text().to_string()))
            .collect();
        for (device, key, text) in &tried {
            // The first refusal of a device changes its row.
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
            rows_judged: all.len(),
            tokens_tried: tried.len(),
            alive_that_should_be_dead: alive.len(),
            dead_that_should_be_alive: dead.len(),
        })
    }

    /// Returns evenly spread tokens, the first and the last among them.
    fn sample(&self) -> Vec<&Token> {
        let step = self.tokens.len().div_ceil(TRIED);
        let mut some: Vec<&Token> = self.tokens.iter().step_by(step).collect();
        if some.last().map(|token| token.device()) != Some(self.target().device()) {
            some.push(self.target());
        }
        some
    }

    async fn is_let_in(&mut self, token: &str) -> Result<bool> {
        let check = check(token);
        let answer = self.function(check.function)?.invoke(&check.event).await?;
        match answer["statusCode"].as_u64() {
            Some(200) => Ok(true),
            Some(401) => Ok(false),
            _ => bail!("a check answered {answer}"),
        }
    }
}

/// Removes the hash of the unreadable account.
fn remove_hash(engine: &Engine) -> Result<()> {
    for mut row in engine.rows(tables::ACCOUNTS) {
        if serde_json::to_value(&row)?["email"]["S"] == UNREADABLE {
            row.remove("password_hash");
            engine.put(tables::ACCOUNTS, &serde_json::to_value(&row)?);
        }
    }
    Ok(())
}

fn key(token: &Token) -> Value {
    json!({
        "account_id": { "S": token.account().to_string() },
        "device_id": { "S": token.device().to_string() },
    })
}

/// Returns the token in the answer to a sign-in.
fn token_of(answer: &Value) -> Option<Token> {
    Token::parse(answer["token"].as_str()?).ok()
}
