//! The requests that functions are measured with: their most frequent ones, done in
//! full, on two households in the embedded DynamoDB.

mod codes;
mod environment;
pub mod events;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use aws_credential_types::Credentials;
use curfew_tests::bundle::{Bundle, introspection, json_of};
use curfew_tests::engine::Engine;
use curfew_tests::routes::routes;
use curfew_tests::tables;
use domain::{ConnectionId, EndedSession, SignOutId, Token};
use jiff::SignedDuration;
use runtime::{Clients, RetryPolicy};
use serde_json::{Value, json};
use store::Connection;
use tokio::process::Command;

use self::codes::Codes;
pub use self::environment::environment;
use self::events::{alarm, authorizer, gateway, queued, socket};
use crate::services::{Services, bundle_over};

/// The password of every account.
pub const PASSWORD: &str = "quiet otter borrows nine lanterns";
const OTHER_PASSWORD: &str = "nine lanterns drift past the harbour";

/// A request to one function.
pub struct Request {
    /// A name in a few words.
    pub what: String,
    /// Returns the event with a number, by which each differs from earlier ones.
    pub event: Box<dyn Fn(u64) -> Value + Send + Sync>,
    /// Whether it changes rows, which then have to be restored before the next one.
    pub changes: bool,
}

/// The services, with two households: in the first all devices are signed in, in the
/// second one device has signed the others out.
pub struct World {
    pub services: Services,
    /// The rows as they were at first.
    rows: Vec<(&'static str, Value)>,
    first: Vec<Member>,
    second: Vec<Member>,
    sign_out: String,
    codes: Codes,
    /// The record of the sign-out in the stream, and the message published for it.
    record: Value,
    message: String,
}

struct Member {
    token: String,
    device: String,
}

/// The functions that change rows, so that a second request would have less to do.
const CHANGING: [&str; 11] = [
    "change-address",
    "change-password",
    "confirm-codes",
    "login",
    "notify-owner",
    "push-revocations",
    "rename-device",
    "sign-out-all",
    "sign-out-device",
    "sweep",
    "verify",
];

/// Lets every session end others for a day, and verify with the password.
fn verify_all(engine: &Engine) -> Result<()> {
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    for row in engine.rows(tables::DEVICES) {
        let mut row = serde_json::to_value(&row)?;
        let signed_in_at = row["signed_in_at"]["N"].as_str().unwrap_or_default();
        let later = (signed_in_at.parse::<i64>()? + DAY_MS).to_string();
        for attribute in ["recognized_until", "verified_at"] {
            row[attribute] = json!({ "N": later });
        }
        engine.put(tables::DEVICES, &row);
    }
    Ok(())
}

/// The devices of a household.
const DEVICES: usize = 10;

impl World {
    pub async fn new() -> Result<Self> {
        let engine = Engine::new();
        let bundle = bundle_over(&engine);
        let first = household(&bundle, "lea@example.com").await?;
        let second = household(&bundle, "anna@example.com").await?;
        for row in engine.rows(tables::ACCOUNTS) {
            let mut row = serde_json::to_value(&row)?;
            row["confirmed_at"] = row["created_at"].clone();
            engine.put(tables::ACCOUNTS, &row);
        }
        for member in &second {
            connect(&bundle, member).await?;
        }
        let reply = bundle.sign_out_scope(&second[0].token, "others").await;
        let body = json_of(&reply);
        let sign_out = body["sign_out"]["id"].as_str();
        let sign_out = sign_out.with_context(|| format!("signing out: {reply:?}"))?;
        verify_all(&engine)?;
        let codes = Codes::ask(&bundle, "lea@example.com", &first[0].token).await?;
        let services = Services::start(engine).await?;
        let record = record(&services.engine, sign_out)?;
        let mut rows = Vec::new();
        for table in [
            tables::ACCOUNTS,
            tables::IDENTITIES,
            tables::DEVICES,
            tables::CONNECTIONS,
            tables::CHALLENGES,
        ] {
            for row in services.engine.rows(table) {
                rows.push((table, serde_json::to_value(&row)?));
            }
        }
        let message = message(&services, &record).await?;
        Ok(Self {
            services,
            rows,
            first,
            second,
            sign_out: sign_out.to_owned(),
            codes,
            record,
            message,
        })
    }

    /// Restores every row, and deletes what requests have added: a second notice of one event
    /// would have less to do.
    pub fn restore(&self) {
        let added: [(&str, &[&str]); 3] = [
            (tables::IDENTITIES, &["email"]),
            (tables::NOTICES, &["account_id", "notice_id"]),
            (tables::ATTEMPTS, &["counter"]),
        ];
        for (table, key) in added {
            for row in self.services.engine.rows(table) {
                let row = serde_json::to_value(&row).expect("a row is JSON");
                let key = key.iter().map(|name| (*name, &row[*name]));
                let key: BTreeMap<_, _> = key.collect();
                self.services.engine.delete(table, &json!(key));
            }
        }
        for (table, row) in &self.rows {
            self.services.engine.put(table, row);
        }
    }

