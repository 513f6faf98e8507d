//! The functions of the bundle that answer a request, each with its `Deps`.

use std::fmt::Display;
use std::pin::Pin;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::password::{Hasher, Params, PasswordRules};
use domain::verification::{UNPROVEN_SIGN_OUTS_PER_DAY, VerificationPolicy};
use domain::{DeviceId, Limits, NewChallenge, SignInBudgets};
use factors::Checker;
use http_api::{Event, OriginPolicy, Reply};
use runtime::{Clock, PasswordHasher};
use serde_json::{Value, json};
use store::Store;

use crate::tables;

/// Argon2 parameters that cost nothing, because the tests do not measure hashing.
pub const CHEAP: Params = Params {
    m_kib: 8,
    t: 1,
    p: 1,
};

/// What a deployment without mail asks for before a session ends others.
pub const POLICY: VerificationPolicy = VerificationPolicy {
    sends_mail: false,
    external: None,
};

/// The factors of a deployment that has none.
const CHECKER: Checker = Checker {
    sealer: None,
    sends_mail: false,
};

/// The issuer of introspection and of the events.
pub const ISSUER: &str = "https://curfew.example";

/// An origin whose pages may call the API.
pub const ORIGIN: &str = "https://app.example.com";

/// The socket's address in the answer with a ticket.
pub const SOCKET_URL: &str = "wss://sockets.invalid/v1";

/// Every function that answers a request.
pub struct Bundle {
    /// The tables that all of them use.
    pub store: Store,
    /// The limits of all of them.
    pub limits: Limits,
    /// The clock of all of them.
    pub clock: Clock,
    /// `POST /v1/accounts`.
    pub register: register::Deps,
    /// `POST /v1/password-resets` and `POST /v1/passes`.
    pub request_codes: request_codes::Deps,
    /// `POST /v1/accounts/confirmations` and `POST /v1/password-resets/confirmations`.
    pub confirm_codes: confirm_codes::Deps,
    /// `POST /v1/address-changes`, its confirmation and `POST /v1/address-confirmations`.
    pub change_address: change_address::Deps,
    /// `POST /v1/login`.
    pub login: login::Deps,
    /// `GET /v1/session` and `POST /v1/sign-out`.
    pub session: session::Deps,
    /// `GET /v1/devices`.
    pub list_devices: list_devices::Deps,
    /// `PATCH /v1/devices/{device_id}`.
    pub rename_device: rename_device::Deps,
    /// `POST /v1/devices/{device_id}/sign-out`.
    pub sign_out_device: sign_out_device::Deps,
    /// `POST /v1/sign-out-all`.
    pub sign_out_all: sign_out_all::Deps,
    /// `PUT /v1/password`.
    pub change_password: change_password::Deps,
    /// `POST /v1/verification-codes` and `POST /v1/verifications`.
    pub verify: verify::Deps,
    /// `POST /v1/second-steps`, `/v1/factors`, `/v1/recovery-codes`, `/v1/lost-factors` and
    /// `PUT /v1/sign-in-codes`.
    pub second_step: second_step::Deps,
    /// The authorizer.
    pub authorizer: authorizer::Deps,
    /// `GET /v1/sign-outs/{sign_out_id}` and its acknowledgement.
    pub sign_out_receipts: sign_out_receipts::Deps,
    /// `GET /v1/messages`, `POST /v1/notices/read` and `POST /v1/notices/actions`.
    pub messages: messages::Deps,
    /// `POST /v1/introspect`.
    pub introspect: introspect::Deps,
    /// `POST /v1/socket-tickets`.
    pub socket_tickets: socket_tickets::Deps,
}

impl Bundle {
    /// Connects every function to one client and one clock.
    #[must_use]
    pub fn new(client: aws_sdk_dynamodb::Client, clock: Clock) -> Self {
        Self::with_policy(client, clock, &OriginPolicy::new(Some(ORIGIN)))
    }

