//! The functions of the bundle that answer a request, each with its `Deps`.

use std::fmt::Display;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::password::{Hasher, Params, PasswordRules};
use domain::{DeviceId, Limits};
use http_api::{Event, OriginPolicy, Reply};
use runtime::Clock;
use serde_json::{Value, json};
use store::Store;

use crate::routes::Route;
use crate::tables;

/// Argon2 parameters that cost nothing, because the tests do not measure hashing.
pub const CHEAP: Params = Params {
    m_kib: 8,
    t: 1,
    p: 1,
};

/// The issuer of introspection and of the events.
pub const ISSUER: &str = "https://curfew.example";

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
    /// `POST /v1/login`.
    pub login: login::Deps,
    /// `GET /v1/session` and `POST /v1/sign-out`.
    pub session: session::Deps,
    /// `GET /v1/devices`.
    pub list_devices: list_devices::Deps,
    /// `POST /v1/devices/{device_id}/sign-out`.
    pub sign_out_device: sign_out_device::Deps,
    /// `POST /v1/sign-out-all`.
    pub sign_out_all: sign_out_all::Deps,
    /// `PUT /v1/password`.
    pub change_password: change_password::Deps,
    /// The authorizer.
    pub authorizer: authorizer::Deps,
    /// `GET /v1/sign-outs/{sign_out_id}` and its acknowledgement.
    pub sign_out_receipts: sign_out_receipts::Deps,
    /// `POST /v1/introspect`.
    pub introspect: introspect::Deps,
    /// `POST /v1/socket-tickets`.
    pub socket_tickets: socket_tickets::Deps,
}

impl Bundle {
    /// Connects every function to one client and one clock.
    #[must_use]
    pub fn new(client: aws_sdk_dynamodb::Client, clock: Clock) -> Self {
        let store = Store::new(client, tables::names());
        let limits = Limits::default();
        let origin_policy = OriginPolicy::default();
        let rules = PasswordRules::default();
        let hasher =
            || Mutex::new(Hasher::with_params(CHEAP).expect("parameters within their bounds"));
        Self {
            register: register::Deps {
                store: store.clone(),
                origin_policy: origin_policy.clone(),
                clock: clock.clone(),
                rules,
                hasher: hasher(),
            },
            login: login::Deps {
                store: store.clone(),
                limits,
                origin_policy: origin_policy.clone(),
                clock: clock.clone(),
                hasher: hasher(),
            },
            session: session::Deps {
                store: store.clone(),
                limits,
                origin_policy: origin_policy.clone(),
                clock: clock.clone(),
            },
            list_devices: list_devices::Deps {
                store: store.clone(),
                limits,
                origin_policy: origin_policy.clone(),
                clock: clock.clone(),
            },
            sign_out_device: sign_out_device::Deps {
                store: store.clone(),
                limits,
                origin_policy: origin_policy.clone(),
                clock: clock.clone(),
            },
            sign_out_all: sign_out_all::Deps {
                store: store.clone(),
                limits,
                origin_policy: origin_policy.clone(),
                clock: clock.clone(),
            },
            change_password: change_password::Deps {
                store: store.clone(),
                limits,
                origin_policy: origin_policy.clone(),
                clock: clock.clone(),
                rules,
                hasher: hasher(),
            },
            authorizer: authorizer::Deps {
                store: store.clone(),
                limits,
                origin_policy: origin_policy.clone(),
                clock: clock.clone(),
            },
            sign_out_receipts: sign_out_receipts::Deps {
                store: store.clone(),
                limits,
                origin_policy: origin_policy.clone(),
                clock: clock.clone(),
            },
            socket_tickets: socket_tickets::Deps {
                store: store.clone(),
                limits,
                origin_policy: origin_policy.clone(),
                clock: clock.clone(),
                url: "wss://sockets.invalid/v1".to_owned(),
            },
            introspect: introspect::Deps {
                store: store.clone(),
                limits,
                origin_policy,
                clock: clock.clone(),
                issuer: Some(ISSUER.to_owned()),
            },
            store,
            limits,
            clock,
        }
    }

    /// Sends a request for a route to its function.
    ///
    /// # Panics
    /// For a route without a function here.
    pub async fn call(&self, route: &Route, token: Option<&str>, id: &str) -> Reply {
        let event = route.event(token, id);
        match route.id.as_str() {
            "register" => register::handle(&self.register, event).await,
            "login" => login::handle(&self.login, event).await,
            "getSession" | "signOut" => session::handle(&self.session, event).await,
            "listDevices" => list_devices::handle(&self.list_devices, event).await,
            "signOutDevice" => sign_out_device::handle(&self.sign_out_device, event).await,
            "signOutAll" => sign_out_all::handle(&self.sign_out_all, event).await,
            "changePassword" => change_password::handle(&self.change_password, event).await,
            "createSocketTicket" => socket_tickets::handle(&self.socket_tickets, event).await,
            "getSignOut" | "acknowledgeSignOut" => {
                sign_out_receipts::handle(&self.sign_out_receipts, event).await
            }
            other => panic!("`Bundle::call` has no function for {other}"),
        }
    }

