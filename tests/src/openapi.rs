//! The `OpenAPI` document: what the functions say of themselves, and what is the
//! same for all of them.

use domain::Timestamp;
use http_api::{PasswordReason, Problem, SignedOutBy};
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

/// Where the document is kept.
pub const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../functions/api/openapi.json");

/// What can go wrong with each operation, by its id, beside what can go wrong
/// with all of them.
const PROBLEMS: [(&str, &[Kind]); 14] = [
    ("register", &[Kind::Body, Kind::NewPassword]),
    ("login", &[Kind::Body, Kind::Credentials]),
    ("getSession", &[Kind::Token]),
    ("signOut", &[Kind::Token, Kind::Body]),
    ("listDevices", &[Kind::Token]),
    ("signOutDevice", &[Kind::Token, Kind::Body, Kind::Device]),
    ("signOutAll", &[Kind::Token, Kind::Body]),
    (
        "changePassword",
        &[
            Kind::Token,
            Kind::Body,
            Kind::CurrentPassword,
            Kind::NewPassword,
        ],
    ),
    ("getSignOut", &[Kind::Token, Kind::SignOut]),
    (
        "acknowledgeSignOut",
        &[Kind::DeadToken, Kind::Body, Kind::SignOut],
    ),
    ("createSocketTicket", &[Kind::Token, Kind::Body]),
    ("introspect", &[Kind::Body, Kind::Iam]),
    ("getOpenApi", &[]),
    ("getAsyncApi", &[]),
];

/// What an operation takes, and so what can be wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Token,
    DeadToken,
    Iam,
    Body,
    Credentials,
    CurrentPassword,
    NewPassword,
    Device,
    SignOut,
}

impl Kind {
    fn problems(self) -> Vec<Problem> {
        match self {
            Self::Token => vec![
                Problem::TokenMissing,
                Problem::TokenInvalid,
                Problem::SessionSignedOut {
                    sign_out: "0192f0c2-0b1d-7a40-8f6e-2d1c9b7a5e33"
                        .parse()
                        .expect("an id"),
                    at: sample_time(),
                    by: Some(SignedOutBy {
                        id: "0192f0c1-5a3e-7c11-9d52-3f1f6a0b7c21".to_owned(),
                        name: "Firefox on Linux".to_owned(),
                    }),
                    reason: "signed_out",
                },
                Problem::SessionExpired,
            ],
            Self::Body => vec![Problem::RequestTooLarge],
            Self::Credentials => vec![Problem::CredentialsInvalid],
            Self::CurrentPassword => vec![Problem::CurrentPasswordWrong],
            Self::NewPassword => vec![Problem::PasswordRejected(vec![PasswordReason {
                code: "too_short",
                detail: "The password must have at least 15 characters.".to_owned(),
            }])],
            Self::Device => vec![Problem::DeviceNotFound],
            Self::DeadToken => vec![Problem::TokenMissing, Problem::TokenInvalid],
            Self::Iam => vec![Problem::CallerNotAllowed],
            Self::SignOut => vec![Problem::SignOutNotFound],
        }
    }
}

/// The document.
///
/// # Panics
/// When an operation is not in the table of problems, or has no example.
#[must_use]
pub fn document() -> Value {
    let parts = [
        register::Document::openapi(),
        login::Document::openapi(),
        session::Document::openapi(),
        list_devices::Document::openapi(),
        sign_out_device::Document::openapi(),
        sign_out_all::Document::openapi(),
        change_password::Document::openapi(),
        sign_out_receipts::Document::openapi(),
        socket_tickets::Document::openapi(),
        introspect::Document::openapi(),
        api::Document::openapi(),
    ];
    let mut all = Base::openapi();
    for part in parts {
        all.merge(part);
    }
    let mut document = serde_json::to_value(all).expect("a document is JSON");
    document["info"] = json!({
        "title": "Curfew",
        "version": env!("CARGO_PKG_VERSION"),
        "summary": "Every device that is signed in to an account, and the end of it.",
        "description": "See every device that is signed in to an account, and sign out one of \
            them, or all of them, from anywhere. From the answer of a sign-out on, what it ended \
            is refused. Errors are problem documents (RFC 9457); what the gateway itself refuses \
            (429 over its throttle, 404 for a method that HTTP does not know) is its own.",
        "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
    });
    document["components"]["securitySchemes"] = json!({
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "The `token` of a sign-in: `cft_` and 92 characters.",
        },
        "cookie": {
            "type": "apiKey",
            "in": "cookie",
            "name": http_api::SESSION_COOKIE,
            "description": "The cookie of a sign-in with `\"transport\": \"cookie\"`. Whatever \
                changes something needs an allowed `Origin` with it.",
        },
        "iam": {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "The signature of a caller with AWS credentials that may invoke the \
                route (Signature Version 4, service `execute-api`).",
        },
    });
    let paths = document["paths"].as_object_mut().expect("there are paths");
    for operation in paths.values_mut().flat_map(operations) {
        describe(operation);
    }
    document
}

