//! Many devices of one account: written past the API, because a password hash for
//! each would measure Argon2, and judged all at once.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::session::{SessionStatus, session_status};
use domain::{AccountId, Device, DeviceId, DeviceKey, Limits, SessionId, Timestamp, Token};
use serde_json::json;
use store::Store;

use crate::engine::Engine;
use crate::tables::DEVICES;

/// Writes so many devices more, each like one that has signed in, but with an id, a
/// session, a token and a key of its own. The tokens, the oldest device's first.
///
/// # Panics
/// When the one that they are to be like is not there.
#[must_use]
pub fn add_devices(engine: &Engine, like: &Device, count: usize, now: Timestamp) -> Vec<Token> {
    let key = json!({
        "account_id": { "S": like.account.to_string() },
        "device_id": { "S": like.id.to_string() },
    });
    let mut row = engine.row(DEVICES, &key).expect("a device to be like");
    let (mut tokens, mut rows) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for at in 1..=count as u64 {
        let at = at.to_be_bytes();
        let id = DeviceId::new(now, filled(at));
        let token = Token::new(like.account, id, filled(at));
        let key = DeviceKey::new(id, filled(at));
        let bytes = |hash: &[u8]| json!({ "B": STANDARD.encode(hash) });
        row["device_id"] = json!({ "S": id.to_string() });
        row["session_id"] = json!({ "S": SessionId::from_random(filled(at)).to_string() });
        row["token_hash"] = bytes(token.hash().as_bytes());
        row["device_key_hash"] = bytes(key.hash().as_bytes());
        rows.push(row.clone());
        tokens.push(token);
    }
    engine.put_all(DEVICES, &rows);
    tokens
}

/// Nothing random, but different for each number and never zero.
fn filled<const N: usize>(at: [u8; 8]) -> [u8; N] {
    let mut bytes = [9; N];
    bytes[N - at.len()..].copy_from_slice(&at);
    bytes
}

/// The devices of an account whose sessions are valid by the rule: every row is
/// read and judged.
///
/// # Panics
/// When the rows can't be read.
pub async fn signed_in(
    store: &Store,
    account: AccountId,
    limits: &Limits,
    now: Timestamp,
) -> Vec<DeviceId> {
    let rows = store.rows(account, &[]).await.expect("tables that answer");
    let row = rows.account.expect("an account");
    let (mut valid, mut after) = (Vec::new(), None);
    loop {
        let page = store.devices(account, after, 1_000).await;
        let page = page.expect("tables that answer");
        let is_valid =
            |device: &&Device| session_status(&row, device, limits, now) == SessionStatus::SignedIn;
        valid.extend(page.devices.iter().filter(is_valid).map(|device| device.id));
        after = page.next;
        if after.is_none() {
            return valid;
        }
    }
}
