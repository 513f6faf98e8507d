use super::*;
use crate::account::Epoch;
use crate::device::{DeviceInfo, DeviceType};
use crate::end_info::{Reason, Scope};
use crate::fixtures;
use crate::ids::{AccountId, SignOutId};
use jiff::SignedDuration;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn entry(n: u8) -> ReceiptEntry {
    let session = EndedSession {
        device: DeviceId::new(at(i64::from(n)), [n; 10]),
        session: SessionId::from_random([n; 16]),
        epoch: Epoch(1),
        token_hash: TokenHash::from_bytes([n; 32]),
        previous_token_hash: None,
        name: "Hotel TV".to_owned(),
        device_type: DeviceType::Tv,
    };
    ReceiptEntry::refused(session, at(100))
}

/// A sign-out of all at second 100, in epoch 1.
fn sign_out(n: u8) -> SignOut {
    SignOut {
        account: AccountId::from_random([1; 16]),
        id: SignOutId::new(at(100), [n; 10]),
        scope: Scope::Global,
        reason: Reason::SignedOut,
        at: at(100),
        by: None,
        target: SignOutTarget::Epoch {
            from: Epoch(1),
            ended: Epoch(1),
            kept: None,
        },
    }
}

fn receipt(entries: Vec<ReceiptEntry>) -> Receipt {
    Receipt::new(sign_out(7), entries)
}

#[test]
fn an_entry_is_in_its_furthest_state_in_any_order_of_steps() {
    let mut one = entry(1);
    assert_eq!(one.state(), EntryState::NotReached);
    one.wiped_at = Some(at(103));
    one.seen_at = Some(at(104));
    assert_eq!(one.state(), EntryState::Wiped);
    let mut other = entry(2);
    other.seen_at = Some(at(105));
    assert_eq!(other.state(), EntryState::Seen);
    other.notified_at = Some(at(102));
    assert_eq!(other.state(), EntryState::Notified);
}

#[test]
fn a_total_counts_every_device_once() {
    let mut notified = entry(2);
    notified.notified_at = Some(at(101));
    notified.seen_at = Some(at(102));
    let mut seen = entry(3);
    seen.seen_at = Some(at(102));
    let mut wiped = entry(4);
    wiped.wiped_at = Some(at(102));
    let total = receipt(vec![entry(1), notified, seen, wiped, entry(1)]).total();
    let expected = Total {
        devices: 4,
        wiped: 1,
        notified: 1,
        seen: 1,
        not_reached: 1,
    };
    assert_eq!(total, expected);
}

#[test]
fn pages_show_each_entry_once_newest_device_first() {
    let receipt = receipt((1..=5).map(entry).collect());
    let (first, next) = receipt.page(None, 2);
    assert_eq!(first, [entry(5), entry(4)]);
    let (second, next) = receipt.page(next, 2);
    assert_eq!(second, [entry(3), entry(2)]);
    let (last, next) = receipt.page(next, 2);
    assert_eq!(last, [entry(1)]);
    assert_eq!(next, None);
    assert_eq!(receipt.page(None, 5).1, None);
}

#[test]
fn a_receipt_is_kept_to_the_second() {
    let receipt = receipt(Vec::new());
    let limits = Limits::default();
    let end = receipt.sign_out.at + limits.receipt_retention;
    let second = SignedDuration::from_secs(1);
    assert!(Receipt::is_kept(&receipt.sign_out, &limits, end - second));
    assert!(!Receipt::is_kept(&receipt.sign_out, &limits, end));
}

/// The signed-in row of a device, with the session of [`entry`] of the same number.
fn device(n: u8) -> Device {
    let session = entry(n).session;
    Device {
        id: session.device,
        info: DeviceInfo {
            name: session.name,
            device_type: session.device_type,
            ..DeviceInfo::default()
        },
        session: session.session,
        token_hash: session.token_hash,
        epoch: session.epoch,
        last_epoch: session.epoch,
        ..fixtures::authenticated().device
    }
}

/// The row of a device that a sign-out has marked.
fn marked(n: u8, by: &SignOut) -> Device {
    Device {
        state: DeviceState::SignedOut(by.end_info()),
        ..device(n)
    }
}

/// A sign-out of one device at second 100.
fn sign_out_of(n: u8) -> SignOut {
    SignOut {
        scope: Scope::Device,
        target: SignOutTarget::One(entry(n).session),
        ..sign_out(7)
    }
}

