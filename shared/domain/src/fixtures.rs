//! The rows of one signed-in device, for the tests of this crate.

use jiff::Timestamp;

use crate::account::{Account, Epoch};
use crate::device::{Device, DeviceInfo, DeviceState, Place};
use crate::device_key::DeviceKey;
use crate::ids::{AccountId, DeviceId, SessionId};
use crate::limits::Limits;
use crate::password::{Hasher, Params, Password, StoredHash};
use crate::session::Authenticated;
use crate::token::Token;

pub(crate) fn now() -> Timestamp {
    "2026-11-20T10:00:00Z".parse().unwrap()
}

/// Returns the token that [`authenticated`] holds.
pub(crate) fn token() -> Token {
    let account = AccountId::from_random([1; 16]);
    Token::new(account, DeviceId::new(now(), [2; 10]), [3; 32])
}

pub(crate) fn authenticated() -> Authenticated {
    let (now, token) = (now(), token());
    Authenticated {
        account: Account {
            id: token.account(),
            email: "lea@example.com".to_owned(),
            password_hash: password_hash(),
            epoch: Epoch(5),
            kept_session: None,
            disabled_at: None,
            created_at: now,
            confirmed_at: None,
            recovered_at: None,
            recovered_epoch: None,
            factors: Vec::new(),
            factors_lost_at: None,
            hold: None,
            address_change: None,
            sign_in_codes: false,
        },
        device: Device {
            account: token.account(),
            id: token.device(),
            info: DeviceInfo::default(),
            owner_name: None,
            reported_name: None,
            place: Place::default(),
            active_place: Place::default(),
            session: SessionId::from_random([5; 16]),
            token_hash: token.hash(),
            key_hash: DeviceKey::new(now, [6; 32]).hash_in(token.account()),
            epoch: Epoch(5),
            last_epoch: Epoch(5),
            first_signed_in_at: now,
            signed_in_at: now,
            previous_token: None,
            verified_at: Some(now),
            last_active_at: now,
            expires_at: Limits::default().expires_at(now),
            state: DeviceState::SignedIn,
            seen_at: None,
            notified_at: None,
            recognized_until: None,
            notice_session: SessionId::from_random([5; 16]),
            ending_acts: crate::device::EndingActs::default(),
            unproven_acts: crate::device::UnprovenActs::default(),
        },
    }
}

fn password_hash() -> StoredHash {
    let params = Params {
        m_kib: 8,
        t: 1,
        p: 1,
    };
    let password = Password::parse("quiet otter borrows nine lanterns").unwrap();
    let mut hasher = Hasher::with_params(params).unwrap();
    hasher.hash(&password, [4; 16])
}
