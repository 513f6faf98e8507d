//! Many devices of one account. Their rows are written directly, because a password hash
//! for each would measure Argon2.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::session::{SessionStatus, session_status};
use domain::{AccountId, Device, DeviceId, DeviceKey, Limits, SessionId, Timestamp, Token};
use serde_json::json;
use store::Store;

use crate::engine::Engine;
use crate::tables::DEVICES;

/// Writes more devices, each a copy of one that has signed in with its own id, session,
/// token and key. Returns their tokens, the oldest device first.
///
/// # Panics
/// When the device to copy has no row.
#[must_use]
pub fn add_devices(engine: &Engine, like: &Device, count: usize, now: Timestamp) -> Vec<Token> {
    let key = json!({
        "account_id": { "S": like.account.to_string() },
        "device_id": { "S": like.id.to_string() },
    });
    let mut row = engine.row(DEVICES, &key).expect("a device to copy");
    let (mut tokens, mut rows) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for at in 1..=count as u64 {
        let at = at.to_be_bytes();
        let key = DeviceKey::new(now, filled(at));
        let id = DeviceId::new(now, filled(at));
        let token = Token::new(like.account, id, filled(at));
        let bytes = |hash: &[u8]| json!({ "B": STANDARD.encode(hash) });
        let key_of_like = row["signed_in_key"]["S"]
            .as_str()
            .expect("a signed-in device");
        let (epoch, _) = key_of_like.split_once('#').expect("an epoch and a device");
        row["signed_in_key"] = json!({ "S": format!("{epoch}#{id}") });
        row["device_id"] = json!({ "S": id.to_string() });
        row["session_id"] = json!({ "S": SessionId::from_random(filled(at)).to_string() });
        row["token_hash"] = bytes(token.hash().as_bytes());
        row["device_key_hash"] = bytes(key.hash_in(like.account).as_bytes());
        rows.push(row.clone());
        tokens.push(token);
    }
    engine.put_all(DEVICES, &rows);
    tokens
}

/// Returns bytes that differ for each number and are never all zero.
fn filled<const N: usize>(at: [u8; 8]) -> [u8; N] {
    let mut bytes = [9; N];
    bytes[N - at.len()..].copy_from_slice(&at);
    bytes
}

/// Returns the devices of an account whose sessions are valid, from all rows.
///
/// # Panics
/// When a table fails.
pub async fn signed_in(
    store: &Store,
    account: AccountId,
    limits: &Limits,
    now: Timestamp,
) -> Vec<DeviceId> {
    let rows = store.rows(account, &[]).await.expect("the tables answer");
    let row = rows.account.expect("an account");
    let (mut valid, mut after) = (Vec::new(), None);
    loop {
        let page = store.devices(account, after, 1_000).await;
        let page = page.expect("the tables answer");
        let is_valid =
            |device: &&Device| session_status(&row, device, limits, now) == SessionStatus::SignedIn;
        valid.extend(page.devices.iter().filter(is_valid).map(|device| device.id));
        after = page.next;
        if after.is_none() {
            return valid;
        }
    }
}