#[derive(OpenApi)]
#[openapi(
    tags(
        (name = "accounts", description = "Accounts and their passwords."),
        (name = "sessions", description = "Signing in, and who is signed in."),
        (name = "devices", description = "The devices of an account."),
        (name = "sign-outs", description = "Ending sessions, and how far that has come."),
        (name = "sockets", description = "The way to a socket, over which a device hears of its end."),
        (name = "services", description = "What the services of the adopting team ask."),
        (name = "document", description = "This document, and that of the socket and the events."),
    ),
    components(schemas(http_api::ProblemDocument)),
)]
struct Base;

fn operations(path: &mut Value) -> impl Iterator<Item = &mut Map<String, Value>> {
    path.as_object_mut()
        .into_iter()
        .flat_map(|methods| methods.values_mut())
        .filter_map(Value::as_object_mut)
}

/// Adds an operation's problems and examples.
fn describe(operation: &mut Map<String, Value>) {
    let id = operation["operationId"]
        .as_str()
        .expect("an operation has an id")
        .to_owned();
    let (_, kinds) = PROBLEMS
        .iter()
        .find(|(known, _)| *known == id)
        .unwrap_or_else(|| panic!("{id} is not in the table of problems"));
    let mut problems = vec![
        Problem::invalid("scope", "must be `others` or `global`"),
        Problem::Unavailable,
    ];
    if id == "getOpenApi" || id == "getAsyncApi" {
        problems = vec![Problem::invalid("Origin", "is not an allowed origin")];
    }
    problems.extend(kinds.iter().flat_map(|kind| kind.problems()));
    let responses = operation["responses"]
        .as_object_mut()
        .expect("there are answers");
    for problem in &problems {
        add(responses, problem);
    }
    if kinds.contains(&Kind::Iam) {
        // An unsigned request ends at the gateway, which has an answer of its own.
        let refused = &mut responses["403"];
        refused["content"]["application/json"] = json!({
            "schema": {
                "type": "object",
                "required": ["message"],
                "properties": { "message": { "type": "string" } },
            },
            "example": { "message": "Forbidden" },
        });
    }
    let success = responses
        .iter_mut()
        .find_map(|(status, response)| status.starts_with('2').then_some(response))
        .expect("an operation can succeed");
    if let Some(example) = crate::examples::answer(&id) {
        success["content"]["application/json"]["example"] = example;
    }
    success["headers"] = json!({
        "Cache-Control": {
            "description": "`no-store`, but for this document.",
            "schema": { "type": "string" },
        },
    });
    if kinds.contains(&Kind::Body)
        && let Some(example) = crate::examples::body(&id)
    {
        let content = &mut operation["requestBody"]["content"];
        for media in content.as_object_mut().into_iter().flatten() {
            media.1["example"] = example.clone();
        }
    }
}

fn add(responses: &mut Map<String, Value>, problem: &Problem) {
    let status = problem.status().to_string();
    let name = problem.name();
    let response = responses.entry(status).or_insert_with(|| {
        json!({
            "description": "",
            "content": { "application/problem+json": {
                "schema": { "$ref": "#/components/schemas/Problem" },
                "examples": {},
            }},
        })
    });
    let description = response["description"].as_str().unwrap_or_default();
    let separator = if description.is_empty() { "" } else { ", " };
    response["description"] = json!(format!("{description}{separator}`{name}`"));
    let example = serde_json::to_value(problem.document()).expect("a problem is JSON");
    response["content"]["application/problem+json"]["examples"][name] = json!({ "value": example });
    if problem.status() == 401 {
        response["headers"] = json!({
            "WWW-Authenticate": {
                "description": "The challenge (RFC 6750, section 3).",
                "schema": { "type": "string" },
            },
        });
    }
}

/// The time of the examples.
pub(crate) fn sample_time() -> Timestamp {
    "2026-11-20T09:30:00Z".parse().expect("a moment")
}

/// The text of the document, as it is kept.
///
/// # Panics
/// As [`document`].
#[must_use]
pub fn text() -> String {
    let mut text = serde_json::to_string_pretty(&document()).expect("a document is JSON");
    text.push('\n');
    text
}
