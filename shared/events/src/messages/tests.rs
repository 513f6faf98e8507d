use domain::{
    AccountId, ByDevice, Device, DeviceId, DeviceInfo, DeviceKeyHash, DeviceState, EndInfo,
    EndedSession, Epoch, Place, SignOut, SignOutId, SignOutTarget, TokenHash,
};
use serde_json::{Value, json};

use super::*;

const ISSUER: &str = "https://curfew.example";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn account() -> AccountId {
    AccountId::from_random([1; 16])
}

fn session(n: u8) -> domain::SessionId {
    domain::SessionId::from_random([n; 16])
}

fn television(n: u8) -> Device {
    Device {
        account: account(),
        id: DeviceId::new(at(1_000), [3; 10]),
        info: DeviceInfo {
            name: "Anna's television".to_owned(),
            ..DeviceInfo::default()
        },
        owner_name: None,
        reported_name: None,
        place: Place {
            ip: Some("203.0.113.9".to_owned()),
            ..Place::default()
        },
        active_place: Place::default(),
        session: session(n),
        token_hash: TokenHash::from_bytes([9; 32]),
        key_hash: DeviceKeyHash::from_bytes([9; 32]),
        epoch: Epoch(4),
        last_epoch: Epoch(4),
        first_signed_in_at: at(1_000),
        signed_in_at: at(2_000),
        previous_token: None,
        verified_at: Some(at(2_000)),
        last_active_at: at(2_000),
        expires_at: at(9_000),
        state: DeviceState::SignedIn,
        seen_at: None,
        notified_at: None,
        recognized_until: None,
        notice_session: session(n),
        ending_acts: domain::device::EndingActs::default(),
        unproven_acts: domain::device::UnprovenActs::default(),
    }
}

fn sign_out(scope: Scope, reason: domain::Reason, target: SignOutTarget) -> SignOut {
    SignOut {
        account: account(),
        id: SignOutId::new(at(3_000), [4; 10]),
        scope,
        reason,
        at: at(3_000),
        by: Some(ByDevice {
            id: DeviceId::new(at(1_500), [5; 10]),
            name: "Anna's laptop".to_owned(),
        }),
        target,
    }
}

/// A sign-out of every session of epoch 4 or before, except the kept one.
fn sign_out_of_all(reason: domain::Reason, kept: Option<domain::SessionId>) -> SignOut {
    let scope = kept.map_or(Scope::Global, |_| Scope::Others);
    let target = SignOutTarget::Epoch {
        from: Epoch(4),
        ended: Epoch(4),
        kept,
    };
    sign_out(scope, reason, target)
}

/// A sign-in of session 8, on a row that was as `before`.
fn sign_in(before: Option<Device>) -> Change {
    Change::SignedIn {
        device: Box::new(television(8)),
        before: before.map(Box::new),
    }
}

fn record() -> Record {
    Record {
        event_id: Some("7de3041dd709b024af6f29e4fa13d34c".to_owned()),
        at: Some(at(3_001)),
    }
}

/// Returns the event of each message, with its type.
fn events(messages: &[Message]) -> Vec<(&'static str, Value)> {
    messages
        .iter()
        .map(|message| {
            let event_type = message.token.events.event_type().as_str();
            let body: Value = serde_json::from_str(&message.body()).unwrap();
            let mut events = body["events"].as_object().unwrap().values();
            (event_type, events.next().unwrap().clone())
        })
        .collect()
}

#[test]
fn a_sign_out_of_one_device_names_its_session() {
    let target = SignOutTarget::One(EndedSession {
        epoch: Epoch(3),
        ..EndedSession::from(&television(6))
    });
    let sign_out = sign_out(Scope::Device, domain::Reason::SignedOut, target);
    let by = sign_out.by.clone().unwrap().id;
    let txn = sign_out.id;

    let messages = messages(&Change::SignedOut(sign_out), &record(), ISSUER);

    let [message] = messages.as_slice() else {
        panic!("{messages:?}")
    };
    assert_eq!(
        serde_json::from_str::<Value>(&message.body()).unwrap(),
        json!({
            "iss": "https://curfew.example",
            "jti": "7de3041dd709b024af6f29e4fa13d34c:session-revoked",
            "iat": 3_001,
            "txn": txn,
            "sub_id": {
                "format": "complex",
                "user": { "format": "opaque", "id": account() },
                "device": { "format": "opaque", "id": television(6).id },
                "session": { "format": "opaque", "id": session(6) },
            },
            "events": {
                "https://schemas.openid.net/secevent/caep/event-type/session-revoked": {
                    "event_timestamp": 3_000,
                    "initiating_entity": "user",
                    "reason_admin": { "en": "One device was signed out." },
                    "reason_user": { "en": "This device was signed out of your account." },
                    "reason": "signed_out",
                    "scope": "device",
                    "requested_by": by,
                    "session_id": session(6),
                    "epoch": 3,
                },
            },
        })
    );
    assert_eq!(
        message.attributes(),
        [
            ("event_type", "session-revoked".to_owned()),
            ("account_id", account().to_string()),
            ("scope", "device".to_owned()),
        ]
    );
}

