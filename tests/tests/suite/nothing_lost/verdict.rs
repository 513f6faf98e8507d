//! The conditions that must hold at the end of every run.

use std::collections::{BTreeMap, BTreeSet};

use domain::{EntryState, ReceiptEntry};
use jiff::SignedDuration;
use serde_json::Value;

use super::cloud::{Cloud, Socket, Stage};
use super::simulation::{Accounts, AnsweredSignOut, Behavior, Simulation, TrackedSession};

/// The time that a device has to acknowledge.
const GRACE: SignedDuration = SignedDuration::from_secs(5);

/// Checks the end of a run. Returns the rows of Connections that only the TTL will
/// delete: those of closed sockets whose handshake or disconnect event failed.
pub async fn check(simulation: &Simulation) -> BTreeSet<String> {
    let sign_outs = simulation.accounts().sign_outs.clone();
    let mut violations = Vec::new();
    for sign_out in &sign_outs {
        let id = sign_out.id.parse().unwrap();
        let store = &simulation.bundle.store;
        let receipt = store
            .receipt(sign_out.account, id, &simulation.bundle.limits)
            .await;
        let receipt = receipt.unwrap().expect("a receipt");
        violations.extend(of_receipt(simulation, sign_out, &receipt.entries));
    }
    let (cloud, accounts) = (simulation.cloud(), simulation.accounts());
    violations.extend(of_topic(&cloud, &accounts, &sign_outs));
    for (id, socket) in &cloud.sockets {
        let found = of_socket(id, socket, &accounts);
        violations.extend(
            found
                .into_iter()
                .map(|violation| format!("{id}: {violation}")),
        );
    }
    for (line, queue) in &cloud.queues {
        let left = queue.waiting().chain(queue.dead());
        violations.extend(left.map(|body| format!("{line:?} still has {body}")));
    }
    if !cloud.unpublished.is_empty() {
        violations.push("something was not published".to_owned());
    }
    let open = cloud.sockets.iter();
    let open: BTreeSet<(String, String)> = open
        .filter(|(_, socket)| socket.stage == Stage::Open)
        .map(|(id, socket)| (id.clone(), accounts.sessions[socket.session].id.clone()))
        .collect();
    let rows = cloud.connections();
    for (id, _) in open.difference(&rows) {
        violations.push(format!("{id} is open and has no row"));
    }
    let mut left_behind = BTreeSet::new();
    for (id, session) in rows.difference(&open) {
        if accounts.unfinished.contains(id) {
            left_behind.insert(id.clone());
        } else {
            violations.push(format!("{id} of {session} is closed and has a row"));
        }
    }
    drop((cloud, accounts));
    simulation.accounts().violations.extend(violations);
    left_behind
}

/// Checks that each session that the sign-out ended has one entry with the right state,
/// and no other session has one.
fn of_receipt(
    simulation: &Simulation,
    sign_out: &AnsweredSignOut,
    parts: &[ReceiptEntry],
) -> Vec<String> {
    let (cloud, accounts) = (simulation.cloud(), simulation.accounts());
    let mut violations = Vec::new();
    let ended: BTreeMap<&str, (usize, &TrackedSession)> = accounts
        .sessions
        .iter()
        .enumerate()
        .filter(|(_, session)| session.end.as_ref() == Some(&sign_out.id))
        .map(|(at, session)| (session.id.as_str(), (at, session)))
        .collect();
    let sessions = parts.iter().map(|part| part.session.session.to_string());
    let sessions: BTreeSet<String> = sessions.collect();
    if sessions.len() != parts.len()
        || !sessions
            .iter()
            .map(String::as_str)
            .eq(ended.keys().copied())
    {
        violations.push(format!("the receipt is of {sessions:?} and not {ended:?}"));
        return violations;
    }
    for part in parts {
        let (at, session) = ended[part.session.session.to_string().as_str()];
        let mut sockets = cloud.sockets.values().filter(|socket| socket.session == at);
        let is_notified = sockets.any(|socket| !socket.frames.is_empty());
        let state = part.state();
        let expected = match (session.is_acknowledged, session.is_refused, is_notified) {
            (true, _, _) => EntryState::Wiped,
            (false, false, false) => EntryState::NotReached,
            (false, _, _) => EntryState::Notified,
        };
        // A device that has signed in again gets no second revocation, even when the
        // first one was not recorded. One that was refused with the reason does not call
        // again, even when that was not recorded.
        let is_unrecorded = expected == EntryState::Notified
            && cloud.injected.iter().any(|(site, _)| {
                site.function == "session" && site.call.starts_with("UpdateItem Receipts")
            });
        let may_be_less = session.is_replaced || is_unrecorded;
        if state != expected && !(may_be_less && state < expected) {
            violations.push(format!("{session:?} is {state:?} and not {expected:?}"));
        }
        let device = &accounts.devices[session.device];
        let could = [
            (
                part.notified_at.is_some(),
                is_notified || session.has_called,
            ),
            (part.seen_at.is_some(), session.has_called),
            (
                part.wiped_at.is_some(),
                session.has_learned && device.behavior == Behavior::Acknowledges,
            ),
        ];
        if could
            .iter()
            .any(|(is_claimed, is_so)| *is_claimed && !is_so)
        {
            violations.push(format!("{part:?} claims too much of {session:?}"));
        }
    }
    violations
}