    /// Registers an account.
    pub async fn register(&self, email: &str, password: &str) -> Reply {
        let body = json!({ "email": email, "password": password });
        register::handle(
            &self.register,
            event("POST", "/v1/accounts", None, Some(&body)),
        )
        .await
    }

    /// Signs a device in: a new one, or the one that holds the key.
    pub async fn log_in(&self, email: &str, password: &str, device_key: Option<&str>) -> Reply {
        let mut body = json!({ "email": email, "password": password });
        if let Some(key) = device_key {
            body["device_key"] = key.into();
        }
        login::handle(&self.login, event("POST", "/v1/login", None, Some(&body))).await
    }

    /// Signs a device in by its key, with new details about it.
    pub async fn log_in_as(&self, email: &str, password: &str, key: &str, device: &Value) -> Reply {
        let body = json!({
            "email": email, "password": password, "device_key": key, "device": device,
        });
        login::handle(&self.login, event("POST", "/v1/login", None, Some(&body))).await
    }

    /// Asks for the session of a token.
    pub async fn who_am_i(&self, token: &str) -> Reply {
        session::handle(
            &self.session,
            event("GET", "/v1/session", Some(token), None),
        )
        .await
    }

    /// Signs out the caller's own device.
    pub async fn sign_out_this(&self, token: &str) -> Reply {
        session::handle(
            &self.session,
            event("POST", "/v1/sign-out", Some(token), None),
        )
        .await
    }

    /// Lists the devices of the account.
    pub async fn list(&self, token: &str) -> Reply {
        list_devices::handle(
            &self.list_devices,
            event("GET", "/v1/devices", Some(token), None),
        )
        .await
    }

    /// Signs out one device of the account.
    pub async fn sign_out_device(&self, token: &str, device: DeviceId) -> Reply {
        let path = format!("/v1/devices/{device}/sign-out");
        let mut event = event("POST", &path, Some(token), None);
        event
            .path_parameters
            .insert("device_id".to_owned(), device.to_string());
        sign_out_device::handle(&self.sign_out_device, event).await
    }

    /// Signs out `"others"` or, with `"global"`, every device.
    pub async fn sign_out_scope(&self, token: &str, scope: &str) -> Reply {
        let body = json!({ "scope": scope });
        let event = event("POST", "/v1/sign-out-all", Some(token), Some(&body));
        sign_out_all::handle(&self.sign_out_all, event).await
    }

    /// Asks for a socket ticket.
    pub async fn socket_ticket(&self, token: &str) -> Reply {
        let event = event("POST", "/v1/socket-tickets", Some(token), None);
        socket_tickets::handle(&self.socket_tickets, event).await
    }

    /// Reads the receipt of a sign-out.
    pub async fn receipt(&self, token: &str, id: impl Display) -> Reply {
        let event = receipt_event(Some(token), id);
        sign_out_receipts::handle(&self.sign_out_receipts, event).await
    }

    /// Acknowledges a sign-out by the token of a session that it ended.
    pub async fn acknowledge(&self, token: &str, id: impl Display) -> Reply {
        let event = acknowledgement_event(token, id, None);
        sign_out_receipts::handle(&self.sign_out_receipts, event).await
    }

    /// Introspects a token, as a service with access by IAM.
    pub async fn introspect(&self, token: &str) -> Reply {
        let form = format!("token={token}");
        introspect::handle(&self.introspect, introspection(&form)).await
    }

    /// Changes the password.
    pub async fn change_password(&self, token: &str, from: &str, to: &str, keep: bool) -> Reply {
        let body = json!({
            "current_password": from, "new_password": to, "keep_current": keep,
        });
        let event = event("PUT", "/v1/password", Some(token), Some(&body));
        change_password::handle(&self.change_password, event).await
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

/// Returns the gateway's event for a request for a receipt.
#[must_use]
pub fn receipt_event(token: Option<&str>, id: impl Display) -> Event {
    let event = event("GET", &format!("/v1/sign-outs/{id}"), token, None);
    about_sign_out(event, "GET /v1/sign-outs/{sign_out_id}", id)
}

/// Returns the gateway's event for an acknowledgement.
#[must_use]
pub fn acknowledgement_event(token: &str, id: impl Display, body: Option<&Value>) -> Event {
    let path = format!("/v1/sign-outs/{id}/acknowledgement");
    let event = event("POST", &path, Some(token), body);
    about_sign_out(
        event,
        "POST /v1/sign-outs/{sign_out_id}/acknowledgement",
        id,
    )
}

fn about_sign_out(mut event: Event, route: &str, id: impl Display) -> Event {
    event.route_key = Some(route.to_owned());
    event
        .path_parameters
        .insert("sign_out_id".to_owned(), id.to_string());
    event
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
