//! The socket, and what happens after a sign-out was answered.

use std::sync::atomic::Ordering;

use aws_lambda_events::sqs::SqsEvent;
use curfew_tests::bundle::json_of;
use curfew_tests::cost::Cost;
use curfew_tests::sockets::{by_ticket, by_token, end};
use curfew_tests::template;
use events::Topic;
use jiff::SignedDuration;
use serde_json::json;

use super::{Metered, Named};

/// A ticket, both kinds of handshake, heartbeats and the end of a socket.
pub async fn of_sockets() -> Vec<Named> {
    let mut costs = Vec::new();
    let m = Metered::with_account().await;
    let world = &m.world;
    let phone = world.sign_in(None).await;
    let _tv = world.sign_in(None).await;

    let (cost, reply) = m.used(world.bundle.socket_ticket(&phone.token)).await;
    costs.push(("ticket", cost));
    let ticket = json_of(&reply)["ticket"].as_str().unwrap().to_owned();
    let handshake = by_ticket(&ticket, "page");
    let (cost, _) = m.used(socket::handle(&world.socket, handshake)).await;
    costs.push(("handshake-ticket", cost));
    let handshake = by_token(&phone.token, "phone");
    let (cost, _) = m.used(socket::handle(&world.socket, handshake)).await;
    costs.push(("handshake-token", cost));
    for socket in ["page", "phone"] {
        m.gateway.open(socket);
    }
    costs.push(("heartbeat", m.used(world.heartbeat("phone")).await.0));
    world.clock.advance(SignedDuration::from_mins(5));
    costs.push(("heartbeat-touch", m.used(world.heartbeat("phone")).await.0));
    let (cost, _) = m.used(socket::handle(&world.socket, end("page"))).await;
    costs.push(("socket-end", cost));
    costs
}

/// Pushes to a device with and without a socket, and what the push leads to.
pub async fn of_pushes() -> Vec<Named> {
    let mut costs = Vec::new();
    let m = Metered::with_account().await;
    let world = &m.world;
    let laptop = world.sign_in(None).await;
    let tv = world.sign_in(None).await;
    let off = world.sign_in(None).await;
    world.open(&tv, "tv").await;
    // Long after the handshake.
    world.clock.advance(SignedDuration::from_mins(10));

    let sign_out = world.sign_out_device(&laptop, &off).await;
    let event = world.event_of(&off, sign_out).await;
    costs.push(("push-unconnected", m.used(world.push(&event)).await.0));
    let sign_out = world.sign_out_device(&laptop, &tv).await;
    let event = world.event_of(&tv, sign_out).await;
    costs.push(("push-connected", m.used(world.push(&event)).await.0));
    let acknowledged = m.used(world.acknowledge("tv", sign_out)).await.0;
    costs.push(("push-acknowledged", acknowledged));
    let queued = m.gateway.take_queued();
    costs.push(("push-close", m.used(world.push(&queued[0].body)).await.0));
    costs
}

/// One page of the sweep, on which every device is marked.
pub async fn of_sweep(scope: &str) -> Cost {
    let template = template::read().unwrap();
    let page_size = template["Parameters"]["SweepPageSize"]["Default"].as_i64();
    let page = usize::try_from(page_size.unwrap()).unwrap();
    let m = Metered::with_account().await;
    let caller = m.world.sign_in(None).await;
    for _ in 0..=page {
        m.world.sign_in(None).await;
    }
    let sign_out = m.world.sign_out_all(&caller, scope).await;
    let event = m.world.event_of(&caller, sign_out).await;
    let topic = "arn:aws:sns:eu-central-1:1:events".to_owned();
    let queue = "http://queues.invalid/sweep".to_owned();
    let deps = sweep::Deps {
        store: m.bundle().store.clone(),
        topic: Topic::new(m.clients.sns(), topic),
        queue: sweep::Queue::new(m.clients.sqs(), queue),
        issuer: "https://curfew.example".to_owned(),
        page_size: i32::try_from(page).unwrap(),
        limits: m.bundle().limits,
    };
    let message = json!({ "messageId": "m", "body": event, "messageAttributes": {} });
    let message: SqsEvent = serde_json::from_value(json!({ "Records": [message] })).unwrap();

    let (cost, _) = m.used(sweep::handle(&deps, message)).await;

    let marked = cost.calls.iter().filter(|it| *it == "TransactWriteItems");
    assert_eq!(marked.count(), page, "{cost:?}");
    // `global` is announced as a whole, before the sweep.
    let announced = if scope == "others" { page } else { 0 };
    assert_eq!(m.published.load(Ordering::SeqCst), announced);
    cost
}
