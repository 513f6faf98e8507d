//! Corrupt rows.

use curfew_tests::bundle::{json_of, problem_of};
use curfew_tests::tables::{ACCOUNTS, DEVICES, IDENTITIES, RECEIPTS};
use serde_json::{Value, json};

use super::{REQUESTS, Request, Setup, is, is_unavailable};

/// Returns the row with an attribute of another type, and without the attribute.
fn corrupted(row: &Value, attribute: &str) -> [Value; 2] {
    let mut of_another_type = row.clone();
    let is_text = !row[attribute]["S"].is_null();
    of_another_type[attribute] = if is_text {
        json!({ "N": "1" })
    } else {
        json!({ "S": "x" })
    };
    let mut without = row.clone();
    without.as_object_mut().unwrap().remove(attribute);
    [of_another_type, without]
}

fn attributes(row: &Value, keys: &[&str]) -> Vec<String> {
    let names = row.as_object().unwrap().keys();
    names
        .filter(|name| !keys.contains(&name.as_str()))
        .cloned()
        .collect()
}

/// Returns a text that only one row of a table contains.
type IdOf = fn(&Setup) -> String;

#[tokio::test]
async fn a_corrupt_row_gives_unavailable_or_the_right_answer() {
    let mut unavailable = 0;
    for request in REQUESTS {
        let pattern = Setup::of(request).await;
        let keys = ["account_id", "device_id"];
        let none = |_: &Setup| String::new();
        let laptop = |setup: &Setup| setup.laptop.id.to_string();
        let tv = |setup: &Setup| setup.tv.id.to_string();
        let rows: [(&str, IdOf, &[&str]); 4] = [
            (ACCOUNTS, none, &keys[..1]),
            (IDENTITIES, none, &["email"]),
            (DEVICES, laptop, &keys),
            (DEVICES, tv, &keys),
        ];
        for (table, text, keys) in rows {
            let names = attributes(&pattern.row(table, &text(&pattern)), keys);
            for name in names {
                // DynamoDB itself rejects a key of another type.
                for which in usize::from(name == "signed_in_key")..2 {
                    let setup = Setup::of(request).await;
                    let row = setup.row(table, &text(&setup));
                    setup.put(table, &corrupted(&row, &name)[which]);
                    let answer = setup.send(request, None).await;
                    // A row without it is a session that was not verified.
                    let is_unverified =
                        name == "verified_at" && answer.1 == "verification-required";
                    let right = is(&answer, request.when_well()) || is_unverified;
                    assert!(
                        right || is_unavailable(&answer),
                        "{request:?} {table} {name} {which} {answer:?}"
                    );
                    unavailable += usize::from(!right);
                }
            }
        }
    }
    assert!(unavailable > 100, "{unavailable}");
}

#[tokio::test]
async fn a_corrupt_record_of_a_sign_out_gives_unavailable_or_the_right_answer() {
    let setup = Setup::of(Request::Session).await;
    setup.send(Request::SignOutGlobal, None).await;
    let record = setup.row(RECEIPTS, "\"record\"");
    let refused = setup.send(Request::Session, None).await;
    assert!(is(&refused, (401, "session-signed-out")));

    let mut unavailable = 0;
    let header = &record["record"]["M"];
    for name in attributes(header, &[]) {
        for corrupted in corrupted(header, &name) {
            let mut row = record.clone();
            row["record"]["M"] = corrupted;
            setup.put(RECEIPTS, &row);
            let answer = setup.send(Request::Session, None).await;
            assert!(
                answer == refused || is_unavailable(&answer),
                "{name} {answer:?}"
            );
            unavailable += usize::from(answer != refused);
        }
    }
    assert!(unavailable >= 8, "{unavailable}");
}

#[tokio::test]
async fn a_corrupt_record_or_part_gives_unavailable_or_the_right_receipt() {
    let setup = Setup::of(Request::Receipt).await;
    let refused = setup.send(Request::Contact, None).await;
    assert!(is(&refused, (401, "session-signed-out")));
    let read = async || {
        let bundle = &setup.app.bundle;
        let reply = bundle.receipt(&setup.laptop.token, &setup.sign_out).await;
        (problem_of(&reply), json_of(&reply))
    };
    let right = read().await;
    assert!(is(&right.0, (200, "")));

    // Without an optional attribute the row means something else.
    let optional = ["requested_by", "kept_session", "seen_at", "notified_at"];
    let keys = ["account_id", "sign_out_id"];
    let part = format!("{}#", setup.sign_out);
    let mut unavailable = 0;
    for row in [setup.row(RECEIPTS, "\"scope\""), setup.row(RECEIPTS, &part)] {
        for name in attributes(&row, &keys) {
            let [of_another_type, without] = corrupted(&row, &name);
            let is_optional = optional.contains(&name.as_str());
            let corrupted = [
                Some(of_another_type),
                Some(without).filter(|_| !is_optional),
            ];
            for row in corrupted.into_iter().flatten() {
                setup.put(RECEIPTS, &row);
                let answer = read().await;
                assert!(
                    answer == right || is_unavailable(&answer.0),
                    "{name} {answer:?}"
                );
                unavailable += usize::from(answer != right);
            }
        }
        setup.put(RECEIPTS, &row);
    }
    assert!(unavailable >= 20, "{unavailable}");
}

#[tokio::test]
async fn an_unknown_state_of_a_device_gives_unavailable() {
    let is_without_a_device =
        |request: &Request| matches!(request, Request::Register | Request::Login);
    for request in REQUESTS.into_iter().filter(|it| !is_without_a_device(it)) {
        let setup = Setup::of(request).await;
        for device in [&setup.laptop, &setup.tv] {
            let mut row = setup.row(DEVICES, &device.id.to_string());
            row["state"] = json!({ "S": "half" });
            setup.put(DEVICES, &row);
        }
        let answer = setup.send(request, None).await;
        assert!(is_unavailable(&answer), "{request:?} {answer:?}");
    }
}
