//! The measured operations, and their requests.

use domain::Token;
use serde::Serialize;
use serde_json::{Value, json};

use crate::requests::PASSWORD;
use crate::requests::events::gateway;

/// The address of the account.
pub const EMAIL: &str = "lea@example.com";

/// A measured operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// A new device signs in.
    SignIn,
    Check,
    /// The first page of the list, without a limit.
    List,
    /// A device signs another one out, or itself where it is alone.
    SignOutOne,
    SignOutOthers,
    SignOutGlobal,
}

impl Operation {
    pub const ALL: [Self; 6] = [
        Self::SignIn,
        Self::Check,
        Self::List,
        Self::SignOutOne,
        Self::SignOutOthers,
        Self::SignOutGlobal,
    ];

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

    /// Returns the request for this operation of a caller, which may have a target.
    pub fn request(self, caller: &Token, target: &Token) -> Request {
        let text = caller.to_text();
        let token = Some(text.as_str());
        let sign_out_all = |scope: &str| {
            let body = json!({ "scope": scope });
            let event = gateway("POST", "/v1/sign-out-all", token, Some(&body));
            Request::new("sign-out-all", event)
        };
        match self {
            Self::SignIn => Request::new("login", sign_in(EMAIL, PASSWORD)),
            Self::Check => check(&text),
            Self::List => {
                let event = gateway("GET", "/v1/devices", token, None);
                Request::new("list-devices", event)
            }
            Self::SignOutOne => {
                let device = target.device().to_string();
                let path = format!("/v1/devices/{device}/sign-out");
                let mut event = gateway("POST", &path, token, None);
                event["pathParameters"] = json!({ "device_id": device });
                Request::new("sign-out-device", event)
            }
            Self::SignOutOthers => sign_out_all("others"),
            Self::SignOutGlobal => sign_out_all("global"),
        }
    }

    /// Returns whether the cost must not depend on the number of devices.
    pub fn is_sign_out_all(self) -> bool {
        matches!(self, Self::SignOutOthers | Self::SignOutGlobal)
    }
}

/// The functions that are measured. `session` also decides whether a token is let in.
pub const FUNCTIONS: [&str; 5] = [
    "login",
    "session",
    "list-devices",
    "sign-out-device",
    "sign-out-all",
];

/// A request to a function, with the status that its answer must have.
pub struct Request {
    pub function: &'static str,
    pub event: Value,
    pub status: u64,
}

impl Request {
    pub fn new(function: &'static str, event: Value) -> Self {
        Self {
            function,
            event,
            status: 200,
        }
    }
}

pub fn sign_in(email: &str, password: &str) -> Value {
    let body = json!({
        "email": email, "password": password,
        "device": { "name": "Hotel TV", "type": "tv" },
    });
    gateway("POST", "/v1/login", None, Some(&body))
}

pub fn check(token: &str) -> Request {
    Request::new("session", gateway("GET", "/v1/session", Some(token), None))
}