    /// The same, with a policy for all functions but those that are called beside a
    /// distribution.
    #[must_use]
    pub fn with_policy(
        client: aws_sdk_dynamodb::Client,
        clock: Clock,
        origin_policy: &OriginPolicy,
    ) -> Self {
        let store = Store::new(client, tables::names());
        let limits = Limits::default();
        let rules = PasswordRules::default();
        let hasher = || {
            PasswordHasher::new(Hasher::with_params(CHEAP).expect("parameters within their bounds"))
        };
        // What all have, and what one has besides.
        macro_rules! deps {
            ($function:ident $(, $name:ident: $value:expr)*) => {
                $function::Deps {
                    store: store.clone(),
                    origin_policy: origin_policy.clone(),
                    clock: clock.clone(),
                    $($name: $value,)*
                }
            };
        }
        Self {
            register: deps!(register, rules: rules, hasher: hasher(), codes: None),
            request_codes: deps!(request_codes, limits: limits, codes: None),
            confirm_codes: deps!(confirm_codes, limits: limits, rules: rules, checker: CHECKER, hasher: hasher()),
            change_address: deps!(change_address, limits: limits, policy: POLICY, codes: None),
            login: deps!(login, limits: limits, budgets: SignInBudgets::default(), sign_in_codes: false, external: None, notices: None, codes: None, hasher: hasher()),
            session: deps!(session, limits: limits, sends_mail: false),
            list_devices: deps!(list_devices, limits: limits),
            rename_device: deps!(rename_device, limits: limits),
            sign_out_device: deps!(sign_out_device, limits: limits, policy: POLICY, most_unproven: UNPROVEN_SIGN_OUTS_PER_DAY),
            sign_out_all: deps!(sign_out_all, limits: limits, policy: POLICY),
            verify: deps!(verify, limits: limits, policy: POLICY, codes: None, notices: None, checker: CHECKER, hasher: hasher()),
            second_step: deps!(second_step, limits: limits, policy: POLICY, checker: CHECKER, product: "Films".to_owned(), sign_in_codes: false, notices: None, codes: None),
            change_password: deps!(change_password, limits: limits, policy: POLICY, rules: rules, hasher: hasher()),
            authorizer: authorizer::Deps {
                origin_policy: OriginPolicy::new(Some(ORIGIN)),
                ..deps!(authorizer, limits: limits)
            },
            sign_out_receipts: deps!(sign_out_receipts, limits: limits),
            messages: deps!(messages, limits: limits, sends_mail: false, warnings: None),
            socket_tickets: deps!(socket_tickets, limits: limits, url: SOCKET_URL.to_owned()),
            introspect: introspect::Deps {
                origin_policy: OriginPolicy::new(Some(ORIGIN)),
                ..deps!(introspect, limits: limits, issuer: Some(ISSUER.to_owned()))
            },
            store,
            limits,
            clock,
        }
    }

    /// Returns what each function asks for before a session ends others.
    pub fn policies(&mut self) -> [&mut VerificationPolicy; 6] {
        [
            &mut self.verify.policy,
            &mut self.change_address.policy,
            &mut self.second_step.policy,
            &mut self.sign_out_device.policy,
            &mut self.sign_out_all.policy,
            &mut self.change_password.policy,
        ]
    }

