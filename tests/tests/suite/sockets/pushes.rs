//! Pushes: who is told what, what becomes of each socket, and what of a message.

use std::collections::BTreeMap;

use curfew_tests::bundle::json_of;
use curfew_tests::sockets::{Member, PASSWORD, Verdict, World};
use curfew_tests::tables;
use curfew_tests::wire::Fate;
use domain::{EntryState, Reason, SignOut, SignOutId};
use jiff::SignedDuration;
use serde_json::{Value, json};
use store::WriteOutcome;

/// The sockets that have a row, in their order.
fn rows(world: &World) -> Vec<String> {
    let rows = world.gateway.rows(tables::CONNECTIONS);
    let mut names: Vec<String> = rows
        .iter()
        .map(|row| row["connection_id"]["S"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// The parts of all receipts, by their keys.
fn parts(world: &World) -> Vec<String> {
    let rows = world.gateway.rows(tables::RECEIPTS);
    let mut parts: Vec<String> = rows
        .into_iter()
        .filter(|row| row["sign_out_id"]["S"].as_str().unwrap().contains('#'))
        .map(|row| {
            let row: BTreeMap<String, Value> = serde_json::from_value(row).unwrap();
            format!("{row:?}")
        })
        .collect();
    parts.sort();
    parts
}

/// By which sign-out each of the sockets was told, once; none when it was not.
fn told<const N: usize>(world: &World, sockets: [&str; N]) -> [Option<SignOutId>; N] {
    sockets.map(|socket| {
        let frames = world.gateway.frames(socket);
        assert!(frames.len() <= 1, "{socket}: {frames:?}");
        let frame = frames.first()?;
        assert_eq!(frame["type"], "session-revoked");
        Some(frame["sign_out"].as_str().unwrap().parse().unwrap())
    })
}

#[tokio::test]
async fn a_device_is_told_which_sign_out_ended_its_session_when_why_and_by_which_device() {
    let world = World::new().await;
    let [laptop, device] = world.connected(["laptop", "L0SM9cOFvHcCIhw="]).await;
    let sign_out = world.sign_out_device(&laptop, &device).await;
    let asked_at = world.clock.now();

    world.push(&world.event_of(&device, sign_out).await).await;

    let by = world.row(&laptop).await.info.name;
    let frame = json!({
        "type": "session-revoked",
        "sign_out": sign_out,
        "session": device.session,
        "reason": "signed_out",
        "signed_out_at": asked_at,
        "signed_out_by": { "id": laptop.device, "name": by },
    });
    assert_eq!(world.gateway.frames("L0SM9cOFvHcCIhw="), [frame]);
    assert!(world.gateway.frames("laptop").is_empty());
    let states = world.states(&device, sign_out).await;
    assert_eq!(
        states,
        BTreeMap::from([(device.device, EntryState::Pushed)])
    );
}

#[tokio::test]
async fn a_device_is_told_of_a_changed_password_and_of_a_disabled_account_as_what_they_are() {
    for reason in [Reason::PasswordChanged, Reason::AccountDisabled] {
        let world = World::new().await;
        let [laptop, device] = world.connected(["laptop", "device"]).await;
        let account = world.account(&laptop);
        let store = &world.bundle.store;
        let sign_out = if reason == Reason::AccountDisabled {
            let account = store.rows(account, &[]).await.unwrap().account.unwrap();
            let sign_out = SignOut::of_disabled(&account, world.clock.now(), [7; 10]);
            let disabled = store.disable(&account, &sign_out, &world.bundle.limits);
            assert_eq!(disabled.await.unwrap(), WriteOutcome::Done);
            sign_out.id
        } else {
            let (old, new) = (PASSWORD, "eleven lanterns drift past the harbour");
            let changed = world.bundle.change_password(&laptop.token, old, new, false);
            let changed = json_of(&changed.await);
            changed["sign_out"]["id"].as_str().unwrap().parse().unwrap()
        };

        world.push(&world.event_of(&device, sign_out).await).await;

        let frame = &world.gateway.frames("device")[0];
        assert_eq!(frame["reason"], reason.as_str());
        let by = frame.get("signed_out_by").unwrap();
        assert_eq!(by.is_null(), reason == Reason::AccountDisabled);
        assert_eq!(told(&world, ["laptop"]), [Some(sign_out)]);
    }
}

#[tokio::test]
async fn a_device_that_does_not_acknowledge_is_disconnected_after_five_seconds() {
    let world = World::new().await;
    let [laptop, device] = world.connected(["laptop", "device"]).await;
    let sign_out = world.sign_out_device(&laptop, &device).await;

    world.push(&world.event_of(&device, sign_out).await).await;

    assert!(world.gateway.is_open("device"));
    let queued = world.gateway.take_queued();
    assert_eq!(queued.len(), 1);
    assert_eq!(queued[0].delay_s, 5);
    world.push(&queued[0].body).await;
    assert!(!world.gateway.is_open("device"));
    assert_eq!(rows(&world), ["laptop"]);
    assert!(world.gateway.is_open("laptop"));
    world.push(&queued[0].body).await;
}

#[tokio::test]
async fn a_sign_out_of_all_tells_every_socket_and_one_of_the_others_spares_the_kept_session() {
    for scope in ["global", "others"] {
        let world = World::new().await;
        let [laptop, device, tv] = world.connected(["laptop", "device", "tv"]).await;
        world.open(&laptop, "laptop-2").await;
        world.open(&tv, "tv-2").await;
        let sign_out = world.sign_out_all(&laptop, scope).await;

        world.push(&world.event_of(&laptop, sign_out).await).await;

        let is_kept = scope == "others";
        let ended = Some(sign_out);
        let of_laptop = ended.filter(|_| !is_kept);
        let sockets = ["laptop", "laptop-2", "device", "tv", "tv-2"];
        let expected = [of_laptop, of_laptop, ended, ended, ended];
        assert_eq!(told(&world, sockets), expected);
        world.drain().await;
        for (socket, told) in sockets.into_iter().zip(expected) {
            assert_eq!(world.gateway.is_open(socket), told.is_none(), "{socket}");
        }
        let states = world.states(&laptop, sign_out).await;
        let mut expected = vec![
            (device.device, EntryState::Pushed),
            (tv.device, EntryState::Pushed),
        ];
        if !is_kept {
            expected.push((laptop.device, EntryState::Pushed));
        }
        assert_eq!(states, expected.into_iter().collect());
    }
}

#[tokio::test]
async fn sockets_of_another_account_are_left_alone() {
    let world = World::new().await;
    let [laptop, _] = world.connected(["laptop", "device"]).await;
    let stranger = "mo@example.com";
    let registered = world.bundle.register(stranger, PASSWORD);
    assert_eq!(registered.await.status_code, 202);
    let other = world.sign_in_to(stranger, None).await;
    world.open(&other, "other").await;
    let sign_out = world.sign_out_all(&laptop, "global").await;

    world.push(&world.event_of(&laptop, sign_out).await).await;
    world.drain().await;

    assert_eq!(told(&world, ["other"]), [None]);
    assert_eq!(rows(&world), ["other"]);
    assert!(world.gateway.is_open("other"));
}

#[tokio::test]
async fn of_two_sign_outs_in_a_row_each_tells_its_own_devices_in_whatever_order_they_come() {
    for order in [[0, 1], [1, 0]] {
        for is_at_once in [false, true] {
            let world = World::new().await;
            let [laptop, device] = world.connected(["laptop", "device"]).await;
            let others = world.sign_out_all(&laptop, "others").await;
            let [tv] = world.connected(["tv"]).await;
            let global = world.sign_out_all(&laptop, "global").await;
            let bodies = [
                world.event_of(&laptop, others).await,
                world.event_of(&laptop, global).await,
            ];
            let bodies = order.map(|n| bodies[n].as_str());

            if is_at_once {
                assert_eq!(world.deliver(&bodies).await, [0; 0]);
            } else {
                world.push(bodies[0]).await;
                world.push(bodies[1]).await;
            }
            world.drain().await;

            let all = world.gateway.all_frames();
            for (socket, sign_out) in [("laptop", global), ("device", others), ("tv", global)] {
                let frames = all.iter().filter(|(to, _)| to == socket);
                let named: Vec<&Value> = frames.map(|(_, frame)| &frame["sign_out"]).collect();
                assert!(!named.is_empty(), "{socket}");
                assert!(named.iter().all(|id| **id == json!(sign_out)), "{socket}");
            }
            let states = world.states(&laptop, others).await;
            assert_eq!(
                states,
                BTreeMap::from([(device.device, EntryState::Pushed)])
            );
            let states = world.states(&laptop, global).await;
            let expected = [laptop.device, tv.device].map(|id| (id, EntryState::Pushed));
            assert_eq!(states, expected.into_iter().collect());
        }
    }
}

#[tokio::test]
async fn a_device_that_has_signed_in_again_is_never_told_to_wipe() {
    for scope in ["device", "others"] {
        let world = World::new().await;
        let [laptop, device] = world.connected(["laptop", "old"]).await;
        let sign_out = match scope {
            "device" => world.sign_out_device(&laptop, &device).await,
            scope => world.sign_out_all(&laptop, scope).await,
        };
        let ended = world.event_of(&device, sign_out).await;
        let (again, _) = world.sign_in_again(&device).await;
        world.open(&again, "new").await;

        world.push(&ended).await;
        world.drain().await;

        assert_eq!(told(&world, ["old", "new"]), [None, None]);
        assert!(!world.gateway.is_open("old"), "ended without a word");
        assert!(world.gateway.is_open("new"));
        assert_eq!(rows(&world), ["laptop", "new"]);
        let states = world.states(&device, sign_out).await;
        assert_eq!(
            states[&device.device],
            EntryState::Refused,
            "its old part stands"
        );
    }
}

#[tokio::test]
async fn a_socket_of_a_session_that_a_new_sign_in_replaced_is_ended_without_a_word() {
    let world = World::new().await;
    let [_, device] = world.connected(["laptop", "old"]).await;
    let (again, replaced) = world.sign_in_again(&device).await;
    world.open(&again, "new").await;

    world.push(&replaced).await;

    assert_eq!(told(&world, ["laptop", "old", "new"]), [None, None, None]);
    assert_eq!(rows(&world), ["laptop", "new"]);
    assert_eq!(world.gateway.closed(), ["old"]);
    assert!(world.gateway.take_queued().is_empty());
}

#[tokio::test]
async fn the_tables_decide_and_not_the_message() {
    let world = World::new().await;
    let [laptop, device] = world.connected(["laptop", "device"]).await;
    let sign_out = world.sign_out_device(&laptop, &device).await;
    let told_of = world.event_of(&device, sign_out).await;
    let mut forged: Value = serde_json::from_str(&told_of).unwrap();
    let uri = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
    forged["events"][uri]["session_id"] = json!(laptop.session);

    world.push(&forged.to_string()).await;

    assert_eq!(told(&world, ["laptop", "device"]), [None, None]);
    let event = forged["events"][uri].as_object_mut().unwrap();
    event.remove("session_id");
    event.remove("epoch");
    event.insert("ended_epoch".to_owned(), json!(99));
    world.push(&forged.to_string()).await;
    assert_eq!(told(&world, ["laptop", "device"]), [None, Some(sign_out)]);
    assert!(world.gateway.is_open("laptop"));
}

#[tokio::test]
async fn events_that_end_no_session_are_passed_over() {
    let world = World::new().await;
    let [laptop, device] = world.connected(["laptop", "device"]).await;
    let sign_out = world.sign_out_device(&laptop, &device).await;
    let body = world.event_of(&device, sign_out).await;
    let mut other: Value = serde_json::from_str(&body).unwrap();
    let uri = "https://schemas.openid.net/secevent/caep/event-type/";
    let event = other["events"][format!("{uri}session-revoked")].clone();
    other["events"] = json!({ format!("{uri}session-established"): event });
    world.gateway.forget_calls();

    world.push(&other.to_string()).await;

    assert_eq!(world.gateway.take_calls(), [""; 0]);
}

#[tokio::test]
async fn duplicates_and_disorder_leave_the_receipt_right() {
    // Every order of the steps, each twice, and all that they ask for.
    let orders = [
        "paph", "pahp", "hpap", "apph", "aphp", "phap", "ahpp", "hhpp", "pphh", "ppaa", "aapp",
        "hahp", "pp", "aa", "hh",
    ];
    for order in orders {
        let world = World::new().await;
        let [laptop, device] = world.connected(["laptop", "one"]).await;
        for socket in ["two", "three", "four"] {
            world.open(&device, socket).await;
        }
        let sign_out = world.sign_out_all(&laptop, "others").await;
        let body = world.event_of(&device, sign_out).await;
        let sockets = ["one", "two", "three", "four"];
        let mut furthest = EntryState::Refused;
        let mut first_times: BTreeMap<char, Value> = BTreeMap::new();
        for (step, socket) in order.chars().zip(sockets) {
            world.clock.advance(SignedDuration::from_secs(1));
            let (state, attribute) = match step {
                'p' => {
                    world.push(&body).await;
                    (EntryState::Pushed, "pushed_at")
                }
                'h' => {
                    world.heartbeat(socket).await;
                    (EntryState::Contacted, "contacted_at")
                }
                _ => {
                    world.acknowledge(socket, sign_out).await;
                    (EntryState::Acknowledged, "acknowledged_at")
                }
            };
            furthest = furthest.max(state);
            let states = world.states(&device, sign_out).await;
            assert_eq!(states[&device.device], furthest, "{order}");
            let rows = world.gateway.rows(tables::RECEIPTS);
            let part = rows
                .iter()
                .find(|row| !row["token_hash"].is_null())
                .unwrap();
            let time = part[attribute].clone();
            assert!(!time.is_null(), "{order}");
            assert_eq!(
                *first_times.entry(step).or_insert(time.clone()),
                time,
                "{order}"
            );
        }
        world.drain().await;
        let states = world.states(&device, sign_out).await;
        let furthest = furthest.max(EntryState::Pushed.min(states[&device.device]));
        assert_eq!(
            states,
            BTreeMap::from([(device.device, furthest)]),
            "{order}"
        );
        if order.contains('p') {
            assert_eq!(rows(&world), ["laptop"], "{order}");
        }
    }
}

#[tokio::test]
async fn a_socket_that_is_gone_is_forgotten_and_is_no_failure() {
    let world = World::new().await;
    let [laptop, device] = world.connected(["laptop", "device"]).await;
    let sign_out = world.sign_out_all(&laptop, "global").await;
    world.gateway.lose("device");
    world.clock.advance(SignedDuration::from_secs(30));

    world.push(&world.event_of(&device, sign_out).await).await;

    assert_eq!(rows(&world), ["laptop"]);
    assert_eq!(told(&world, ["laptop", "device"]), [Some(sign_out), None]);
    let states = world.states(&device, sign_out).await;
    assert_eq!(states[&device.device], EntryState::Refused);
}

#[tokio::test]
async fn a_socket_that_may_be_on_its_way_is_told_when_it_is_there() {
    let world = World::new().await;
    let laptop = world.sign_in(None).await;
    let device = world.sign_in(None).await;
    world.open(&device, "device").await;
    world.gateway.lose("device"); // The gateway has not registered it yet.
    let sign_out = world.sign_out_device(&laptop, &device).await;

    world.push(&world.event_of(&device, sign_out).await).await;

    assert_eq!(rows(&world), ["device"]);
    let queued = world.gateway.take_queued();
    assert_eq!(queued.len(), 1);
    assert_eq!(queued[0].delay_s, 10);
    world.gateway.open("device");
    world.clock.advance(SignedDuration::from_secs(10));
    world.push(&queued[0].body).await;
    assert_eq!(told(&world, ["device"]), [Some(sign_out)]);
    world.drain().await;
    assert!(!world.gateway.is_open("device"));
    assert!(rows(&world).is_empty());
}

#[tokio::test]
async fn a_socket_that_never_comes_is_forgotten_after_thirty_seconds() {
    for (age, left) in [(29_999, 1), (30_000, 0)] {
        let world = World::new().await;
        let laptop = world.sign_in(None).await;
        let device = world.sign_in(None).await;
        world.open(&device, "device").await;
        let opened_at = world.clock.now();
        world.gateway.lose("device");
        let sign_out = world.sign_out_device(&laptop, &device).await;
        let body = world.event_of(&device, sign_out).await;
        let since = world.clock.now().duration_since(opened_at);
        world
            .clock
            .advance(SignedDuration::from_millis(age) - since);

        world.push(&body).await;

        assert_eq!(rows(&world).len(), left, "{age} ms");
        world.drain().await;
        assert!(rows(&world).is_empty());
    }
}

#[tokio::test]
async fn a_replaced_session_whose_socket_is_on_its_way_does_not_keep_it() {
    let world = World::new().await;
    let device = world.sign_in(None).await;
    world.open(&device, "old").await;
    world.gateway.lose("old"); // The gateway has not registered it yet.
    let (_, replaced) = world.sign_in_again(&device).await;

    world.push(&replaced).await;
    world.gateway.open("old");
    world.drain().await;

    assert!(!world.gateway.is_open("old"));
    assert!(rows(&world).is_empty());
    assert_eq!(told(&world, ["old"]), [None]);
}

#[tokio::test]
async fn a_frame_that_was_not_taken_is_sent_later_by_itself_and_holds_nobody_up() {
    for status in [429, 500, 503, 403] {
        let world = World::new().await;
        let [laptop, device, tv] = world.connected(["laptop", "device", "tv"]).await;
        let first = world.sign_out_device(&laptop, &device).await;
        let rest = world.sign_out_all(&laptop, "global").await;
        let body = world.event_of(&laptop, rest).await;
        world.gateway.answer_by("device", status);

        assert_eq!(world.deliver(&["null", &body]).await, [0], "{status}");

        let sockets = ["laptop", "device", "tv"];
        assert_eq!(told(&world, sockets), [Some(rest), None, Some(rest)]);
        let states = world.states(&laptop, rest).await;
        assert_eq!(states[&laptop.device], EntryState::Pushed);
        assert_eq!(states[&tv.device], EntryState::Pushed);
        let states = world.states(&laptop, first).await;
        assert_eq!(states[&device.device], EntryState::Refused);
        let queued = world.gateway.take_queued();
        let delays: Vec<_> = queued.iter().map(|queued| queued.delay_s).collect();
        assert_eq!(delays, [5, 10], "those that were told are disconnected");
        world.push(&queued[0].body).await;
        assert_eq!(rows(&world), ["device"]);

        // By itself it fails its own message, until that is redriven.
        let later = queued[1].body.as_str();
        assert_eq!(world.deliver(&[later]).await, [0], "{status}");
        assert!(world.gateway.take_queued().is_empty());
        world.gateway.mend();
        world.push(later).await;
        world.drain().await;
        assert_eq!(told(&world, sockets), [Some(rest), Some(first), Some(rest)]);
        let states = world.states(&laptop, first).await;
        assert_eq!(states[&device.device], EntryState::Pushed);
        assert!(rows(&world).is_empty());
    }
}

#[tokio::test]
async fn a_poisoned_message_fails_alone() {
    let poison = [
        "",
        "null",
        "{}",
        "no JSON",
        r#"{"check":{}}"#,
        r#"{"check":{"account_id":"x","connection_id":"one"}}"#,
        r#"{"close":{"account_id":"x","connection_ids":[]}}"#,
        r#"{"wipe":{}}"#,
        r#"{"Type":"Notification","Message":"{}"}"#,
    ];
    for poisoned in poison {
        let world = World::new().await;
        let [laptop, device] = world.connected(["laptop", "device"]).await;
        let sign_out = world.sign_out_device(&laptop, &device).await;
        let body = world.event_of(&device, sign_out).await;

        let failed = world.deliver(&[poisoned, &body, poisoned]).await;

        assert_eq!(failed, [0, 2], "{poisoned}");
        assert_eq!(told(&world, ["laptop", "device"]), [None, Some(sign_out)]);
    }
}

#[tokio::test]
async fn a_row_that_can_t_be_read_fails_its_account_alone() {
    let world = World::new().await;
    let [laptop, device] = world.connected(["laptop", "device"]).await;
    let stranger = "mo@example.com";
    let registered = world.bundle.register(stranger, PASSWORD);
    assert_eq!(registered.await.status_code, 202);
    let others = [
        world.sign_in_to(stranger, None).await,
        world.sign_in_to(stranger, None).await,
    ];
    world.open(&others[1], "other").await;
    let mut corrupt = world.gateway.rows(tables::CONNECTIONS)[0].clone();
    corrupt["account_id"]["S"] = json!(world.account(&laptop));
    corrupt["connection_id"]["S"] = json!("corrupt");
    corrupt["epoch"] = json!({ "S": "one" });
    world.gateway.engine.put(tables::CONNECTIONS, &corrupt);
    let of_corrupt = world.sign_out_device(&laptop, &device).await;
    let of_other = world.sign_out_device(&others[0], &others[1]).await;
    let bodies = [
        world.event_of(&device, of_corrupt).await,
        world.event_of(&others[1], of_other).await,
    ];

    let failed = world.deliver(&[&bodies[0], &bodies[1]]).await;

    assert_eq!(failed, [0]);
    assert_eq!(told(&world, ["other"]), [Some(of_other)]);
}

/// Four devices with five sockets, one of them gone, and a sign-out of all but one.
async fn household() -> (World, Member, SignOutId, String) {
    let world = World::new().await;
    let [laptop, device, _tv, replaced] = world
        .connected(["laptop", "device", "tv", "replaced"])
        .await;
    world.open(&device, "device-2").await;
    let gone = world.sign_in(None).await;
    world.open(&gone, "gone").await;
    world.gateway.lose("gone");
    let sign_out = world.sign_out_all(&laptop, "others").await;
    world.sign_in(Some(&replaced.key)).await;
    world.clock.advance(SignedDuration::from_secs(25));
    let body = world.event_of(&laptop, sign_out).await;
    world.gateway.forget_calls();
    (world, laptop, sign_out, body)
}

#[tokio::test]
async fn whatever_dies_wherever_the_end_is_the_same() {
    let (undisturbed, laptop, sign_out, body) = Box::pin(household()).await;
    undisturbed.push(&body).await;
    undisturbed.drain().await;
    let calls = undisturbed.gateway.take_calls().len();
    assert!(calls > 20, "{calls}");
    let states = undisturbed.states(&laptop, sign_out).await;
    assert_eq!(rows(&undisturbed), ["laptop"]);
    let sockets = ["laptop", "device", "device-2", "tv", "replaced", "gone"];

    let mut kills = 0;
    for dies_at in 1..=calls {
        for is_made in [false, true] {
            let (world, laptop, sign_out, body) = Box::pin(household()).await;
            let mut call = 0;
            world.gateway.judge(move |_| {
                call += 1;
                match (call == dies_at, is_made) {
                    (false, _) => Verdict::Made,
                    (true, true) => Verdict::AnswerLost,
                    (true, false) => Verdict::Instead(Fate::Broken),
                }
            });
            kills += 1;

            // What is not settled is delivered again.
            for _ in 0..3 {
                if world.deliver(&[&body]).await.is_empty() {
                    break;
                }
            }
            world.drain().await;

            assert_eq!(rows(&world), ["laptop"], "{dies_at}");
            assert_eq!(world.states(&laptop, sign_out).await.len(), states.len());
            let of = world.states(&laptop, sign_out).await;
            let reached = |states: &BTreeMap<_, EntryState>| {
                let mut reached: Vec<EntryState> = states.values().copied().collect();
                reached.sort();
                reached
            };
            assert_eq!(reached(&of), reached(&states), "{dies_at}");
            for socket in sockets {
                let is_told = !world.gateway.frames(socket).is_empty();
                let expected = !undisturbed.gateway.frames(socket).is_empty();
                assert_eq!(is_told, expected, "{socket} {dies_at}");
                let of_kind = world.gateway.frames(socket).into_iter();
                assert!(
                    of_kind
                        .into_iter()
                        .all(|it| it["type"] == "session-revoked")
                );
                assert_eq!(
                    world.gateway.is_open(socket),
                    socket == "laptop",
                    "{dies_at}"
                );
            }
        }
    }
    println!("push-revocations was killed {kills} times, at each of {calls} calls");
}

#[tokio::test]
async fn a_message_that_comes_again_when_all_is_done_does_nothing() {
    let (world, ..) = Box::pin(household()).await;
    let [laptop, device] = world.connected(["again", "again-2"]).await;
    let sign_out = world.sign_out_device(&laptop, &device).await;
    let body = world.event_of(&device, sign_out).await;
    world.push(&body).await;
    world.drain().await;
    let before = (parts(&world), rows(&world), world.gateway.all_frames());

    world.push(&body).await;
    world.drain().await;

    assert_eq!(
        (parts(&world), rows(&world), world.gateway.all_frames()),
        before
    );
}

#[tokio::test]
async fn a_check_of_a_valid_session_or_of_no_socket_does_nothing() {
    let world = World::new().await;
    let [laptop] = world.connected(["laptop"]).await;
    let account = world.account(&laptop);
    for socket in ["laptop", "unknown"] {
        let check = json!({ "check": { "account_id": account, "connection_id": socket } });
        world.push(&check.to_string()).await;
    }
    assert!(world.gateway.all_frames().is_empty());
    assert_eq!(rows(&world), ["laptop"]);
    assert!(world.gateway.take_queued().is_empty());
}

/// A laptop has signed out so many other devices, each with a socket open.
async fn crowd(devices: usize) -> (World, Member, Vec<(Member, String)>, SignOutId, String) {
    let world = World::new().await;
    let laptop = world.sign_in(None).await;
    let mut sockets = Vec::new();
    for n in 0..devices {
        let device = world.sign_in(None).await;
        let socket = format!("socket-{n}");
        world.open(&device, &socket).await;
        sockets.push((device, socket));
    }
    let sign_out = world.sign_out_all(&laptop, "others").await;
    let body = world.event_of(&laptop, sign_out).await;
    (world, laptop, sockets, sign_out, body)
}

#[tokio::test]
async fn a_push_costs_a_call_a_socket_and_a_mark_a_device() {
    let (world, _, sockets, _, body) = Box::pin(crowd(150)).await;
    let before = (world.push.table_calls.made(), world.push.push_calls.made());
    world.gateway.forget_calls();

    world.push(&body).await;

    let mut calls: BTreeMap<String, usize> = BTreeMap::new();
    for call in world.gateway.take_calls() {
        *calls.entry(call).or_default() += 1;
    }
    let expected = [
        ("BatchGetItem", 2),
        ("PostToConnection", 150),
        ("Query", 2),
        ("SendMessage", 1),
        ("UpdateItem", 150),
    ];
    assert_eq!(calls, expected.map(|(call, n)| (call.to_owned(), n)).into());
    assert_eq!(world.push.table_calls.made() - before.0, 154);
    assert_eq!(world.push.push_calls.made() - before.1, 150);
    let told = sockets
        .iter()
        .all(|(_, socket)| world.gateway.frames(socket).len() == 1);
    assert!(told);
}

#[tokio::test]
async fn more_sockets_than_one_message_names_are_all_ended() {
    let world = World::new().await;
    let laptop = world.sign_in(None).await;
    let device = world.sign_in(None).await;
    for n in 0..501 {
        world.open(&device, &format!("socket-{n}")).await;
    }
    let sign_out = world.sign_out_device(&laptop, &device).await;

    world.push(&world.event_of(&device, sign_out).await).await;
    let queued = world.gateway.take_queued();
    assert_eq!(queued.len(), 2);
    for message in queued {
        assert!(message.body.len() < 256 * 1024);
        world.push(&message.body).await;
    }

    assert!(rows(&world).is_empty());
    assert_eq!(world.gateway.closed().len(), 501);
}

#[tokio::test]
async fn those_told_before_the_time_was_over_are_not_told_again() {
    let (world, laptop, sockets, sign_out, body) = Box::pin(crowd(150)).await;
    // With the hundredth frame all the time is over.
    let (clock, mut posts) = (world.clock.clone(), 0);
    world.gateway.judge(move |call| {
        if call.operation == "PostToConnection" {
            posts += 1;
            if posts == 100 {
                clock.advance(SignedDuration::from_secs(21));
            }
        }
        Verdict::Made
    });

    assert_eq!(world.deliver(&[&body]).await, [0], "some are left");

    let states = world.states(&laptop, sign_out).await;
    let mut told = 0;
    for (device, socket) in &sockets {
        let is_told = !world.gateway.frames(socket).is_empty();
        let state = &states[&device.device];
        assert_eq!(*state == EntryState::Pushed, is_told, "{socket}: {state:?}");
        told += usize::from(is_told);
    }
    assert!((100..150).contains(&told), "{told}");
    let queued = world.gateway.take_queued();
    assert!(queued.iter().all(|queued| queued.delay_s == 5));
    for message in queued {
        world.push(&message.body).await;
    }
    assert_eq!(world.gateway.closed().len(), told);

    world.gateway.mend();
    world.push(&body).await;
    world.drain().await;
    assert_eq!(world.gateway.all_frames().len(), 150, "each once");
    assert!(rows(&world).is_empty());
}
