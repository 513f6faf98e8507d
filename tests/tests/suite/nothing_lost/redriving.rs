//! What can't be done for a time, or as it is: it waits alone, in its dead-letter
//! queue, and is done when it is redriven.

use curfew_tests::tables;
use domain::Token;
use serde_json::{Value, json};

use super::cloud::{Line, Stage, Trouble};
use super::verdict;
use super::world::{LAPTOP, Origin, PHONE, RADIO, World};
use super::{deep, runtime};

/// Tries something in a world of its own.
fn alone(test: impl AsyncFnOnce(&World) + Send + 'static) {
    let thread = deep().spawn(|| {
        runtime().block_on(async {
            let world = World::new();
            world.begin(&Origin::new().await, None);
            test(&world).await;
        });
    });
    thread.unwrap().join().unwrap();
}

async fn assert_nothing_lost(world: &World) {
    let left_behind = verdict::judge(world).await;
    assert!(left_behind.is_empty());
    let faults = &world.home().faults;
    assert!(faults.is_empty(), "{faults:#?}");
}

/// The texts that were received too often.
fn dead(world: &World, line: Line) -> Vec<String> {
    let cloud = world.cloud();
    cloud.queues[&line].dead().map(str::to_owned).collect()
}

fn sockets_of(world: &World, device: usize) -> Vec<String> {
    let (cloud, home) = (world.cloud(), world.home());
    let sockets = cloud.sockets.iter();
    let of_device = sockets.filter(|(_, socket)| home.lives[socket.life].device == device);
    of_device.map(|(id, _)| id.clone()).collect()
}

/// A row of next door's that is not as the store writes it.
fn broken(world: &World, name: &str) -> Value {
    let home = world.home();
    let token = &home.lives[home.devices[RADIO].life].token;
    let account = Token::parse(token).unwrap().account();
    json!({ "account_id": { "S": account }, name: { "S": "0" } })
}

fn mend(world: &World, table: &str, broken: &Value) {
    let delete = json!({ "TableName": table, "Key": broken });
    let cloud = world.cloud();
    let answer = cloud.engine.answer("DeleteItem", &delete.to_string());
    assert!(answer.is_success(), "{}", answer.body);
}

#[test]
fn a_poisoned_push_holds_nobody_up_and_is_made_when_it_is_redriven() {
    alone(async |world| {
        let broken = broken(world, "connection_id");
        world.cloud().engine.put(tables::CONNECTIONS, &broken);
        world.cloud().smuggle(Line::Push, "no message");
        world.sign_out_scope(RADIO, "global").await;
        world.sign_out_scope(LAPTOP, "global").await;
        let first_receipt_at = world.cloud().clock.now();
        world.settle().await;

        let dead_before = dead(world, Line::Push);
        assert_eq!(dead_before.len(), 2, "each by itself");
        assert_eq!(
            dead_before
                .iter()
                .filter(|body| *body == "no message")
                .count(),
            1
        );
        let radio = sockets_of(world, RADIO);
        for (id, socket) in &world.cloud().sockets {
            if radio.contains(id) {
                assert_eq!((socket.stage, socket.frames.len()), (Stage::Open, 0));
            } else {
                let told_at = socket.frames[0].0;
                assert!(told_at.duration_since(first_receipt_at) < Line::Push.visibility());
                assert_eq!(socket.stage, Stage::Closed);
            }
        }

        mend(world, tables::CONNECTIONS, &broken);
        world.cloud().redrive();
        world.settle().await;

        assert_eq!(dead(world, Line::Push), ["no message"]);
        world.cloud().queues.get_mut(&Line::Push).unwrap().purge();
        assert_nothing_lost(world).await;
    });
}

#[test]
fn a_poisoned_sweep_holds_nobody_up_and_is_made_when_it_is_redriven() {
    alone(async |world| {
        let broken = broken(world, "device_id");
        world.cloud().engine.put(tables::DEVICES, &broken);
        world.sign_out_scope(RADIO, "global").await;
        world.sign_out_scope(LAPTOP, "others").await;
        world.settle().await;

        assert_eq!(dead(world, Line::Sweep).len(), 1);
        assert_eq!(dead(world, Line::Push), [""; 0], "telling needs no sweep");
        let sockets = world.cloud().sockets.clone();
        let told = sockets.values().filter(|socket| !socket.frames.is_empty());
        assert_eq!(told.count(), 4, "next door's, too");

        mend(world, tables::DEVICES, &broken);
        world.cloud().redrive();
        world.settle().await;

        assert_nothing_lost(world).await;
    });
}

#[test]
fn a_push_endpoint_that_refuses_for_a_time_is_asked_again() {
    alone(async |world| {
        for (status, times) in [(429, 1), (500, 1), (429, 4), (500, 4)] {
            world.begin(&Origin::new().await, None);
            let trouble = Trouble {
                status,
                times: Some(times),
            };
            for socket in sockets_of(world, PHONE) {
                world.cloud().troubles.insert(socket, trouble);
            }
            world.sign_out_scope(LAPTOP, "global").await;
            world.settle().await;
            assert_nothing_lost(world).await;
        }
    });
}

#[test]
fn one_socket_that_refuses_for_ever_holds_nobody_up_and_is_told_when_that_is_mended() {
    alone(async |world| {
        for status in [429, 500] {
            world.begin(&Origin::new().await, None);
            let phone = sockets_of(world, PHONE).remove(0);
            let trouble = Trouble {
                status,
                times: None,
            };
            world.cloud().troubles.insert(phone.clone(), trouble);
            world.sign_out_scope(LAPTOP, "others").await;
            let began = world.cloud().clock.now();
            world.settle().await;

            // Once by the event of all, and once by its own.
            assert_eq!(dead(world, Line::Push).len(), 2);
            let open = world.cloud().sockets.clone().into_iter();
            let open = open.filter(|(_, socket)| socket.stage == Stage::Open);
            let open: Vec<String> = open.map(|(id, _)| id).collect();
            let mut left = [sockets_of(world, LAPTOP), sockets_of(world, RADIO)].concat();
            left.push(phone.clone());
            left.sort();
            assert_eq!(open, left, "every other one is told and closed");
            for socket in world.cloud().sockets.values() {
                let ended_at = socket.closed_at.unwrap_or(began);
                assert!(ended_at.duration_since(began) < Line::Push.visibility());
            }

            world.cloud().troubles.clear();
            world.cloud().redrive();
            world.settle().await;
            assert_nothing_lost(world).await;
        }
    });
}

#[test]
fn a_socket_that_is_gone_without_a_word_is_forgotten_and_the_device_is_not_reached() {
    alone(async |world| {
        let phone = sockets_of(world, PHONE).remove(0);
        world.cloud().lose(&phone);
        world.home().cut.insert(phone);
        world.sign_out_scope(LAPTOP, "global").await;
        world.settle().await;
        // The receipt says so, and its row is gone.
        assert_nothing_lost(world).await;
    });
}
