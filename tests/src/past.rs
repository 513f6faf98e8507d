//! The cost of lists, receipts and sweeps after an account's past: devices that were
//! signed out, and sign-outs.

use domain::{DeviceId, SignOutId, Token};
use serde_json::{Value, json};

use crate::background::Background;
use crate::bundle::json_of;
use crate::cost::Cost;
use crate::delivery::queue_event;
use crate::metered::{Metered, device_of, sign_out_of};
use crate::tables::{ACCOUNTS, DEVICES, RECEIPTS};

/// The numbers of dead devices and of earlier sign-outs to compare. The first has none.
pub const PASTS: [(usize, u64); 5] = [(0, 0), (300, 0), (10_000, 0), (0, 2_000), (0, 16_000)];

/// Returns the calls and units of what is read and done on an account of two devices and
/// the caller, whose session each earlier sign-out kept.
pub async fn costs_after(dead: usize, sign_outs: u64) -> Vec<(&'static str, Cost)> {
    let m = Metered::with_account().await;
    let bundle = m.bundle();
    let (caller, _) = m.device().await;
    let (gone, _) = m.device().await;
    let one = bundle.sign_out_device(&caller, device_of(&gone)).await;
    assert_eq!(one.status_code, 200);
    let others = bundle.sign_out_scope(&caller, "others").await;
    assert_eq!(others.status_code, 200);
    add_dead_devices(&m, device_of(&gone), dead);
    add_sign_outs(&m, &caller, sign_out_of(&others), sign_outs);
    for _ in 0..2 {
        m.device().await;
    }
    let mut costs = Vec::new();
    let listed = json_of(&bundle.list(&caller).await);
    assert_eq!(listed["devices"].as_array().unwrap().len(), 3);
    costs.push(("list", m.cost(bundle.list(&caller)).await));
    let (cost, others) = m.used(bundle.sign_out_scope(&caller, "others")).await;
    costs.push(("sign out others", cost));
    let sign_out = sign_out_of(&others);
    let (cost, receipt) = m.used(bundle.receipt(&caller, sign_out)).await;
    costs.push(("receipt", cost));
    let total = json_of(&receipt)["sign_out"]["total"]["devices"].clone();
    assert_eq!(total, json!(2));
    let account = Token::parse(&caller).unwrap().account();
    let event = m.app.event_of(account, sign_out).await;
    let deps = Background::new(&m.clients, bundle).sweep;
    for name in ["sweep", "sweep of nothing"] {
        let swept = m.used(sweep::handle(&deps, queue_event(&[&event]))).await;
        costs.push((name, swept.0));
    }
    let swept = m.cost(bundle.receipt(&caller, sign_out)).await;
    costs.push(("receipt of swept devices", swept));
    costs.push(("list of one", m.cost(bundle.list(&caller)).await));
    costs
}

/// Copies the row of a device that was signed out, with newer ids.
fn add_dead_devices(m: &Metered, gone: DeviceId, count: usize) {
    let mut rows = m.aws.rows(DEVICES).into_iter();
    let like = rows
        .find(|row| row["device_id"]["S"] == json!(gone))
        .unwrap();
    let now = m.app.clock.now();
    let copies: Vec<Value> = (1..=count as u64)
        .map(|at| {
            let mut random = [7; 10];
            random[2..].copy_from_slice(&at.to_be_bytes());
            let mut row = like.clone();
            row["device_id"]["S"] = json!(DeviceId::new(now, random));
            row
        })
        .collect();
    m.aws.engine.put_all(DEVICES, &copies);
}

/// Copies the header and the record of a sign-out that kept its caller's session, for
/// each of the epochs that follow, and moves the account and the caller on.
fn add_sign_outs(m: &Metered, caller: &str, first: SignOutId, count: u64) {
    let engine = &m.aws.engine;
    let rows = m.aws.rows(RECEIPTS);
    let header = rows
        .iter()
        .find(|row| row["sign_out_id"]["S"] == json!(first));
    let record = rows.iter().find(|row| row["record"].is_object()).unwrap();
    let now = m.app.clock.now();
    let mut added = Vec::new();
    for epoch in 2..2 + count {
        let mut random = [7; 10];
        random[2..].copy_from_slice(&epoch.to_be_bytes());
        let mut header = header.unwrap().clone();
        header["sign_out_id"]["S"] = json!(SignOutId::new(now, random));
        header["ended_epoch"]["N"] = json!(epoch.to_string());
        let mut record = record.clone();
        record["sign_out_id"]["S"] = json!(format!("epoch#{epoch}"));
        record["record"]["M"] = header.clone();
        added.extend([header, record]);
    }
    engine.put_all(RECEIPTS, &added);
    let mut row_of_account = m.aws.rows(ACCOUNTS).remove(0);
    row_of_account["epoch"]["N"] = json!((2 + count).to_string());
    engine.put_all(ACCOUNTS, std::slice::from_ref(&row_of_account));
    let id = device_of(caller);
    let key = json!({ "account_id": row_of_account["account_id"], "device_id": { "S": id } });
    let mut row = engine.row(DEVICES, &key).unwrap();
    row["signed_in_key"]["S"] = json!(format!("{:020}#{id}", 2 + count));
    engine.put_all(DEVICES, &[row]);
}