    /// Sets a function's environment, with the services in the place of AWS.
    pub fn point(&self, command: &mut Command) {
        environment(command);
        command.env("AWS_ENDPOINT_URL", &self.services.url);
    }

    /// Returns the request that a function is measured with.
    pub fn request(&self, function: &str) -> Result<Request> {
        if function == "register" {
            return Ok(Request {
                what: "an account".to_owned(),
                event: Box::new(|n| {
                    let email = format!("person-{n}@example.com");
                    let body = json!({ "email": email, "password": PASSWORD });
                    gateway("POST", "/v1/accounts", None, Some(&body))
                }),
                changes: false,
            });
        }
        let found = self.of_account(function);
        let found = found.or_else(|| self.of_session(function));
        let found = found.map(|(what, event)| (what.to_owned(), event));
        let found = found.or_else(|| self.of_route(function));
        let (what, event) = found
            .with_context(|| format!("{function} has no request in infra/bench/src/requests.rs"))?;
        Ok(Request {
            what,
            event: Box::new(move |_| event.clone()),
            changes: CHANGING.contains(&function),
        })
    }

    /// Requests about an account and its devices, and messages behind the answer.
    fn of_account(&self, function: &str) -> Option<(&'static str, Value)> {
        let token = Some(self.first[0].token.as_str());
        let device = &self.first[1].device;
        Some(match function {
            "change-password" => {
                let body = json!({
                    "current_password": PASSWORD, "new_password": OTHER_PASSWORD,
                    "keep_current": true,
                });
                let event = gateway("PUT", "/v1/password", token, Some(&body));
                ("a change", event)
            }
            "login" => {
                let body = json!({
                    "email": "lea@example.com", "password": PASSWORD,
                    "device": { "name": "Hotel TV", "type": "tv" },
                });
                let event = gateway("POST", "/v1/login", None, Some(&body));
                ("a new device", event)
            }
            "verify" => {
                let body = json!({ "password": PASSWORD });
                let event = gateway("POST", "/v1/verifications", token, Some(&body));
                ("the password", event)
            }
            "rename-device" => {
                let body = json!({ "name": "Hotel TV" });
                let path = format!("/v1/devices/{device}");
                let mut event = gateway("PATCH", &path, token, Some(&body));
                event["pathParameters"] = json!({ "device_id": device });
                ("another device", event)
            }
            "sign-out-device" => {
                let path = format!("/v1/devices/{device}/sign-out");
                let mut event = gateway("POST", &path, token, None);
                event["pathParameters"] = json!({ "device_id": device });
                ("another device", event)
            }
            "mark-returned-mails" => {
                let account = Token::parse(&self.first[0].token)
                    .ok()?
                    .account()
                    .to_string();
                let tags = json!({ "account": [account], "notice": [account] });
                (
                    "a mail without a notice",
                    json!({ "detail": { "mail": { "tags": tags } } }),
                )
            }
            "notify-owner" => ("devices signed out", queued(&self.message)),
            "pause-mails" => ("an alarm", alarm("ALARM")),
            "publish-revocations" => ("one sign-out", json!({ "Records": [self.record] })),
            "push-revocations" => ("nine sockets", queued(&self.message)),
            "send-mail" => {
                let message = json!({
                    "kind": "pass", "email": "lea@example.com", "challenge_id": "bench",
                    "code": "K7QM-2R9X", "expires_at_s": 4_102_444_800_i64, "language": "en",
                });
                ("a pass", queued(&message.to_string()))
            }
            "sweep" => ("nine devices", queued(&self.message)),
            _ => return None,
        })
    }

    /// Requests that change nothing but the last activity.
    fn of_session(&self, function: &str) -> Option<(&'static str, Value)> {
        let token = self.first[0].token.as_str();
        let get = |path| gateway("GET", path, Some(token), None);
        Some(match function {
            "request-codes" => {
                let body = json!({ "email": "lea@example.com" });
                let event = gateway("POST", "/v1/passes", None, Some(&body));
                ("a pass, without mail", event)
            }
            "confirm-codes" => {
                let mut body = self.codes.recovery.clone();
                body["password"] = OTHER_PASSWORD.into();
                let path = "/v1/password-resets/confirmations";
                let event = gateway("POST", path, None, Some(&body));
                ("a recovery", event)
            }
            "change-address" => {
                let path = "/v1/address-changes/confirmations";
                let event = gateway("POST", path, Some(token), Some(&self.codes.address_change));
                ("another address", event)
            }
            "api" => {
                let event = gateway("GET", "/v1/openapi.json", None, None);
                ("the document", event)
            }
            "authorizer" => ("a check", authorizer(token)),
            "introspect" => {
                let event = introspection(&format!("token={token}"));
                ("a check", serde_json::to_value(event).ok()?)
            }
            "list-devices" => ("ten devices", get("/v1/devices")),
            "messages" => ("no messages", get("/v1/messages")),
            "second-step" => ("no factors", get("/v1/factors")),
            "page" => ("the page", gateway("GET", "/", None, None)),
            "sign-out-receipts" => {
                let path = format!("/v1/sign-outs/{}", self.sign_out);
                let mut event = gateway("GET", &path, Some(&self.second[0].token), None);
                event["routeKey"] = "GET /v1/sign-outs/{sign_out_id}".into();
                event["pathParameters"] = json!({ "sign_out_id": self.sign_out });
                ("a receipt of nine", event)
            }
            "socket" => ("a heartbeat", socket(&connection_of(&self.second[0]))),
            _ => return None,
        })
    }

