//! Messages that can not be processed: each waits alone in its dead-letter queue, and
//! is processed when it is redriven.

use curfew_tests::tables;
use domain::Token;
use domain::account::Epoch;
use serde_json::{Value, json};

use super::cloud::{Outage, QueueName, Stage};
use super::simulation::{InitialState, LAPTOP, PHONE, RADIO, Simulation};
use super::verdict;
use super::{deep, runtime};

/// Runs a test in its own simulation.
fn alone(test: impl AsyncFnOnce(&Simulation) + Send + 'static) {
    let thread = deep().spawn(|| {
        runtime().block_on(async {
            let simulation = Simulation::new();
            simulation.begin(&InitialState::new().await, None);
            test(&simulation).await;
        });
    });
    thread.unwrap().join().unwrap();
}

async fn assert_nothing_lost(simulation: &Simulation) {
    let left_behind = verdict::check(simulation).await;
    assert!(left_behind.is_empty());
    let violations = &simulation.accounts().violations;
    assert!(violations.is_empty(), "{violations:#?}");
}

/// Returns the bodies in a dead-letter queue.
fn dead(simulation: &Simulation, line: QueueName) -> Vec<String> {
    let cloud = simulation.cloud();
    cloud.queues[&line].dead().map(str::to_owned).collect()
}

fn sockets_of(simulation: &Simulation, device: usize) -> Vec<String> {
    let (cloud, accounts) = (simulation.cloud(), simulation.accounts());
    let sockets = cloud.sockets.iter();
    let of_device =
        sockets.filter(|(_, socket)| accounts.sessions[socket.session].device == device);
    of_device.map(|(id, _)| id.clone()).collect()
}

/// Returns a malformed row of the other account.
fn broken(simulation: &Simulation, name: &str) -> Value {
    let accounts = simulation.accounts();
    let token = &accounts.sessions[accounts.devices[RADIO].session].token;
    let account = Token::parse(token).unwrap().account();
    json!({ "account_id": { "S": account }, name: { "S": "0" } })
}

fn repair(simulation: &Simulation, table: &str, broken: &Value) {
    let delete = json!({ "TableName": table, "Key": broken });
    let cloud = simulation.cloud();
    let answer = cloud.engine.answer("DeleteItem", &delete.to_string());
    assert!(answer.is_success(), "{}", answer.body);
}

#[test]
fn a_push_that_keeps_failing_delays_no_other_and_succeeds_when_it_is_redriven() {
    alone(async |simulation| {
        let broken = broken(simulation, "connection_id");
        simulation.cloud().engine.put(tables::CONNECTIONS, &broken);
        simulation.cloud().inject(QueueName::Push, "no message");
        simulation.sign_out_scope(RADIO, "global").await;
        simulation.sign_out_scope(LAPTOP, "global").await;
        let first_receipt_at = simulation.cloud().clock.now();
        simulation.settle().await;

        let dead_before = dead(simulation, QueueName::Push);
        assert_eq!(dead_before.len(), 2, "one for each message");
        assert_eq!(
            dead_before
                .iter()
                .filter(|body| *body == "no message")
                .count(),
            1
        );
        let radio = sockets_of(simulation, RADIO);
        for (id, socket) in &simulation.cloud().sockets {
            if radio.contains(id) {
                assert_eq!((socket.stage, socket.frames.len()), (Stage::Open, 0));
            } else {
                let pushed_at = socket.frames[0].0;
                assert!(pushed_at.duration_since(first_receipt_at) < QueueName::Push.visibility());
                assert_eq!(socket.stage, Stage::Closed);
            }
        }

        repair(simulation, tables::CONNECTIONS, &broken);
        simulation.cloud().redrive();
        simulation.settle().await;

        assert_eq!(dead(simulation, QueueName::Push), ["no message"]);
        simulation
            .cloud()
            .queues
            .get_mut(&QueueName::Push)
            .unwrap()
            .purge();
        assert_nothing_lost(simulation).await;
    });
}

#[test]
fn a_sweep_that_keeps_failing_delays_no_other_and_succeeds_when_it_is_redriven() {
    alone(async |simulation| {
        let broken = broken(simulation, "device_id");
        let mut row = broken.clone();
        row["signed_in_key"] = json!({ "S": format!("{:020}#0", Epoch::FIRST.0) });
        simulation.cloud().engine.put(tables::DEVICES, &row);
        simulation.sign_out_scope(RADIO, "global").await;
        simulation.sign_out_scope(LAPTOP, "others").await;
        simulation.settle().await;

        assert_eq!(dead(simulation, QueueName::Sweep).len(), 1);
        assert_eq!(
            dead(simulation, QueueName::Push),
            [""; 0],
            "a push needs no sweep"
        );
        let sockets = simulation.cloud().sockets.clone();
        let reached = sockets.values().filter(|socket| !socket.frames.is_empty());
        assert_eq!(reached.count(), 4, "the other account's, too");

        repair(simulation, tables::DEVICES, &broken);
        simulation.cloud().redrive();
        simulation.settle().await;

        assert_nothing_lost(simulation).await;
    });
}

#[test]
fn a_management_api_that_fails_for_a_time_is_retried() {
    alone(async |simulation| {
        for (status, times) in [(429, 1), (500, 1), (429, 4), (500, 4)] {
            simulation.begin(&InitialState::new().await, None);
            let outage = Outage {
                status,
                times: Some(times),
            };
            for socket in sockets_of(simulation, PHONE) {
                simulation.cloud().outages.insert(socket, outage);
            }
            simulation.sign_out_scope(LAPTOP, "global").await;
            simulation.settle().await;
            assert_nothing_lost(simulation).await;
        }
    });
}

#[test]
fn a_socket_that_always_fails_delays_no_other_and_is_reached_when_it_is_redriven() {
    alone(async |simulation| {
        for status in [429, 500] {
            simulation.begin(&InitialState::new().await, None);
            let phone = sockets_of(simulation, PHONE).remove(0);
            let outage = Outage {
                status,
                times: None,
            };
            simulation.cloud().outages.insert(phone.clone(), outage);
            simulation.sign_out_scope(LAPTOP, "others").await;
            let began = simulation.cloud().clock.now();
            simulation.settle().await;

            // One by the event of the account, and one by the event of the session.
            assert_eq!(dead(simulation, QueueName::Push).len(), 2);
            let open = simulation.cloud().sockets.clone().into_iter();
            let open = open.filter(|(_, socket)| socket.stage == Stage::Open);
            let open: Vec<String> = open.map(|(id, _)| id).collect();
            let mut left = [
                sockets_of(simulation, LAPTOP),
                sockets_of(simulation, RADIO),
            ]
            .concat();
            left.push(phone.clone());
            left.sort();
            assert_eq!(open, left, "another socket is still open");
            for socket in simulation.cloud().sockets.values() {
                let ended_at = socket.closed_at.unwrap_or(began);
                assert!(ended_at.duration_since(began) < QueueName::Push.visibility());
            }

            simulation.cloud().outages.clear();
            simulation.cloud().redrive();
            simulation.settle().await;
            assert_nothing_lost(simulation).await;
        }
    });
}

#[test]
fn the_row_of_a_lost_socket_is_deleted_and_its_device_is_not_reached() {
    alone(async |simulation| {
        let phone = sockets_of(simulation, PHONE).remove(0);
        simulation.cloud().lose(&phone);
        simulation.accounts().cut.insert(phone);
        simulation.sign_out_scope(LAPTOP, "global").await;
        simulation.settle().await;
        // The receipt shows it as not reached, and the row was deleted.
        assert_nothing_lost(simulation).await;
    });
}
