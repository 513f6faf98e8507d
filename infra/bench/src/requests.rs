//! Two households on the embedded DynamoDB, and for each function the request that
//! it is measured with: what it is asked most, and done in full.

use anyhow::{Context as _, Result, bail};
use aws_credential_types::Credentials;
use curfew_tests::bundle::{Bundle, introspection, json_of};
use curfew_tests::engine::Engine;
use curfew_tests::tables;
use domain::{ConnectionId, EndedSession, SignOutId, Token};
use jiff::SignedDuration;
use runtime::{Clients, RetryPolicy};
use serde_json::{Value, json};
use store::Connection;
use tokio::process::Command;

use crate::services::{Services, bundle_over};

/// The password of every account that is made.
pub const PASSWORD: &str = "quiet otter borrows nine lanterns";
const OTHER_PASSWORD: &str = "nine lanterns drift past the harbour";
const SOCKET_URL: &str = "https://a1b2c3.execute-api.eu-central-1.amazonaws.com/v1";

/// What one function is measured with.
pub struct Request {
    /// In a few words.
    pub what: &'static str,
    /// The event, by how many came before.
    pub event: Box<dyn Fn(u64) -> Value + Send + Sync>,
    /// It changes what it finds, so that the rows have to be restored before the
    /// next one.
    pub changes: bool,
}

/// The services with two households: in the first every device is signed in, in
/// the second one device has signed the others out.
pub struct World {
    /// The services.
    pub services: Services,
    /// The rows as they were made.
    rows: Vec<(&'static str, Value)>,
    first: Vec<Member>,
    second: Vec<Member>,
    sign_out: String,
    /// The record of the sign-out in the stream, and the message that it becomes.
    record: Value,
    message: String,
}

#[derive(Clone)]
struct Member {
    token: String,
    device: String,
}

/// The functions whose request finds less to do the second time, or leaves more for
/// others.
const CHANGING: [&str; 6] = [
    "change-password",
    "login",
    "push-revocations",
    "sign-out-all",
    "sign-out-device",
    "sweep",
];

/// A household has so many devices.
const DEVICES: usize = 10;

impl World {
    /// Makes it.
    ///
    /// # Errors
    /// When a function refuses what it should do.
    pub async fn new() -> Result<Self> {
        let engine = Engine::new();
        let bundle = bundle_over(&engine);
        let first = household(&bundle, "lea@example.com").await?;
        let second = household(&bundle, "anna@example.com").await?;
        for member in &second {
            connect(&bundle, member).await?;
        }
        let reply = bundle.sign_out_all(&second[0].token, "others").await;
        let sign_out = json_of(&reply)["sign_out"]["id"]
            .as_str()
            .map(ToOwned::to_owned);
        let sign_out = sign_out.with_context(|| format!("signing out: {reply:?}"))?;
        let services = Services::start(engine).await?;
        let record = record(&services.engine, &sign_out)?;
        let mut rows = Vec::new();
        for table in [tables::ACCOUNTS, tables::DEVICES, tables::CONNECTIONS] {
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
            sign_out,
            record,
            message,
        })
    }

    /// Lets every row be again as it was made.
    pub fn restore(&self) {
        for (table, row) in &self.rows {
            self.services.engine.put(table, row);
        }
    }

    /// What Lambda puts into a function's environment, with the services as AWS.
    pub fn point(&self, command: &mut Command) {
        environment(command);
        command.env("AWS_ENDPOINT_URL", &self.services.url);
    }