/// Checks that another subscriber of the topic got every event.
fn of_topic(cloud: &Cloud, accounts: &Accounts, sign_outs: &[AnsweredSignOut]) -> Vec<String> {
    let mut violations = Vec::new();
    let heard: Vec<(&str, Option<&str>, Value)> = cloud
        .heard
        .iter()
        .map(|message| {
            let claims = serde_json::from_str(&message.body).unwrap();
            let attribute = |name: &str| message.attributes.get(name).map(String::as_str);
            (attribute("event_type").unwrap(), attribute("scope"), claims)
        })
        .collect();
    let of_session = |kind: &str, session: &TrackedSession| {
        let mut heard = heard.iter();
        heard.any(|(event, _, claims)| {
            *event == kind && claims["sub_id"]["session"]["id"] == session.id
        })
    };
    for sign_out in sign_outs {
        let mut of_act = heard
            .iter()
            .filter(|(_, _, claims)| claims["txn"] == sign_out.id);
        if !of_act
            .clone()
            .any(|(_, scope, _)| *scope == Some(sign_out.scope))
        {
            violations.push(format!("no event about {sign_out:?}"));
        }
        if sign_out.is_password && !of_act.any(|(event, _, _)| *event == "credential-change") {
            violations.push(format!("no event about the password of {sign_out:?}"));
        }
        let ended = accounts.sessions.iter();
        let ended = ended.filter(|session| session.end.as_ref() == Some(&sign_out.id));
        if sign_out.scope == "others" || sign_out.scope == "device" {
            for session in ended.filter(|session| !of_session("session-revoked", session)) {
                violations.push(format!("no event about the end of {session:?}"));
            }
        }
    }
    for session in accounts
        .sessions
        .iter()
        .filter(|session| session.is_watched)
    {
        if !of_session("session-established", session) {
            violations.push(format!("no event about {session:?}"));
        }
    }
    violations
}

/// Checks that a socket of an ended session got the revocation and nothing else, and is
/// closed; and that any other socket got no frame and was not closed.
fn of_socket(id: &str, socket: &Socket, accounts: &Accounts) -> Vec<String> {
    let mut violations = Vec::new();
    let session = &accounts.sessions[socket.session];
    let is_cut = accounts.cut.contains(id);
    let Some(end) = &session.end else {
        if !socket.frames.is_empty() {
            violations.push(format!(
                "got {:?} although its session is valid",
                socket.frames
            ));
        }
        if socket.was_open && socket.stage != Stage::Open && !is_cut {
            violations.push("closed although its session is valid".to_owned());
        }
        return violations;
    };
    for (_, frame) in &socket.frames {
        if frame["type"] != "session-revoked"
            || frame["sign_out"] != *end
            || frame["session"] != session.id
        {
            violations.push(format!("got {frame} at the end of {session:?}"));
        }
    }
    // A device that learns of its end by a call acknowledges over one socket before
    // the push.
    let need_not = session.is_replaced || session.has_asked || is_cut || !socket.was_open;
    if socket.frames.is_empty() && !need_not {
        violations.push(format!("no frame about the end of {session:?}"));
    }
    if socket.stage != Stage::Closed {
        violations.push(format!("outlives {session:?}"));
    }
    let behavior = accounts.devices[session.device].behavior;
    if let (Some((notified_at, _)), Some(closed_at), Behavior::Silent) =
        (socket.frames.first(), socket.closed_at, behavior)
        && closed_at.duration_since(*notified_at) < GRACE
        && !session.is_replaced
    {
        violations.push("closed before the grace period ended".to_owned());
    }
    violations
}