    /// Sends a request to the function of its route.
    ///
    /// # Panics
    /// For a route without a function here.
    #[must_use]
    pub fn send(&self, event: Event) -> Pin<Box<dyn Future<Output = Reply> + Send + '_>> {
        Box::pin(async move {
            let route = event.route_key.clone().unwrap_or_default();
            match &*route {
                "POST /v1/accounts" => register::handle(&self.register, event).await,
                "POST /v1/password-resets" | "POST /v1/passes" => {
                    request_codes::handle(&self.request_codes, event).await
                }
                "POST /v1/accounts/confirmations" | "POST /v1/password-resets/confirmations" => {
                    confirm_codes::handle(&self.confirm_codes, event).await
                }
                "POST /v1/address-changes"
                | "POST /v1/address-changes/confirmations"
                | "POST /v1/address-confirmations" => {
                    change_address::handle(&self.change_address, event).await
                }
                "POST /v1/login" | "POST /v1/backend/login" => {
                    login::handle(&self.login, event).await
                }
                "GET /v1/session" | "POST /v1/sign-out" => {
                    session::handle(&self.session, event).await
                }
                "GET /v1/devices" => list_devices::handle(&self.list_devices, event).await,
                "PATCH /v1/devices/{device_id}" => {
                    rename_device::handle(&self.rename_device, event).await
                }
                "POST /v1/devices/{device_id}/sign-out" => {
                    Box::pin(sign_out_device::handle(&self.sign_out_device, event)).await
                }
                "POST /v1/sign-out-all" => sign_out_all::handle(&self.sign_out_all, event).await,
                "PUT /v1/password" => change_password::handle(&self.change_password, event).await,
                "POST /v1/verification-codes"
                | "POST /v1/verifications"
                | "POST /v1/backend/verifications" => verify::handle(&self.verify, event).await,
                "POST /v1/second-steps"
                | "POST /v1/recovery-codes"
                | "PUT /v1/sign-in-codes"
                | "POST /v1/lost-factors"
                | "POST /v1/lost-factors/confirmations" => {
                    second_step::handle(&self.second_step, event).await
                }
                _ if route.contains("/v1/factors") => {
                    second_step::handle(&self.second_step, event).await
                }
                "POST /v1/socket-tickets" => {
                    socket_tickets::handle(&self.socket_tickets, event).await
                }
                "GET /v1/messages" | "POST /v1/notices/read" | "POST /v1/notices/actions" => {
                    messages::handle(&self.messages, event).await
                }
                "POST /v1/introspect" => introspect::handle(&self.introspect, event).await,
                _ if route.contains("/v1/sign-outs/{sign_out_id}") => {
                    sign_out_receipts::handle(&self.sign_out_receipts, event).await
                }
                _ => panic!("`Bundle::send` has no function for {route}"),
            }
        })
    }

    /// Registers an account.
    pub async fn register(&self, email: &str, password: &str) -> Reply {
        let body = json!({ "email": email, "password": password });
        self.send(event("POST", "/v1/accounts", None, Some(&body)))
            .await
    }

    /// Signs a device in: a new one, or the one that holds the key.
    pub async fn log_in(&self, email: &str, password: &str, device_key: Option<&str>) -> Reply {
        let mut body = json!({ "email": email, "password": password });
        if let Some(key) = device_key {
            body["device_key"] = key.into();
        }
        self.send(event("POST", "/v1/login", None, Some(&body)))
            .await
    }

    /// Signs a new device in, and every other one out.
    pub async fn log_in_alone(&self, email: &str, password: &str) -> Reply {
        let body = json!({ "email": email, "password": password, "sign_out": "others" });
        self.send(event("POST", "/v1/login", None, Some(&body)))
            .await
    }

    /// Signs a device in by its key, with new details about it.
    pub async fn log_in_as(&self, email: &str, password: &str, key: &str, device: &Value) -> Reply {
        let body = json!({
            "email": email, "password": password, "device_key": key, "device": device,
        });
        self.send(event("POST", "/v1/login", None, Some(&body)))
            .await
    }

    /// Asks for the session of a token.
    pub async fn who_am_i(&self, token: &str) -> Reply {
        self.send(event("GET", "/v1/session", Some(token), None))
            .await
    }

    /// Signs out the caller's own device.
    pub async fn sign_out_this(&self, token: &str) -> Reply {
        self.send(event("POST", "/v1/sign-out", Some(token), None))
            .await
    }

    /// Lists the devices of the account.
    pub async fn list(&self, token: &str) -> Reply {
        self.send(event("GET", "/v1/devices", Some(token), None))
            .await
    }

    /// Gives a device the owner's name for it.
    pub async fn rename_device(&self, token: &str, device: DeviceId, name: &str) -> Reply {
        let body = json!({ "name": name });
        let route = "PATCH /v1/devices/{device_id}";
        self.send(event_about(route, Some(token), device, Some(&body)))
            .await
    }

    /// Signs out one device of the account.
    pub async fn sign_out_device(&self, token: &str, device: DeviceId) -> Reply {
        let route = "POST /v1/devices/{device_id}/sign-out";
        self.send(event_about(route, Some(token), device, None))
            .await
    }

    /// Signs out `"others"` or, with `"global"`, every device.
    pub async fn sign_out_scope(&self, token: &str, scope: &str) -> Reply {
        let body = json!({ "scope": scope });
        self.send(event("POST", "/v1/sign-out-all", Some(token), Some(&body)))
            .await
    }

    /// Asks for a socket ticket.
    pub async fn socket_ticket(&self, token: &str) -> Reply {
        self.send(ticket_event(Some(token), None)).await
    }

    /// Reads the receipt of a sign-out.
    pub async fn receipt(&self, token: &str, id: impl Display) -> Reply {
        self.send(receipt_event(Some(token), id)).await
    }

    /// Acknowledges a sign-out by the token of a session that it ended.
    pub async fn acknowledge(&self, token: &str, id: impl Display) -> Reply {
        self.send(acknowledgement_event(token, id, None)).await
    }

    /// Introspects a token, as a service with access by IAM.
    pub async fn introspect(&self, token: &str) -> Reply {
        self.send(introspection(&format!("token={token}"))).await
    }

    /// Recovers an account by a code.
    pub async fn recover(&self, asked: &NewChallenge, password: &str) -> Reply {
        let body = json!({
            "challenge": *asked.secret.to_text(), "code": *asked.code.to_text(), "password": password,
        });
        let path = "/v1/password-resets/confirmations";
        self.send(event("POST", path, None, Some(&body))).await
    }

    /// Verifies a session by the account's password.
    pub async fn verify(&self, token: &str, password: &str) -> Reply {
        let body = json!({ "password": password });
        self.send(event("POST", "/v1/verifications", Some(token), Some(&body)))
            .await
    }

    /// Changes the address to that of a challenge.
    pub async fn change_address(&self, token: &str, asked: &NewChallenge) -> Reply {
        let body = json!({
            "challenge": *asked.secret.to_text(), "code": *asked.code.to_text(),
        });
        let path = "/v1/address-changes/confirmations";
        self.send(event("POST", path, Some(token), Some(&body)))
            .await
    }

    /// Undoes a change of the address, by the link and the reference in a mail.
    pub async fn undo_address(&self, secret: &str, reference: &str) -> Reply {
        let body = json!({ "secret": secret, "action": "undo", "reference": reference });
        self.send(event("POST", "/v1/notices/actions", None, Some(&body)))
            .await
    }

    /// Changes the password.
    pub async fn change_password(&self, token: &str, from: &str, to: &str, keep: bool) -> Reply {
        let body = json!({
            "current_password": from, "new_password": to, "keep_current": keep,
        });
        self.send(event("PUT", "/v1/password", Some(token), Some(&body)))
            .await
    }
}