    /// What a function is measured with; none for one that is not known.
    #[must_use]
    pub fn request(&self, function: &str) -> Option<Request> {
        let fixed = |what, event: Value| {
            Some(Request {
                what,
                event: Box::new(move |_| event.clone()),
                changes: CHANGING.contains(&function),
            })
        };
        let (laptop, tv) = (&self.first[0], &self.first[1]);
        let token = Some(laptop.token.as_str());
        match function {
            "api" => fixed(
                "the document",
                gateway("GET", "/v1/openapi.json", None, None),
            ),
            "authorizer" => fixed("a check", authorizer(&laptop.token)),
            "change-password" => {
                let body = json!({
                    "current_password": PASSWORD, "new_password": OTHER_PASSWORD,
                    "keep_current": true,
                });
                fixed(
                    "a change",
                    gateway("PUT", "/v1/password", token, Some(&body)),
                )
            }
            "introspect" => {
                let event = introspection(&format!("token={}", laptop.token));
                fixed("a check", serde_json::to_value(event).ok()?)
            }
            "list-devices" => fixed("ten devices", gateway("GET", "/v1/devices", token, None)),
            "login" => {
                let body = json!({
                    "email": "lea@example.com", "password": PASSWORD,
                    "device": { "name": "Hotel TV", "type": "tv" },
                });
                fixed(
                    "a new device",
                    gateway("POST", "/v1/login", None, Some(&body)),
                )
            }
            "publish-revocations" => fixed("one sign-out", json!({ "Records": [self.record] })),
            "push-revocations" => fixed("nine sockets", queued(&self.message)),
            "register" => Some(Request {
                what: "an account",
                event: Box::new(|n| {
                    let email = format!("person-{n}@example.com");
                    let body = json!({ "email": email, "password": PASSWORD });
                    gateway("POST", "/v1/accounts", None, Some(&body))
                }),
                changes: false,
            }),
            "session" => fixed("a check", gateway("GET", "/v1/session", token, None)),
            "sign-out-all" => {
                let body = json!({ "scope": "others" });
                let event = gateway("POST", "/v1/sign-out-all", token, Some(&body));
                fixed("the others", event)
            }
            "sign-out-device" => {
                let path = format!("/v1/devices/{}/sign-out", tv.device);
                let mut event = gateway("POST", &path, token, None);
                event["pathParameters"] = json!({ "device_id": tv.device });
                fixed("another device", event)
            }
            "sign-out-receipts" => {
                let path = format!("/v1/sign-outs/{}", self.sign_out);
                let mut event = gateway("GET", &path, Some(&self.second[0].token), None);
                event["pathParameters"] = json!({ "sign_out_id": self.sign_out });
                fixed("a receipt of nine", event)
            }
            "socket" => fixed("a heartbeat", socket(&self.second[0])),
            "socket-tickets" => fixed(
                "a ticket",
                gateway("POST", "/v1/socket-tickets", token, None),
            ),
            "sweep" => fixed("nine devices", queued(&self.message)),
            _ => None,
        }
    }
}

/// What every function finds in its environment, and nothing of the machine's.
pub fn environment(command: &mut Command) {
    let names = tables::names();
    command
        .env("AWS_REGION", "eu-central-1")
        .env("AWS_ACCESS_KEY_ID", "ASIAEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_SESSION_TOKEN", "session")
        .env("AWS_LAMBDA_FUNCTION_NAME", "bench")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1769")
        .env("AWS_LAMBDA_LOG_GROUP_NAME", "/curfew/bench")
        .env("AWS_LAMBDA_LOG_STREAM_NAME", "bench")
        .env("ACCOUNTS_TABLE", names.accounts)
        .env("IDENTITIES_TABLE", names.identities)
        .env("DEVICES_TABLE", names.devices)
        .env("RECEIPTS_TABLE", names.receipts)
        .env("CONNECTIONS_TABLE", names.connections)
        .env("SOCKET_TICKETS_TABLE", names.socket_tickets)
        .env("TOPIC_ARN", "arn:aws:sns:eu-central-1:123456789012:events")
        .env(
            "UNPUBLISHED_QUEUE_URL",
            "https://sqs.eu-central-1.amazonaws.com/1/unpublished",
        )
        .env(
            "SWEEP_QUEUE_URL",
            "https://sqs.eu-central-1.amazonaws.com/1/sweep",
        )
        .env(
            "PUSH_QUEUE_URL",
            "https://sqs.eu-central-1.amazonaws.com/1/push",
        )
        .env("SOCKET_CALLBACK_URL", SOCKET_URL)
        .env(
            "SOCKET_URL",
            "wss://a1b2c3.execute-api.eu-central-1.amazonaws.com/v1",
        )
        .env("ISSUER", "https://curfew.example");
}

/// An event that a function answers without a call of its own: it is refused, or
/// asks for nothing.
#[must_use]
pub fn refused(function: &str) -> Value {
    match function {
        "publish-revocations" | "push-revocations" | "sweep" => json!({ "Records": [] }),
        "socket" => {
            let mut event = socket(&Member {
                token: String::new(),
                device: String::new(),
            });
            event["requestContext"]["eventType"] = "CONNECT".into();
            event
        }
        "authorizer" => {
            let mut event = authorizer("");
            event["headers"] = json!({});
            event["identitySource"] = Value::Null;
            event
        }
        _ => gateway("POST", "/v1/nothing", None, None),
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
            device: text(&body["device"]["id"]).context("a device without an id")?,
        });
    }
    Ok(members)
}