#[test]
fn a_changed_password_has_a_message_beside_what_it_ended() {
    for (kept, first) in [
        (None, "session-revoked"),
        (Some(session(7)), "other-sessions-revoked"),
    ] {
        let sign_out = sign_out_of_all(domain::Reason::PasswordChanged, kept);
        let scope = sign_out.scope;

        let messages = messages(&Change::SignedOut(sign_out), &record(), ISSUER);

        let [(end, _), (change, event)] = events(&messages).try_into().unwrap();
        assert_eq!((end, change), (first, "credential-change"));
        assert_eq!(event["credential_type"], "password");
        assert_eq!(event["change_type"], "update");
        assert_eq!(event["kept_session"], json!(kept));
        assert_eq!(messages[0].scope, Some(scope));
        assert_eq!(messages[1].scope, None);
        assert_eq!(messages[0].token.txn, messages[1].token.txn);
        assert_ne!(messages[0].token.jti, messages[1].token.jti);
    }
}

#[test]
fn a_session_that_gave_wrong_passwords_is_ended_by_a_limit() {
    let target = SignOutTarget::One(EndedSession::from(&television(1)));
    let mut sign_out = sign_out(Scope::Device, domain::Reason::WrongPassword, target);
    sign_out.by = None;

    let messages = messages(&Change::SignedOut(sign_out), &record(), ISSUER);

    let [(_, event)] = events(&messages).try_into().unwrap();
    assert_eq!(event["initiating_entity"], "policy");
    assert_eq!(event["reason"], "wrong_password");
    assert_eq!(event.get("requested_by"), None);
}

#[test]
fn an_account_is_disabled_by_an_operator() {
    let mut sign_out = sign_out_of_all(domain::Reason::AccountDisabled, None);
    sign_out.by = None;

    let messages = messages(&Change::SignedOut(sign_out), &record(), ISSUER);

    let [(event_type, event)] = events(&messages).try_into().unwrap();
    assert_eq!(event_type, "session-revoked");
    assert_eq!(event["initiating_entity"], "admin");
    assert_eq!(event["reason"], "account_disabled");
    assert_eq!(event.get("requested_by"), None);
}

#[test]
fn a_first_sign_in_establishes_a_session() {
    let messages = messages(&sign_in(None), &record(), ISSUER);

    let [(event_type, event)] = events(&messages).try_into().unwrap();
    assert_eq!(event_type, "session-established");
    assert_eq!(event["session_id"], json!(session(8)));
    assert_eq!(event["epoch"], json!(4));
    assert_eq!(messages[0].token.txn, session(8).to_string());
}

#[test]
fn a_sign_in_revokes_the_session_that_it_replaces() {
    let messages = messages(&sign_in(Some(television(6))), &record(), ISSUER);

    let [(end, event), (begin, _)] = events(&messages).try_into().unwrap();
    assert_eq!((end, begin), ("session-revoked", "session-established"));
    assert_eq!(event["session_id"], json!(session(6)));
    assert_eq!(event["reason"], "replaced");
    assert_eq!(messages[0].token.sub_id.session, Some(session(6).into()));
    assert_eq!(messages[1].token.sub_id.session, Some(session(8).into()));
}

#[test]
fn a_session_that_was_signed_out_before_is_not_revoked_again() {
    let mut before = television(6);
    before.state = DeviceState::SignedOut(EndInfo {
        at: at(1_900),
        by: None,
        reason: domain::Reason::SignedOut,
        scope: Scope::Local,
        sign_out: SignOutId::new(at(1_900), [4; 10]),
    });

    let messages = messages(&sign_in(Some(before)), &record(), ISSUER);

    let [(event_type, _)] = events(&messages).try_into().unwrap();
    assert_eq!(event_type, "session-established");
}

#[test]
fn a_write_that_keeps_the_session_is_not_a_sign_in() {
    let change = sign_in(Some(television(8)));
    assert_eq!(messages(&change, &record(), ISSUER), []);
    assert_eq!(messages(&Change::Other, &record(), ISSUER), []);
}

#[test]
fn the_message_of_one_session_among_many_has_no_scope_attribute() {
    let sign_out = sign_out_of_all(domain::Reason::SignedOut, Some(session(7)));

    let message = session_ended(&sign_out, &television(6), ISSUER);

    assert_eq!(message, session_ended(&sign_out, &television(6), ISSUER));
    assert_eq!(message.token.jti, format!("{}:{}", sign_out.id, session(6)));
    assert_eq!(message.token.txn, sign_out.id.to_string());
    assert!(
        message
            .attributes()
            .iter()
            .all(|(name, _)| *name != "scope")
    );
    let [(event_type, event)] = events(&[message]).try_into().unwrap();
    assert_eq!(
        (event_type, &event["scope"]),
        ("session-revoked", &json!("others"))
    );
    assert_eq!(event["session_id"], json!(session(6)));
}

#[test]
fn claims_survive_a_round_trip_through_json() {
    let change = sign_in(Some(television(6)));
    let password = sign_out_of_all(domain::Reason::PasswordChanged, Some(session(7)));
    for change in [change, Change::SignedOut(password)] {
        for message in messages(&change, &record(), ISSUER) {
            assert_eq!(
                serde_json::from_str::<SecurityEventToken>(&message.body()).unwrap(),
                message.token
            );
        }
    }
}
