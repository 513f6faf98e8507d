//! The socket, and what happens after a sign-out was answered.

use std::sync::atomic::Ordering;

use curfew_tests::account::TestDevice;
use curfew_tests::background::Background;
use curfew_tests::bundle::json_of;
use curfew_tests::cost::Cost;
use curfew_tests::delivery::queue_event;
use curfew_tests::metered::Metered;
use curfew_tests::socket_events::{by_ticket, by_token, disconnect};
use curfew_tests::template;
use domain::limits::{SOCKETS_PER_DEVICE, TICKETS_PER_SESSION};
use jiff::SignedDuration;

use super::Named;

/// A ticket, both kinds of handshake, heartbeats and the end of a socket.
pub async fn of_sockets() -> Vec<Named> {
    let mut costs = Vec::new();
    let m = Metered::with_account().await;
    let app = &m.app;
    let phone = app.sign_in(None).await;
    let _tv = app.sign_in(None).await;

    let (cost, reply) = m.used(app.bundle.socket_ticket(&phone.token)).await;
    costs.push(("ticket", cost));
    let ticket = json_of(&reply)["ticket"].as_str().unwrap().to_owned();
    let handshake = by_ticket(&ticket, "page");
    let (cost, _) = m.used(app.socket_event(handshake)).await;
    costs.push(("handshake-ticket", cost));
    let handshake = by_token(&phone.token, "phone");
    let (cost, _) = m.used(app.socket_event(handshake)).await;
    costs.push(("handshake-token", cost));
    for socket in ["page", "phone"] {
        m.aws.open(socket);
    }
    costs.push(("heartbeat", m.used(app.heartbeat("phone")).await.0));
    app.clock.advance(SignedDuration::from_mins(5));
    costs.push(("heartbeat-touch", m.used(app.heartbeat("phone")).await.0));
    let (cost, _) = m.used(app.socket_event(disconnect("page"))).await;
    costs.push(("socket-end", cost));
    costs.extend(Box::pin(of_caps(&m, &phone)).await);
    costs
}

/// A ticket and a handshake where as many others exist as may: the oldest gives way.
async fn of_caps(m: &Metered, phone: &TestDevice) -> Vec<Named> {
    let app = &m.app;
    for _ in 0..TICKETS_PER_SESSION {
        app.ticket(phone).await;
    }
    let (ticket, _) = m.used(app.bundle.socket_ticket(&phone.token)).await;
    for n in 0..SOCKETS_PER_DEVICE {
        app.advance(SignedDuration::from_millis(1));
        app.open(phone, &format!("L0SM9cOFvHcCI{n:02}=")).await;
    }
    app.advance(SignedDuration::from_millis(1));
    let handshake = by_token(&phone.token, "L0SM9cOFvHcCIhw=");
    let (handshake, _) = m.used(app.socket_event(handshake)).await;
    vec![("ticket-capped", ticket), ("handshake-capped", handshake)]
}

/// Pushes to a device with and without a socket, and what the push leads to.
pub async fn of_pushes() -> Vec<Named> {
    let mut costs = Vec::new();
    let m = Metered::with_account().await;
    let app = &m.app;
    let laptop = app.sign_in(None).await;
    let tv = app.sign_in(None).await;
    let off = app.sign_in(None).await;
    Box::pin(app.open(&tv, "tv")).await;
    // Long after the handshake.
    app.clock.advance(SignedDuration::from_mins(10));

    let laptop = app.verify(&laptop).await;
    let sign_out = app.sign_out_device(&laptop, &off).await;
    let event = app.event_of(off.account, sign_out).await;
    costs.push(("push-unconnected", m.used(app.push(&event)).await.0));
    let sign_out = app.sign_out_device(&laptop, &tv).await;
    let event = app.event_of(tv.account, sign_out).await;
    costs.push(("push-connected", m.used(app.push(&event)).await.0));
    let acknowledged = m.used(app.acknowledge("tv", sign_out)).await.0;
    costs.push(("push-acknowledged", acknowledged));
    let queued = m.aws.take_queued();
    costs.push(("push-close", m.used(app.push(&queued[0].body)).await.0));
    costs
}

/// One page of the sweep, on which every device is marked.
pub async fn of_sweep(scope: &str) -> Cost {
    let template = template::read().unwrap();
    let page_size = template["Parameters"]["SweepPageSize"]["Default"].as_i64();
    let page = usize::try_from(page_size.unwrap()).unwrap();
    let m = Metered::with_account().await;
    let caller = m.app.sign_in(None).await;
    for _ in 0..=page {
        m.app.sign_in(None).await;
    }
    let sign_out = m.app.sign_out_scope(&caller, scope).await;
    let event = m.app.event_of(caller.account, sign_out).await;
    let mut deps = Background::new(&m.clients, m.bundle()).sweep;
    deps.page_size = i32::try_from(page).unwrap();

    let (cost, _) = m.used(sweep::handle(&deps, queue_event(&[&event]))).await;

    let marked = cost.calls.iter().filter(|it| *it == "TransactWriteItems");
    assert_eq!(marked.count(), page, "{cost:?}");
    // `global` is announced as a whole, before the sweep.
    let announced = if scope == "others" { page } else { 0 };
    assert_eq!(m.published.load(Ordering::SeqCst), announced);
    cost
}
