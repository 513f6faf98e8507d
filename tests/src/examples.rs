//! The examples of the `OpenAPI` document.

use serde_json::{Value, json};

const ACCOUNT: &str = "6f9b1a52-7d0e-4c56-9c1b-2f0d7f1c9a10";
const SESSION: &str = "c2a7a1f4-6d0b-4b43-9a55-0e3f9d2b7c11";
const TV: &str = "0192f0c1-4b2d-7a90-8f3e-1d2c3b4a5968";
const LAPTOP: &str = "0192f0c1-5a3e-7c11-9d52-3f1f6a0b7c21";
const PHONE: &str = "0192f0c0-1a2b-7c3d-8e4f-5a6b7c8d9e0f";
const EMAIL: &str = "lea@example.com";
const PASSWORD: &str = "quiet otter borrows nine lanterns";

/// What an operation is sent, by its id.
pub(crate) fn body(operation: &str) -> Option<Value> {
    Some(match operation {
        "register" => json!({ "email": EMAIL, "password": PASSWORD }),
        "login" => json!({
            "email": EMAIL,
            "password": PASSWORD,
            "device": { "name": "Living room", "type": "tv", "model": "Samsung TV" },
        }),
        "signOutAll" => json!({ "scope": "others" }),
        "introspect" => json!({ "token": format!("cft_{}", "x".repeat(92)) }),
        "changePassword" => json!({
            "current_password": PASSWORD,
            "new_password": "nine lanterns drift past the harbour",
            "keep_current": true,
        }),
        _ => return None,
    })
}

/// What an operation answers, by its id.
pub(crate) fn answer(operation: &str) -> Option<Value> {
    Some(match operation {
        "register" => json!({}),
        "login" => json!({
            "token": format!("cft_{}", "x".repeat(92)),
            "device_key": format!("cfd_{}", "x".repeat(70)),
            "session": SESSION,
            "expires_at": "2027-11-20T09:30:00Z",
            "device": tv(),
            "account": account(),
        }),
        "getSession" => json!({ "account": account(), "device": tv() }),
        "listDevices" => json!({ "devices": [tv()], "next_cursor": null }),
        "getSignOut" => receipt(),
        "acknowledgeSignOut" => json!({ "state": "acknowledged" }),
        "createSocketTicket" => json!({
            "ticket": format!("cfs_{}", "x".repeat(49)),
            "expires_at": "2026-11-20T09:30:30Z",
            "url": "wss://a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com/v1",
        }),
        "introspect" => json!({
            "active": true,
            "sub": ACCOUNT,
            "token_type": "Bearer",
            "iss": "https://a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com",
            "iat": 1_795_167_000,
            "exp": 1_826_703_000,
            "auth_time": 1_795_167_000,
            "device_id": TV,
            "session_id": SESSION,
            "epoch": 3,
        }),
        "signOut" => sign_out("local"),
        "signOutDevice" => sign_out("device"),
        "signOutAll" | "changePassword" => sign_out("others"),
        _ => return None,
    })
}

fn account() -> Value {
    json!({ "id": ACCOUNT, "email": EMAIL })
}

fn tv() -> Value {
    json!({
        "id": TV,
        "current": true,
        "status": "signed_in",
        "name": "Living room · Samsung TV",
        "type": "tv",
        "os": "Tizen",
        "browser": null,
        "app": null,
        "model": "Samsung TV",
        "ip": "203.0.113.7",
        "location": { "city": "Lisbon", "country": "PT" },
        "first_signed_in_at": "2026-08-02T18:04:11.25Z",
        "signed_in_at": "2026-11-20T09:30:00Z",
        "last_active_at": "2026-11-20T09:30:00Z",
        "expires_at": "2027-11-20T09:30:00Z",
    })
}

fn sign_out(scope: &str) -> Value {
    json!({
        "sign_out": {
            "id": "0192f0c2-1c44-7e02-a1b5-6d7e8f901234",
            "scope": scope,
            "requested_at": "2026-11-20T09:30:00Z",
            "requested_by": { "id": LAPTOP, "name": "Firefox on Linux" },
        },
    })
}

fn receipt() -> Value {
    let mut receipt = sign_out("others");
    let sign_out = receipt["sign_out"].as_object_mut().expect("an object");
    let device = |id: &str, name: &str, kind: &str, state: &str| {
        json!({
            "id": id,
            "name": name,
            "type": kind,
            "state": state,
            "refused_at": "2026-11-20T09:30:00Z",
            "pushed_at": null,
            "contacted_at": null,
            "acknowledged_at": null,
        })
    };
    let mut told = device(TV, "Hotel TV", "tv", "acknowledged");
    told["pushed_at"] = "2026-11-20T09:30:00.412Z".into();
    told["acknowledged_at"] = "2026-11-20T09:30:00.655Z".into();
    let offline = device(PHONE, "Lea's old phone", "phone", "refused");
    sign_out.insert("reason".to_owned(), "signed_out".into());
    sign_out.insert(
        "total".to_owned(),
        json!({ "devices": 2, "confirmed": 1, "pushed": 0, "not_reached": 1 }),
    );
    sign_out.insert("devices".to_owned(), json!([told, offline]));
    sign_out.insert("next_cursor".to_owned(), Value::Null);
    receipt
}
