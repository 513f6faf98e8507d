//! The `OpenAPI` document: the parts of the functions, and what all routes share.

use serde_json::{Value, json};
use utoipa::OpenApi;

/// The path of the checked-in document.
pub const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi.json");

#[derive(OpenApi)]
#[openapi(
    tags(
        (name = "accounts", description = "Accounts and their passwords."),
        (name = "sessions", description = "Sign-in, and the caller's session."),
        (name = "devices", description = "The devices of an account."),
        (name = "sign-outs", description = "Sign-outs and their receipts."),
        (name = "sockets", description = "Tickets for sockets, over which devices are notified of sign-outs."),
        (name = "services", description = "Checks for the services of the adopting team."),
        (name = "document", description = "This document, and that of the socket and the events."),
    ),
    components(schemas(http_api::ProblemDocument)),
)]
struct Base;

/// Returns the document.
///
/// # Panics
/// When an operation has no successful response.
#[must_use]
pub fn document() -> Value {
    let parts = vec![
        register::Document::openapi(),
        confirm_codes::Document::openapi(),
        change_address::Document::openapi(),
        request_codes::Document::openapi(),
        login::Document::openapi(),
        session::Document::openapi(),
        list_devices::Document::openapi(),
        messages::Document::openapi(),
        rename_device::Document::openapi(),
        sign_out_device::Document::openapi(),
        sign_out_all::Document::openapi(),
        change_password::Document::openapi(),
        verify::Document::openapi(),
        second_step::Document::openapi(),
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
    document["info"] = info();
    document["components"]["securitySchemes"] = security_schemes();
    for schema in bodies(&mut document["paths"]) {
        without_null(schema);
    }
    for response in successes(&mut document["paths"]) {
        response["headers"] = json!({
            "Cache-Control": {
                "description": "`no-store`, except for this document.",
                "schema": { "type": "string" },
            },
        });
    }
    document
}

/// Returns the text of the document, as it is checked in.
///
/// # Panics
/// As [`document`].
#[must_use]
pub fn text() -> String {
    crate::text(&document())
}

fn info() -> Value {
    json!({
        "title": "Curfew",
        "version": env!("CARGO_PKG_VERSION"),
        "summary": "See every device that is signed in to an account, and sign it out.",
        "description": "See every device that is signed in to an account, and sign out one of \
            them, or all of them, from anywhere. From the answer to a sign-out on, the sessions \
            that it ended are refused. Errors are problem documents (RFC 9457), except those of \
            the gateway itself (429 above its throttle, 404 for a method that HTTP does not have). \
            Ids are read in either case and written in lower case. \
            Times are RFC 3339 in UTC, always with three digits of a second.",
        "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
    })
}

fn security_schemes() -> Value {
    json!({
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "The `token` of a sign-in: `cft_` and 92 characters. A malformed \
                header is `request-invalid` and says nothing about the session.",
        },
        "cookie": {
            "type": "apiKey",
            "in": "cookie",
            "name": http_api::SESSION_COOKIE,
            "description": "The cookie of a sign-in with `\"transport\": \"cookie\"`. Every \
                request that changes something needs an allowed `Origin`, too. The answers \
                `session-signed-out`, `session-expired` and `account-disabled` delete it; after the first, the \
                session can be acknowledged with the cookie `__Host-curfew-ended`, for a day.",
        },
        "iam": {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "The signature of a caller with AWS credentials that may invoke the \
                route (Signature Version 4, service `execute-api`).",
        },
    })
}

/// Returns the schema of every body of a request.
fn bodies(paths: &mut Value) -> impl Iterator<Item = &mut Value> {
    let paths = paths.as_object_mut().expect("paths").values_mut();
    let operations = paths.flat_map(|path| path.as_object_mut().expect("methods").values_mut());
    operations.filter_map(|it| it.pointer_mut("/requestBody/content/application~1json/schema"))
}

/// Removes the choice of `null`: a body that may be missing is never `null`.
fn without_null(schema: &mut Value) {
    let choices = schema["oneOf"].as_array().cloned().unwrap_or_default();
    let mut choices = choices
        .into_iter()
        .filter(|choice| choice["type"] != "null");
    if let (Some(only), None) = (choices.next(), choices.next()) {
        *schema = only;
    }
}

/// Returns the successful response of every operation.
fn successes(paths: &mut Value) -> impl Iterator<Item = &mut Value> {
    let paths = paths.as_object_mut().expect("the document has paths");
    paths
        .values_mut()
        .filter_map(Value::as_object_mut)
        .flat_map(|operations| operations.values_mut())
        .map(|operation| {
            let responses = operation["responses"].as_object_mut();
            responses
                .into_iter()
                .flatten()
                .find_map(|(status, response)| status.starts_with('2').then_some(response))
                .expect("every operation can succeed")
        })
}