/// Writes down that a device has a socket open, for longer than a moment.
async fn connect(bundle: &Bundle, member: &Member) -> Result<()> {
    let token = Token::parse(&member.token).context("a token that was given")?;
    let page = bundle.store.devices(token.account(), None, 100).await?;
    let device = page
        .devices
        .iter()
        .find(|device| device.id == token.device());
    let connection = Connection {
        account: token.account(),
        id: connection_of(member).parse::<ConnectionId>()?,
        session: EndedSession::from(device.context("a device that has signed in")?),
        connected_at: bundle.clock.now() - SignedDuration::from_mins(5),
    };
    bundle.store.connect(&connection).await?;
    Ok(())
}

fn connection_of(member: &Member) -> String {
    format!("{}=", member.device.replace('-', ""))
}

/// The record that the stream of Receipts has for a sign-out.
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
    bail!("a sign-out without a record");
}

/// What the topic is sent for a record.
async fn message(services: &Services, record: &Value) -> Result<String> {
    let clients = Clients::new(
        "eu-central-1".to_owned(),
        Credentials::new("bench", "bench", None, None, "bench"),
        Some(services.url.clone()),
        aws_smithy_http_client::Builder::new().build_http(),
        RetryPolicy::Never,
    );
    let deps = publish_revocations::Deps {
        topic: events::Topic::new(
            clients.sns(),
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
    Ok(published.context("a record that was not published")?.body)
}

/// A message of a queue.
fn queued(body: &str) -> Value {
    json!({ "Records": [{
        "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d",
        "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
        "body": body,
        "attributes": { "ApproximateReceiveCount": "1", "SentTimestamp": "1545082649183" },
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:queue",
        "awsRegion": "eu-central-1",
    }]})
}

/// An event of the HTTP API, with the headers that an app's call has.
#[must_use]
pub fn gateway(method: &str, path: &str, token: Option<&str>, body: Option<&Value>) -> Value {
    let mut headers = json!({
        "accept": "application/json",
        "accept-encoding": "gzip",
        "host": "a1b2c3.execute-api.eu-central-1.amazonaws.com",
        "user-agent": "Mozilla/5.0 (SMART-TV; LINUX; Tizen 7.0) AppleWebKit/537.36 (KHTML, like Gecko) 94.0.4606.31/7.0 TV Safari/537.36",
        "x-amzn-trace-id": "Root=1-5e6722a7-cc56xmpl46db7ae02d4da47e",
        "x-forwarded-for": "192.0.2.1",
        "x-forwarded-port": "443",
        "x-forwarded-proto": "https",
    });
    if let Some(token) = token {
        headers["authorization"] = format!("Bearer {token}").into();
    }
    if body.is_some() {
        headers["content-type"] = "application/json".into();
    }
    json!({
        "version": "2.0",
        "routeKey": format!("{method} {path}"),
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "a1b2c3",
            "domainName": "a1b2c3.execute-api.eu-central-1.amazonaws.com",
            "domainPrefix": "a1b2c3",
            "http": {
                "method": method, "path": path, "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1", "userAgent": "tv",
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": format!("{method} {path}"),
            "stage": "$default",
            "time": "20/Nov/2026:12:00:00 +0000",
            "timeEpoch": 1_795_176_000_000_i64,
        },
        "body": body.map(ToString::to_string),
        "isBase64Encoded": false,
    })
}

/// What the gateway asks the authorizer.
fn authorizer(token: &str) -> Value {
    let mut event = gateway("GET", "/films", Some(token), None);
    event["type"] = "REQUEST".into();
    event["routeArn"] = "arn:aws:execute-api:eu-central-1:1:a1b2c3/$default/GET/films".into();
    event["identitySource"] = json!([format!("Bearer {token}")]);
    event
}

/// A heartbeat over a socket.
fn socket(member: &Member) -> Value {
    json!({
        "headers": {},
        "requestContext": {
            "apiId": "a1b2c3",
            "connectedAt": 1_795_176_000_000_i64,
            "connectionId": connection_of(member),
            "domainName": "a1b2c3.execute-api.eu-central-1.amazonaws.com",
            "eventType": "MESSAGE",
            "extendedRequestId": "JKJaXmPLvHcESHA=",
            "identity": { "sourceIp": "192.0.2.1", "userAgent": "tv" },
            "messageDirection": "IN",
            "requestId": "JKJaXmPLvHcESHA=",
            "requestTime": "20/Nov/2026:12:00:00 +0000",
            "requestTimeEpoch": 1_795_176_000_000_i64,
            "routeKey": "$default",
            "stage": "v1",
        },
        "body": "{\"type\":\"heartbeat\"}",
        "isBase64Encoded": false,
    })
}
