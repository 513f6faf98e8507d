//! Measures how well the time of an answer shows whether an address has an account: the AUC
//! of a classifier that guesses by time alone (Fawcett, "An introduction to ROC analysis",
//! 2006, section 7). At 0.5 it does no better than a coin.

use anyhow::{Result, ensure};
use curfew_tests::account::register;
use curfew_tests::engine::Engine;
use curfew_tests::random::SeededRandom;
use curfew_tests::tables::{ACCOUNTS, IDENTITIES};
use domain::AccountId;
use domain::password::Hasher;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::lambda::Function;
use crate::programs::{Builder, folder};
use crate::report::{Report, Table, float, median};
use crate::requests::events::gateway;
use crate::requests::{PASSWORD, environment};
use crate::services::{Services, bundle_over};

/// Requests of each kind before those that count.
const WARM_UP: usize = 20;
/// Measured requests of each kind. The AUC of equal times is then 0.5 ± 0.01 in 9 of 10
/// runs.
const REQUESTS: usize = 2_500;
/// A password that nobody has.
const WRONG: &str = "nine lanterns drift past the harbour";

/// The state of the accounts of one group.
#[derive(Debug, Clone, Copy, Serialize)]
enum Kind {
    Unknown,
    Confirmed,
    Unconfirmed,
    Disabled,
}

impl Kind {
    /// Returns the address of the person with this number.
    fn address(self, n: usize) -> String {
        format!("{self:?}-{n:05}@example.com").to_lowercase()
    }
}

/// A request that answers alike for a known and an unknown address.
struct Case {
    function: &'static str,
    path: &'static str,
    what: &'static str,
    known: Kind,
    password: Option<&'static str>,
    sends_mail: bool,
}

const fn sign_in(what: &'static str, known: Kind, password: &'static str) -> Case {
    Case {
        function: "login",
        path: "/v1/login",
        what,
        known,
        password: Some(password),
        sends_mail: true,
    }
}

const fn code(function: &'static str, path: &'static str, known: Kind) -> Case {
    Case {
        function,
        path,
        what: "a code by mail",
        known,
        password: None,
        sends_mail: true,
    }
}

const CASES: [Case; 8] = [
    sign_in("wrong password", Kind::Confirmed, WRONG),
    sign_in("wrong password", Kind::Unconfirmed, WRONG),
    sign_in("right password", Kind::Disabled, PASSWORD),
    code("request-codes", "/v1/password-resets", Kind::Confirmed),
    code("request-codes", "/v1/password-resets", Kind::Unconfirmed),
    code("request-codes", "/v1/passes", Kind::Confirmed),
    code("register", "/v1/accounts", Kind::Confirmed),
    Case {
        function: "register",
        path: "/v1/accounts",
        what: "without mail",
        known: Kind::Confirmed,
        password: Some(PASSWORD),
        sends_mail: false,
    },
];

#[derive(Serialize)]
struct Figures {
    path: &'static str,
    what: &'static str,
    known: Kind,
    status: u64,
    /// Medians in microseconds.
    known_us: f64,
    unknown_us: f64,
    auc: f64,
}

/// Builds the functions and measures each case.
pub async fn run(builder: &Builder) -> Result<()> {
    let mut figures = Vec::new();
    for case in &CASES {
        eprintln!(
            "enumeration: {}, {}, {:?} …",
            case.path, case.what, case.known
        );
        figures.push(Box::pin(measure(builder, case)).await?);
    }
    let columns = [
        "path",
        "what",
        "known address",
        "status",
        "known µs",
        "unknown µs",
        "AUC",
    ];
    let mut table = Table::new(
        "How well a time shows whether an address has an account",
        &columns,
    );
    for it in &figures {
        table.row([
            it.path.to_owned(),
            it.what.to_owned(),
            format!("{:?}", it.known).to_lowercase(),
            it.status.to_string(),
            format!("{:.0}", it.known_us),
            format!("{:.0}", it.unknown_us),
            format!("{:.3}", it.auc),
        ]);
    }
    Report::new("enumeration", figures, vec![table]).publish()
}