/// Judges by both proofs, which must agree, for the session of number `n`.
fn judged(rows: &AcknowledgeRows, n: u8) -> Acknowledgement {
    let EndedSession {
        device,
        session,
        token_hash,
        ..
    } = entry(n).session;
    let limits = Limits::default();
    let by_token = rows.judge(device, &SessionProof::Token(token_hash), &limits);
    let by_session = rows.judge(device, &SessionProof::Session(session), &limits);
    assert_eq!(by_token, by_session);
    by_token
}

fn record(n: u8, by: &SignOut) -> Acknowledgement {
    Acknowledgement::Record(by.end_info(), entry(n).session)
}

#[test]
fn an_entry_of_the_session_is_acknowledged_once() {
    let mut rows = AcknowledgeRows {
        device: Some(device(2)),
        sign_out: Some(sign_out(7)),
        entry: Some(entry(1)),
    };
    assert_eq!(judged(&rows, 1), record(1, &sign_out(7)));
    rows.entry.as_mut().unwrap().wiped_at = Some(at(101));
    let recorded = Acknowledgement::AlreadyRecorded(sign_out(7).end_info());
    assert_eq!(judged(&rows, 1), recorded);
}

#[test]
fn a_sign_out_of_one_device_names_its_session_in_the_header() {
    let rows = AcknowledgeRows {
        device: Some(device(2)),
        sign_out: Some(sign_out_of(1)),
        entry: None,
    };
    assert_eq!(judged(&rows, 1), record(1, &sign_out_of(1)));
    // The same proof for another device of the account.
    let EndedSession { session, .. } = entry(1).session;
    let other = rows.judge(
        entry(2).session.device,
        &SessionProof::Session(session),
        &Limits::default(),
    );
    assert_eq!(other, Acknowledgement::UnknownSession);
}

#[test]
fn a_row_that_the_sign_out_marked_is_enough() {
    let rows = AcknowledgeRows {
        device: Some(marked(1, &sign_out(7))),
        sign_out: Some(sign_out(7)),
        entry: None,
    };
    assert_eq!(judged(&rows, 1), record(1, &sign_out(7)));
}

#[test]
fn a_row_that_is_not_swept_yet_is_enough() {
    let rows = AcknowledgeRows {
        device: Some(device(1)),
        sign_out: Some(sign_out(7)),
        entry: None,
    };
    assert_eq!(judged(&rows, 1), record(1, &sign_out(7)));
}

#[test]
fn a_session_that_the_sign_out_did_not_end_is_not_acknowledged() {
    let kept = SignOut {
        target: SignOutTarget::Epoch {
            from: Epoch(1),
            ended: Epoch(1),
            kept: Some(device(1).session),
        },
        ..sign_out(7)
    };
    let kept_before = Device {
        last_epoch: Epoch(2),
        ..device(1)
    };
    let expired = Device {
        expires_at: at(99),
        ..device(1)
    };
    let cases = [
        (device(1), Some(kept)),
        (device(1), Some(sign_out_of(2))),
        (device(1), None),
        (kept_before, Some(sign_out(7))),
        (expired.clone(), Some(sign_out(7))),
        (
            Device {
                state: DeviceState::SignedOut(sign_out(7).end_info()),
                ..expired
            },
            Some(sign_out(7)),
        ),
        (marked(1, &sign_out(8)), Some(sign_out(7))),
    ];
    for (device, sign_out) in cases {
        let rows = AcknowledgeRows {
            device: Some(device),
            sign_out,
            entry: None,
        };
        assert_eq!(judged(&rows, 1), Acknowledgement::NotEnded, "{rows:?}");
    }
}

#[test]
fn an_entry_without_a_header_is_not_acknowledged() {
    let rows = AcknowledgeRows {
        entry: Some(entry(1)),
        ..AcknowledgeRows::default()
    };
    assert_eq!(judged(&rows, 1), Acknowledgement::NotEnded);
}

#[test]
fn a_proof_that_fits_no_row_is_of_an_unknown_session() {
    let full = AcknowledgeRows {
        device: Some(device(1)),
        sign_out: Some(sign_out_of(1)),
        entry: Some(entry(1)),
    };
    assert_eq!(judged(&full, 3), Acknowledgement::UnknownSession);
    let none = AcknowledgeRows::default();
    assert_eq!(judged(&none, 1), Acknowledgement::UnknownSession);
    let header = AcknowledgeRows {
        sign_out: Some(sign_out(7)),
        ..none
    };
    assert_eq!(judged(&header, 1), Acknowledgement::UnknownSession);
}