/// Returns a request as the gateway sends it, in payload format 2.0.
#[must_use]
pub fn event(method: &str, path: &str, token: Option<&str>, body: Option<&Value>) -> Event {
    let mut headers = json!({ "user-agent": "Curfew tests" });
    if let Some(token) = token {
        headers["authorization"] = format!("Bearer {token}").into();
    }
    if body.is_some() {
        headers["content-type"] = "application/json".into();
    }
    let event = json!({
        "version": "2.0",
        "routeKey": format!("{method} {path}"),
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {
            "http": { "method": method, "path": path, "sourceIp": "192.0.2.1" },
            "requestId": "test",
        },
        "body": body.map(ToString::to_string),
        "isBase64Encoded": false,
    });
    serde_json::from_value(event).expect("a well-formed event")
}

/// Returns the gateway's event for a route, with an id for the name in its path.
#[must_use]
pub fn event_about(
    route: &str,
    token: Option<&str>,
    id: impl Display,
    body: Option<&Value>,
) -> Event {
    let (method, path) = route.split_once(' ').expect("a method and a path");
    let names = path
        .split_once('{')
        .map(|(before, rest)| (before, rest.split_once('}')));
    let Some((before, Some((name, after)))) = names else {
        return event(method, path, token, body);
    };
    let id = id.to_string();
    let mut event = event(method, &format!("{before}{id}{after}"), token, body);
    event.route_key = Some(route.to_owned());
    event.path_parameters.insert(name.to_owned(), id);
    event
}