async fn measure(builder: &Builder, case: &Case) -> Result<Figures> {
    let programs = builder.functions(&[case.function.to_owned()]).await?;
    let services = Services::start(populated(case.known).await?).await?;
    let mut command = Command::new(&programs[0].file);
    command.env_clear();
    environment(&mut command);
    command.env("AWS_ENDPOINT_URL", &services.url);
    if case.sends_mail {
        let queue = "https://sqs.eu-central-1.amazonaws.com/1/mails";
        for name in ["CODES", "CONFIRMATIONS", "NOTIFY"] {
            command.env(format!("{name}_QUEUE_URL"), queue);
        }
    }
    let log = folder().join("enumeration.log");
    let mut function = Function::start(command, None, &log).await?;
    function.initialised().await?;

    let mut random = SeededRandom::new(20_261_129);
    let (mut times, mut statuses) = ([Vec::new(), Vec::new()], Vec::new());
    for n in 0..WARM_UP + REQUESTS {
        let first = random.index(2);
        for group in [first, 1 - first] {
            let kind = [case.known, Kind::Unknown][group];
            let event = event(case, &kind.address(n), 2 * n + group);
            let (answer, time) = function.timed(&event).await?;
            statuses.push(answer["statusCode"].as_u64().unwrap_or_default());
            if n >= WARM_UP {
                times[group].push(time.as_secs_f64() * 1e6);
            }
        }
        let _calls = services.take_calls();
    }
    function.end().await?;
    statuses.dedup();
    ensure!(statuses.len() == 1, "statuses that differ: {statuses:?}");
    ensure!(statuses[0] != 400, "the request is not well-formed");
    let [known, unknown] = times;
    Ok(Figures {
        path: case.path,
        what: case.what,
        known: case.known,
        status: statuses[0],
        auc: auc(&known, &unknown),
        known_us: median(known),
        unknown_us: median(unknown),
    })
}

/// Returns tables with an account of this kind for each address. All have one password.
async fn populated(kind: Kind) -> Result<Engine> {
    let engine = Engine::new();
    let bundle = bundle_over(&engine);
    let now = bundle.clock.now();
    let confirmed_at = (!matches!(kind, Kind::Unconfirmed)).then_some(now);
    register(
        &bundle.store,
        "lea@example.com",
        PASSWORD,
        confirmed_at,
        now,
    )
    .await?;
    let mut account = serde_json::to_value(&engine.rows(ACCOUNTS)[0])?;
    let mut identity = serde_json::to_value(&engine.rows(IDENTITIES)[0])?;
    let password = domain::password::Password::parse(PASSWORD)?;
    let hash = Hasher::new().hash(&password, runtime::random());
    account["password_hash"] = json!({ "S": hash.as_str() });
    if matches!(kind, Kind::Disabled) {
        account["disabled_at"] = json!({ "N": now.as_millisecond().to_string() });
    }
    let (mut accounts, mut identities) = (Vec::new(), Vec::new());
    for n in 0..WARM_UP + REQUESTS {
        let id = AccountId::from_random(runtime::random()).to_string();
        for (row, rows) in [
            (&mut account, &mut accounts),
            (&mut identity, &mut identities),
        ] {
            row["account_id"] = json!({ "S": id });
            row["email"] = json!({ "S": kind.address(n) });
            rows.push(row.clone());
        }
    }
    engine.put_all(ACCOUNTS, &accounts);
    engine.put_all(IDENTITIES, &identities);
    Ok(engine)
}

/// Returns a request from a network of its own, so that no budget is used up.
fn event(case: &Case, email: &str, network: usize) -> Value {
    let mut body = json!({ "email": email });
    if let Some(password) = case.password {
        body["password"] = password.into();
    }
    let mut event = gateway("POST", case.path, None, Some(&body));
    let address = format!("10.{}.{}.1", network >> 8, network & 0xff);
    event["requestContext"]["http"]["sourceIp"] = address.into();
    event
}

/// Returns the probability that a time of the first list is longer than one of the second.
fn auc(first: &[f64], second: &[f64]) -> f64 {
    let mut all: Vec<(f64, bool)> = first.iter().map(|time| (*time, true)).collect();
    all.extend(second.iter().map(|time| (*time, false)));
    all.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (mut shorter, mut wins) = (0.0, 0.0);
    for equal in all.chunk_by(|one, other| one.0.total_cmp(&other.0).is_eq()) {
        let of_first = float(equal.iter().filter(|one| one.1).count());
        let of_second = float(equal.len()) - of_first;
        wins += of_first * (shorter + of_second / 2.0);
        shorter += of_second;
    }
    wins / (float(first.len()) * float(second.len()))
}

#[cfg(test)]
mod tests {
    use super::auc;

    #[test]
    fn the_auc_is_the_share_of_pairs_in_which_the_first_is_longer() {
        for (first, second, expected) in [
            (&[1.0, 2.0][..], &[3.0, 4.0][..], 0.0),
            (&[3.0, 4.0], &[1.0, 2.0], 1.0),
            (&[1.0, 3.0], &[2.0, 4.0], 0.25),
            (&[1.0, 1.0], &[1.0], 0.5),
        ] {
            assert!((auc(first, second) - expected).abs() < 1e-9, "{first:?}");
        }
    }
}
