//! What must hold in the end, whatever went wrong on the way.

use std::collections::{BTreeMap, BTreeSet};

use domain::{EntryState, ReceiptEntry};
use jiff::SignedDuration;
use serde_json::Value;

use super::cloud::{Cloud, Socket, Stage};
use super::world::{Act, Home, Life, Temper, World};

/// How long a device has to acknowledge.
const GRACE: SignedDuration = SignedDuration::from_secs(5);

/// Judges the end of a run, and gives the rows of Connections that are left to the
/// TTL: those of sockets that are no more, and whose handshake or end the function
/// did not get through.
pub async fn judge(world: &World) -> BTreeSet<String> {
    let acts = world.home().acts.clone();
    let mut faults = Vec::new();
    for act in &acts {
        let id = act.id.parse().unwrap();
        let store = &world.bundle.store;
        let receipt = store.receipt(act.account, id, &world.bundle.limits).await;
        let receipt = receipt.unwrap().expect("a receipt");
        faults.extend(of_receipt(world, act, &receipt.entries));
    }
    let (cloud, home) = (world.cloud(), world.home());
    faults.extend(of_topic(&cloud, &home, &acts));
    for (id, socket) in &cloud.sockets {
        let found = of_socket(id, socket, &home);
        faults.extend(found.into_iter().map(|fault| format!("{id}: {fault}")));
    }
    for (line, queue) in &cloud.queues {
        let left = queue.waiting().chain(queue.dead());
        faults.extend(left.map(|body| format!("{line:?} still has {body}")));
    }
    if !cloud.unpublished.is_empty() {
        faults.push("something was not published".to_owned());
    }
    let open = cloud.sockets.iter();
    let open: BTreeSet<(String, String)> = open
        .filter(|(_, socket)| socket.stage == Stage::Open)
        .map(|(id, socket)| (id.clone(), home.lives[socket.life].session.clone()))
        .collect();
    let rows = cloud.connections();
    for (id, _) in open.difference(&rows) {
        faults.push(format!("{id} is open and has no row"));
    }
    let mut left_behind = BTreeSet::new();
    for (id, session) in rows.difference(&open) {
        if home.unfinished.contains(id) {
            left_behind.insert(id.clone());
        } else {
            faults.push(format!("{id} of {session} is closed and has a row"));
        }
    }
    drop((cloud, home));
    world.home().faults.extend(faults);
    left_behind
}

/// Each session that the sign-out ended has one part, as far as its device has
/// come; no other session has one.
fn of_receipt(world: &World, act: &Act, parts: &[ReceiptEntry]) -> Vec<String> {
    let (cloud, home) = (world.cloud(), world.home());
    let mut faults = Vec::new();
    let ended: BTreeMap<&str, (usize, &Life)> = home
        .lives
        .iter()
        .enumerate()
        .filter(|(_, life)| life.end.as_ref() == Some(&act.id))
        .map(|(at, life)| (life.session.as_str(), (at, life)))
        .collect();
    let sessions = parts.iter().map(|part| part.session.session.to_string());
    let sessions: BTreeSet<String> = sessions.collect();
    if sessions.len() != parts.len()
        || !sessions
            .iter()
            .map(String::as_str)
            .eq(ended.keys().copied())
    {
        faults.push(format!("the receipt is of {sessions:?} and not {ended:?}"));
        return faults;
    }
    for part in parts {
        let (at, life) = ended[part.session.session.to_string().as_str()];
        let mut sockets = cloud.sockets.values().filter(|socket| socket.life == at);
        let is_told = sockets.any(|socket| !socket.frames.is_empty());
        let state = part.state();
        let expected = match (life.is_acknowledged, life.is_refused, is_told) {
            (true, _, _) => EntryState::Acknowledged,
            (false, true, _) => EntryState::Contacted,
            (false, false, true) => EntryState::Pushed,
            (false, false, false) => EntryState::Refused,
        };
        // One that has signed in again is not told twice, even if the first time
        // was not written down.
        if state != expected && !(life.is_replaced && state < expected) {
            faults.push(format!("{life:?} is {state:?} and not {expected:?}"));
        }
        let device = &home.devices[life.device];
        let could = [
            (part.pushed_at.is_some(), is_told),
            (part.contacted_at.is_some(), life.has_called),
            (
                part.acknowledged_at.is_some(),
                life.has_learnt && device.temper == Temper::Acknowledges,
            ),
        ];
        if could
            .iter()
            .any(|(is_claimed, is_so)| *is_claimed && !is_so)
        {
            faults.push(format!("{part:?} claims too much of {life:?}"));
        }
    }
    faults
}

