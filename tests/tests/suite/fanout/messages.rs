//! Every kind of message matches its schema, and contains ids and nothing else.

use curfew_tests::bundle::ISSUER;
use domain::address_change::AddressChanged;
use domain::{
    Device, DeviceState, EndedSession, Epoch, NoticeId, Reason, Scope, SignOut, SignOutTarget,
    TokenHash,
};
use events::{Message, Record, SCHEMAS, messages, session_ended};
use jsonschema::Validator;
use serde_json::{Value, json};
use store::Change;

use super::fixture::{at, device_row, session_id, sign_out};

/// Returns every kind of message, from every kind of change.
fn every_message() -> Vec<Message> {
    let device = device_row(1, 1, Epoch(4));
    let mut changes: Vec<Change> = every_sign_out(&device).map(Change::SignedOut).collect();
    for before in [None, Some(DeviceState::SignedIn), Some(signed_out(&device))] {
        let before = before.map(|state| {
            Box::new(Device {
                state,
                ..device_row(1, 2, Epoch(3))
            })
        });
        changes.push(Change::SignedIn {
            device: Box::new(device.clone()),
            before,
        });
    }
    changes.push(Change::AddressChanged(AddressChanged {
        account: device.account,
        id: NoticeId::new(at(7), [7; 10]),
        at: at(7),
        by: device.id,
    }));
    let records = [
        Record::default(),
        Record {
            event_id: Some("7de3041dd709b024af6f29e4fa13d34c".to_owned()),
            at: Some(at(7)),
        },
    ];
    let mut every: Vec<Message> = changes
        .iter()
        .flat_map(|change| {
            records
                .iter()
                .flat_map(|record| messages(change, record, ISSUER))
        })
        .collect();
    every.extend(
        every_sign_out(&device)
            .filter(|sign_out| sign_out.scope == Scope::Others)
            .map(|sign_out| session_ended(&sign_out, &device, ISSUER)),
    );
    every
}

/// Returns sign-outs by the owner and by an operator, of one session, of all and of
/// the others.
fn every_sign_out(device: &Device) -> impl Iterator<Item = SignOut> {
    let one = SignOutTarget::One(EndedSession {
        token_hash: TokenHash::from_bytes([0xca; 32]),
        ..EndedSession::from(device)
    });
    let all = SignOutTarget::Epoch {
        from: Epoch(4),
        ended: Epoch(4),
        kept: None,
    };
    let others = SignOutTarget::Epoch {
        from: Epoch(4),
        ended: Epoch(4),
        kept: Some(session_id(9)),
    };
    let acts = [
        (Scope::Local, Reason::SignedOut, one.clone()),
        (Scope::Device, Reason::SignedOut, one.clone()),
        (Scope::Device, Reason::WrongPassword, one),
        (Scope::Global, Reason::SignedOut, all.clone()),
        (Scope::Others, Reason::SignedOut, others.clone()),
        (Scope::Global, Reason::PasswordChanged, all.clone()),
        (Scope::Others, Reason::PasswordChanged, others),
        (Scope::Global, Reason::AddressRestored, all.clone()),
        (Scope::Global, Reason::AccountDisabled, all),
    ];
    let device = device.clone();
    acts.into_iter().flat_map(move |(scope, reason, target)| {
        let by_owner = SignOut {
            reason,
            target,
            ..sign_out(&device, scope, 1)
        };
        let by_operator = SignOut {
            by: None,
            ..by_owner.clone()
        };
        [by_owner, by_operator]
    })
}

fn signed_out(device: &Device) -> DeviceState {
    DeviceState::SignedOut(sign_out(device, Scope::Local, 1).end_info())
}

fn schema_of(message: &Message) -> Validator {
    let event_type = message.token.events.event_type();
    let (_, schema) = SCHEMAS.iter().find(|(of, _)| *of == event_type).unwrap();
    jsonschema::draft202012::new(&serde_json::from_str(schema).unwrap()).unwrap()
}

fn claims(message: &Message) -> Value {
    serde_json::from_str(&message.body()).unwrap()
}

#[test]
fn every_schema_is_valid() {
    for (event_type, schema) in SCHEMAS {
        let schema: Value = serde_json::from_str(schema).unwrap();
        jsonschema::draft202012::meta::validate(&schema).unwrap();
        assert_eq!(schema["title"], event_type.as_str());
    }
}