    /// The route of the function's name, with the body that the API's document shows.
    fn of_route(&self, function: &str) -> Option<(String, Value)> {
        let path = format!("/v1/{function}");
        let route = routes().into_iter().find(|route| route.path == path)?;
        let token = Some(self.first[0].token.as_str());
        let event = gateway(&route.method, &path, token, route.example.as_ref());
        Some((format!("`{} {path}`", route.method), event))
    }
}

/// Registers an account and signs its devices in.
async fn household(bundle: &Bundle, email: &str) -> Result<Vec<Member>> {
    let reply = bundle.register(email, PASSWORD).await;
    if reply.status_code != 202 {
        bail!("registering: {reply:?}");
    }
    let mut members = Vec::new();
    for _ in 0..DEVICES {
        let reply = bundle.log_in(email, PASSWORD, None).await;
        let body = json_of(&reply);
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        members.push(Member {
            token: text(&body["token"]).with_context(|| format!("signing in: {reply:?}"))?,
            device: text(&body["device"]["id"]).context("a device id")?,
        });
    }
    Ok(members)
}

/// Stores a socket of a device, opened five minutes ago.
async fn connect(bundle: &Bundle, member: &Member) -> Result<()> {
    let token = Token::parse(&member.token).context("a valid token")?;
    let page = bundle.store.devices(token.account(), None, 100).await?;
    let device = page
        .devices
        .iter()
        .find(|device| device.id == token.device());
    let connection = Connection {
        account: token.account(),
        id: connection_of(member).parse::<ConnectionId>()?,
        session: EndedSession::from(device.context("a signed-in device")?),
        connected_at: bundle.clock.now() - SignedDuration::from_mins(5),
    };
    bundle.store.connect(&connection).await?;
    Ok(())
}

fn connection_of(member: &Member) -> String {
    format!("{}=", member.device.replace('-', ""))
}

/// Returns the record that the stream of Receipts has for a sign-out.
fn record(engine: &Engine, sign_out: &str) -> Result<Value> {
    let id: SignOutId = sign_out.parse()?;
    for row in engine.rows(tables::RECEIPTS) {
        let row = serde_json::to_value(&row)?;
        if row["sign_out_id"]["S"] == json!(id.to_string()) {
            return Ok(json!({
                "eventID": "7de3041dd709b024af6f29e4fa13d34c",
                "eventName": "INSERT",
                "eventVersion": "1.1",
                "eventSource": "aws:dynamodb",
                "awsRegion": "eu-central-1",
                "dynamodb": {
                    "ApproximateCreationDateTime": 1_795_000_000,
                    "Keys": { "account_id": row["account_id"], "sign_out_id": row["sign_out_id"] },
                    "NewImage": row,
                    "SequenceNumber": "111",
                    "SizeBytes": 500,
                    "StreamViewType": "NEW_IMAGE",
                },
                "eventSourceARN": "arn:aws:dynamodb:eu-central-1:1:table/Receipts/stream/1",
            }));
        }
    }
    bail!("the sign-out has no record");
}

/// Returns the message that is published for a record.
async fn message(services: &Services, record: &Value) -> Result<String> {
    let clients = Clients::new(
        "eu-central-1".to_owned(),
        Credentials::new("bench", "bench", None, None, "bench"),
        Some(services.url.clone()),
        aws_smithy_http_client::Builder::new().build_http(),
        RetryPolicy::Never,
    );
    let deps = publish_revocations::Deps {
        topic: ::events::Topic::new(
            clients.config(),
            "arn:aws:sns:eu-central-1:1:events".to_owned(),
        ),
        unpublished: publish_revocations::Unpublished::new(
            clients,
            "https://queues.invalid/unpublished".to_owned(),
        ),
        issuer: "https://curfew.example".to_owned(),
    };
    let records = vec![record.clone()];
    let event = publish_revocations::StreamEvent { records };
    let _ = publish_revocations::handle(&deps, event).await;
    let published = services.take_published().pop();
    Ok(published.context("the record was not published")?.body)
}
