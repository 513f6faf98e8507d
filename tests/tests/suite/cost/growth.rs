//! Sign-outs and receipts of accounts with many devices.

use std::collections::HashMap;

use curfew_tests::bundle::{event, json_of};
use curfew_tests::cost::Cost;
use curfew_tests::many::{add_devices, signed_in};
use curfew_tests::metered::{Metered, device_of, sign_out_of};
use curfew_tests::past::{PASTS, costs_after};
use curfew_tests::races::operations::{Outcome, check};
use domain::{Epoch, SignOutId, Token};
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::json;

use super::Published;

/// What a receipt costs, before the sweep has marked its devices and after.
#[derive(Debug, PartialEq, Deserialize)]
pub struct Receipt {
    scope: String,
    devices: usize,
    calls: usize,
    reads: f64,
    swept_calls: usize,
    swept_reads: f64,
}

/// An account with many devices: the caller's token, and those of the others.
async fn crowd(devices: usize) -> (Metered, String, Vec<String>) {
    let m = Metered::with_account().await;
    let (caller, _) = m.device().await;
    let token = Token::parse(&caller).unwrap();
    let store = &m.bundle().store;
    let rows = store.rows(token.account(), &[token.device()]).await;
    let like = rows.unwrap().devices.remove(0);
    let now = m.app.clock.now();
    let others = add_devices(&m.aws.engine, &like, devices - 1, now);
    m.app.clock.advance(SignedDuration::from_secs(1));
    let tokens = others.iter().map(|token| token.to_text().to_string());
    (m, caller, tokens.collect())
}

/// Returns how many sessions of the account are valid by their rows.
async fn valid(m: &Metered, caller: &str) -> usize {
    let account = Token::parse(caller).unwrap().account();
    let (bundle, now) = (m.bundle(), m.app.clock.now());
    let valid = signed_in(&bundle.store, account, &bundle.limits, now);
    valid.await.len()
}

#[tokio::test]
async fn signing_all_out_costs_the_same_at_any_number_of_devices_and_is_complete() {
    for scope in ["others", "global"] {
        let mut costs = Vec::new();
        for devices in [1, 100, 10_000] {
            let (m, caller, tokens) = Box::pin(crowd(devices)).await;
            assert_eq!(valid(&m, &caller).await, devices);

            costs.push(m.cost(m.bundle().sign_out_scope(&caller, scope)).await);

            let lives_on = usize::from(scope == "others");
            assert_eq!(valid(&m, &caller).await, lives_on);
            for token in tokens.iter().step_by(tokens.len() / 20 + 1) {
                let outcome = check(m.bundle(), token).await;
                let is_refused = matches!(outcome, Outcome::Refused { status: 403, .. });
                assert!(is_refused, "{outcome:?}");
            }
            let outcome = check(m.bundle(), &caller).await;
            assert_eq!(outcome == Outcome::Passed, scope == "others");
        }
        let calls = ["BatchGetItem", "TransactWriteItems"];
        assert_eq!(costs[0], costs[1], "{scope}");
        assert_eq!(costs[1], costs[2], "{scope}");
        assert_eq!(costs[0].calls, calls, "{scope}");
    }
}

/// Marks every device that a sign-out has ended, as the sweep does.
async fn sweep(m: &Metered, caller: &str, sign_out: SignOutId) {
    let account = Token::parse(caller).unwrap().account();
    let store = &m.bundle().store;
    let ended = [Epoch::FIRST];
    let records = store.records(account, &ended.into()).await.unwrap();
    let record = &records[&Epoch::FIRST];
    assert_eq!(record.id, sign_out);
    loop {
        let page = store.unmarked_devices(account, Epoch::FIRST, None, 100);
        let devices = page.await.unwrap().devices;
        if devices.is_empty() {
            return;
        }
        for device in &devices {
            let swept = store.sweep(device, record, &m.bundle().limits);
            swept.await.unwrap();
        }
    }
}

/// Measures the receipt of a sign-out of many devices.
async fn receipt_of(scope: &str, devices: usize) -> Receipt {
    // `global` ends the caller's session too; otherwise the caller is one more device.
    let callers = usize::from(scope != "global");
    let (m, caller, tokens) = Box::pin(crowd(devices + callers)).await;
    let bundle = m.bundle();
    let reply = match scope {
        "device" => bundle.sign_out_device(&caller, device_of(&tokens[0])).await,
        _ => bundle.sign_out_scope(&caller, scope).await,
    };
    let id = sign_out_of(&reply);
    let reader = match scope {
        "global" => m.device().await.0,
        _ => caller,
    };
    let listed = if scope == "device" { 1 } else { devices };
    let receipt = json_of(&bundle.receipt(&reader, id).await);
    assert_eq!(receipt["sign_out"]["total"]["devices"], json!(listed));
    let before: Cost = m.cost(bundle.receipt(&reader, id)).await;
    if scope != "device" {
        sweep(&m, &reader, id).await;
    }
    let after: Cost = m.cost(bundle.receipt(&reader, id)).await;
    Receipt {
        scope: scope.to_owned(),
        devices,
        calls: before.calls.len(),
        reads: before.read_units(),
        swept_calls: after.calls.len(),
        swept_reads: after.read_units(),
    }
}

#[tokio::test]
async fn a_receipt_costs_what_is_published_and_grows_with_its_devices() {
    let mut found = Vec::new();
    for scope in ["device", "others", "global"] {
        for devices in [1, 100, 1_000] {
            found.push(Box::pin(receipt_of(scope, devices)).await);
        }
    }

    assert_eq!(Published::read().receipts, found);
}

#[tokio::test]
async fn lists_receipts_and_sweeps_cost_the_same_whatever_the_account_did_before() {
    let (dead, sign_outs) = PASTS[0];
    let first = Box::pin(costs_after(dead, sign_outs)).await;
    let calls = |name: &str| {
        let (_, cost) = first.iter().find(|(known, _)| *known == name).unwrap();
        cost.counted_calls()
    };
    let list = ["BatchGetItem", "Query", "BatchGetItem"];
    assert_eq!(calls("list"), list);
    assert_eq!(calls("sweep of nothing"), ["Query"]);
    let receipt = ["BatchGetItem", "3 × Query"];
    assert_eq!(calls("receipt of swept devices"), receipt);
    for (dead, sign_outs) in &PASTS[1..] {
        let costs = Box::pin(costs_after(*dead, *sign_outs)).await;
        assert_eq!(costs, first, "{dead} dead rows, {sign_outs} sign-outs");
    }
}

#[tokio::test]
async fn a_page_of_the_list_reads_a_bounded_number_of_expired_sessions() {
    let (m, _, _) = Box::pin(crowd(3_000)).await;
    m.app.clock.advance(SignedDuration::from_hours(24 * 31));
    let (caller, _) = m.device().await;
    let mut query = HashMap::from([("limit".to_owned(), vec!["1".to_owned()])]);
    let (mut listed, mut pages) = (Vec::new(), 0);
    loop {
        let mut list = event("GET", "/v1/devices", Some(&caller), None);
        list.query_string_parameters = query.clone().into();
        let (cost, reply) = m.used(m.bundle().send(list)).await;
        assert!(cost.calls.len() <= 21, "{}", cost.calls.len());
        let page = json_of(&reply);
        listed.extend(page["devices"].as_array().unwrap().clone());
        pages += 1;
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        query.insert("cursor".to_owned(), vec![cursor.to_owned()]);
    }
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["id"], json!(device_of(&caller)));
    assert!((2..8).contains(&pages), "{pages}");
}