#[test]
fn every_message_matches_its_schema() {
    let every = every_message();
    for (event_type, _) in SCHEMAS {
        assert!(
            every
                .iter()
                .any(|message| message.token.events.event_type() == event_type)
        );
    }
    for message in every {
        let claims = claims(&message);
        let schema = schema_of(&message);
        let wrong: Vec<_> = schema
            .iter_errors(&claims)
            .map(|error| error.to_string())
            .collect();
        assert!(wrong.is_empty(), "{wrong:?}\n{claims:#}");
    }
}

#[test]
fn no_message_matches_the_schema_of_another_event() {
    for message in every_message() {
        for (event_type, schema) in SCHEMAS {
            let schema = serde_json::from_str(schema).unwrap();
            let is_its_own = message.token.events.event_type() == event_type;
            assert_eq!(jsonschema::is_valid(&schema, &claims(&message)), is_its_own);
        }
    }
}

#[test]
fn a_schema_rejects_a_missing_an_added_and_a_mistyped_member() {
    // Members that some messages do not have.
    let optional = ["scope", "requested_by", "kept_session"];
    for message in every_message() {
        let schema = schema_of(&message);
        let claims = claims(&message);
        let mut members = 0;
        for pointer in every_object(&claims, String::new()) {
            let names: Vec<String> = claims
                .pointer(&pointer)
                .unwrap()
                .as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect();
            for name in names {
                let wrong_type = changed(&claims, &pointer, |object| {
                    object.insert(name.clone(), json!([]));
                });
                assert!(
                    !schema.is_valid(&wrong_type),
                    "{pointer}/{name} of another type"
                );
                let without = changed(&claims, &pointer, |object| {
                    object.remove(&name);
                });
                let is_whole_account = claims["events"].to_string().contains("ended_epoch");
                let may_be_absent = optional.contains(&name.as_str())
                    && !(is_whole_account && name == "scope")
                    && !(name == "kept_session" && claims.to_string().contains("urn:curfew"));
                assert_eq!(
                    schema.is_valid(&without),
                    may_be_absent,
                    "without {pointer}/{name}"
                );
                members += 1;
            }
            for name in ["sub", "exp", "email", "token_hash", "name"] {
                let with = changed(&claims, &pointer, |object| {
                    object.insert(name.to_owned(), json!("1"));
                });
                assert!(!schema.is_valid(&with), "{pointer}/{name} added");
            }
        }
        assert!(members > 15);
    }
}

#[test]
fn a_message_contains_ids_and_no_secret_name_or_place() {
    let device = device_row(1, 1, Epoch(4));
    let canaries = [
        "canary",
        "203.0.113.77",
        "XK",
        "lea@",
        "ysrKysrK",
        "y8vLy8vL",
        "cacacaca",
        "cbcbcbcb",
        "hash",
        "\"sub\"",
        "\"exp\"",
    ];
    for message in every_message() {
        let sent = format!("{}{:?}", message.body(), message.attributes());
        for canary in canaries {
            assert!(!sent.contains(canary), "{canary} in {sent}");
        }
        assert!(sent.contains(&device.account.to_string()));
    }
}

#[test]
fn subscribers_can_filter_by_event_account_and_scope() {
    for message in every_message() {
        let attributes = message.attributes();
        let names: Vec<_> = attributes.iter().map(|(name, _)| *name).collect();
        assert_eq!(names[..2], ["event_type", "account_id"]);
        let body = message.body();
        let is_of_one_of_many = body.contains("session_id") && body.contains("\"others\"");
        let is_a_sign_out = body.contains("\"scope\"") && !is_of_one_of_many;
        assert_eq!(names.contains(&"scope"), is_a_sign_out, "{body}");
    }
}

/// Returns the JSON pointers of every object within a value.
fn every_object(value: &Value, at: String) -> Vec<String> {
    let Value::Object(object) = value else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (name, value) in object {
        let name = name.replace('~', "~0").replace('/', "~1");
        found.extend(every_object(value, format!("{at}/{name}")));
    }
    found.push(at);
    found
}

fn changed(
    claims: &Value,
    pointer: &str,
    change: impl FnOnce(&mut serde_json::Map<String, Value>),
) -> Value {
    let mut claims = claims.clone();
    change(
        claims
            .pointer_mut(pointer)
            .unwrap()
            .as_object_mut()
            .unwrap(),
    );
    claims
}