/// The other subscriber has heard everything.
fn of_topic(cloud: &Cloud, home: &Home, acts: &[Act]) -> Vec<String> {
    let mut faults = Vec::new();
    let heard: Vec<(&str, Option<&str>, Value)> = cloud
        .heard
        .iter()
        .map(|message| {
            let claims = serde_json::from_str(&message.body).unwrap();
            let attribute = |name: &str| message.attributes.get(name).map(String::as_str);
            (attribute("event_type").unwrap(), attribute("scope"), claims)
        })
        .collect();
    let of_session = |kind: &str, life: &Life| {
        let mut heard = heard.iter();
        heard.any(|(event, _, claims)| {
            *event == kind && claims["sub_id"]["session"]["id"] == life.session
        })
    };
    for act in acts {
        let mut of_act = heard
            .iter()
            .filter(|(_, _, claims)| claims["txn"] == act.id);
        if !of_act
            .clone()
            .any(|(_, scope, _)| *scope == Some(act.scope))
        {
            faults.push(format!("nobody has heard of {act:?}"));
        }
        if act.is_password && !of_act.any(|(event, _, _)| *event == "credential-change") {
            faults.push(format!("nobody has heard of the password of {act:?}"));
        }
        let ended = home.lives.iter();
        let ended = ended.filter(|life| life.end.as_ref() == Some(&act.id));
        if act.scope == "others" || act.scope == "device" {
            for life in ended.filter(|life| !of_session("session-revoked", life)) {
                faults.push(format!("nobody has heard of the end of {life:?}"));
            }
        }
    }
    for life in home.lives.iter().filter(|life| life.is_watched) {
        if !of_session("session-established", life) {
            faults.push(format!("nobody has heard of {life:?}"));
        }
    }
    faults
}

/// A socket of a session that has ended was told so, was told nothing else, and is
/// closed; any other one was left alone.
fn of_socket(id: &str, socket: &Socket, home: &Home) -> Vec<String> {
    let mut faults = Vec::new();
    let life = &home.lives[socket.life];
    let is_cut = home.cut.contains(id);
    let Some(end) = &life.end else {
        if !socket.frames.is_empty() {
            faults.push(format!("told {:?} and not concerned", socket.frames));
        }
        if socket.was_open && socket.stage != Stage::Open && !is_cut {
            faults.push("closed and not concerned".to_owned());
        }
        return faults;
    };
    for (_, frame) in &socket.frames {
        if frame["type"] != "session-revoked"
            || frame["sign_out"] != *end
            || frame["session"] != life.session
        {
            faults.push(format!("told {frame}, by the end of {life:?}"));
        }
    }
    // One that learns by calling acknowledges before it is told, over one socket.
    let need_not = life.is_replaced || life.has_asked || is_cut || !socket.was_open;
    if socket.frames.is_empty() && !need_not {
        faults.push(format!("never told of the end of {life:?}"));
    }
    if socket.stage != Stage::Closed {
        faults.push(format!("outlives {life:?}"));
    }
    let temper = home.devices[life.device].temper;
    if let (Some((told_at, _)), Some(closed_at), Temper::Mute) =
        (socket.frames.first(), socket.closed_at, temper)
        && closed_at.duration_since(*told_at) < GRACE
        && !life.is_replaced
    {
        faults.push("closed before the grace was over".to_owned());
    }
    faults
}