/// Returns the gateway's event for a request for a receipt.
#[must_use]
pub fn receipt_event(token: Option<&str>, id: impl Display) -> Event {
    event_about("GET /v1/sign-outs/{sign_out_id}", token, id, None)
}

/// Returns the gateway's event for an acknowledgement.
#[must_use]
pub fn acknowledgement_event(token: &str, id: impl Display, body: Option<&Value>) -> Event {
    let route = "POST /v1/sign-outs/{sign_out_id}/acknowledgement";
    event_about(route, Some(token), id, body)
}

/// Returns the gateway's event for a request for a socket ticket.
#[must_use]
pub fn ticket_event(token: Option<&str>, body: Option<&Value>) -> Event {
    event("POST", "/v1/socket-tickets", token, body)
}

/// Returns a request to introspect with this form, as the gateway sends it for a
/// caller that IAM has authorized.
#[must_use]
pub fn introspection(form: &str) -> Event {
    let event = json!({
        "version": "2.0",
        "routeKey": "POST /v1/introspect",
        "rawPath": "/v1/introspect",
        "rawQueryString": "",
        "headers": {
            "authorization": "AWS4-HMAC-SHA256 Credential=…",
            "content-type": "application/x-www-form-urlencoded",
        },
        "requestContext": {
            "authorizer": { "iam": {
                "accessKey": "AKIDEXAMPLE",
                "accountId": "123456789012",
                "callerId": "AIDAEXAMPLE",
                "userArn": "arn:aws:iam::123456789012:role/films",
                "userId": "AIDAEXAMPLE",
            }},
            "http": { "method": "POST", "path": "/v1/introspect", "sourceIp": "192.0.2.1" },
            "requestId": "test",
        },
        "body": STANDARD.encode(form),
        "isBase64Encoded": true,
    });
    serde_json::from_value(event).expect("a well-formed event")
}

/// Returns the event of a caller that IAM has authorized.
///
/// # Panics
/// Never: the caller is written here.
#[must_use]
pub fn by_iam(mut event: Event) -> Event {
    let caller = json!({ "iam": { "accountId": "123456789012" } });
    event.request_context.authorizer = serde_json::from_value(caller).expect("a caller");
    event
}

/// Returns the JSON of an answer's body, or null without one.
#[must_use]
pub fn json_of(reply: &Reply) -> Value {
    match &reply.body {
        Some(aws_lambda_events::encodings::Body::Text(text)) => {
            serde_json::from_str(text).expect("a JSON body")
        }
        _ => Value::Null,
    }
}

/// Returns the status of an answer, and the name of its problem or an empty text.
#[must_use]
pub fn problem_of(reply: &Reply) -> (i64, String) {
    let body = json_of(reply);
    let kind = body["type"].as_str().unwrap_or_default();
    let name = kind.rsplit(':').next().unwrap_or_default();
    (reply.status_code, name.to_owned())
}
