//! Pushes to many sockets.

use std::collections::BTreeMap;

use curfew_tests::account::TestDevice;
use curfew_tests::app::TestApp;
use curfew_tests::fake_aws::Intercept;
use domain::{EntryState, SignOutId};
use jiff::SignedDuration;

use super::rows;

/// Signs out as many others of a laptop, each with an open socket. Returns the
/// message about it.
async fn crowd(
    devices: usize,
) -> (
    TestApp,
    TestDevice,
    Vec<(TestDevice, String)>,
    SignOutId,
    String,
) {
    let app = TestApp::new().await;
    let laptop = app.sign_in(None).await;
    let mut sockets = Vec::new();
    for n in 0..devices {
        let device = app.sign_in(None).await;
        let socket = format!("socket-{n}");
        app.open(&device, &socket).await;
        sockets.push((device, socket));
    }
    let sign_out = app.sign_out_scope(&laptop, "others").await;
    let body = app.event_of(laptop.account, sign_out).await;
    (app, laptop, sockets, sign_out, body)
}

#[tokio::test]
async fn a_push_costs_one_call_per_socket_and_one_mark_per_device() {
    let (app, _, sockets, _, body) = Box::pin(crowd(150)).await;
    let before = (
        app.background().push.table_calls.made(),
        app.background().push.push_calls.made(),
    );
    app.aws.clear_calls();

    app.push(&body).await;

    let mut calls: BTreeMap<String, usize> = BTreeMap::new();
    for call in app.aws.take_operations() {
        *calls.entry(call).or_default() += 1;
    }
    let expected = [
        ("BatchGetItem", 3),
        ("PostToConnection", 150),
        ("Query", 1),
        ("SendMessage", 1),
        ("UpdateItem", 150),
    ];
    assert_eq!(calls, expected.map(|(call, n)| (call.to_owned(), n)).into());
    assert_eq!(app.background().push.table_calls.made() - before.0, 154);
    assert_eq!(app.background().push.push_calls.made() - before.1, 150);
    let mut sockets = sockets.iter();
    assert!(sockets.all(|(_, socket)| app.aws.frames(socket).len() == 1));
}

#[tokio::test]
async fn more_sockets_than_fit_in_one_message_are_all_closed() {
    let app = TestApp::new().await;
    let laptop = app.sign_in(None).await;
    let device = app.sign_in(None).await;
    // More than the cap of a device, as many devices could have.
    for n in 0..501 {
        let row = app.socket_row(&device, &format!("socket-{n}")).await;
        app.bundle.store.connect(&row).await.unwrap();
        app.aws.open(row.id.as_str());
    }
    let sign_out = app.sign_out_device(&laptop, &device).await;

    app.push(&app.event_of(device.account, sign_out).await)
        .await;
    let queued = app.aws.take_queued();
    assert_eq!(queued.len(), 2);
    for message in queued {
        assert!(message.body.len() < 256 * 1024);
        app.push(&message.body).await;
    }

    assert!(rows(&app).is_empty());
    assert_eq!(app.aws.closed().len(), 501);
}

#[tokio::test]
async fn sockets_that_were_reached_before_the_deadline_are_not_pushed_to_again() {
    let (app, laptop, sockets, sign_out, body) = Box::pin(crowd(150)).await;
    // The deadline passes with the hundredth frame.
    let (clock, mut posts) = (app.clock.clone(), 0);
    app.aws.intercept(move |call| {
        if call.operation == "PostToConnection" {
            posts += 1;
            if posts == 100 {
                clock.advance(SignedDuration::from_secs(21));
            }
        }
        Intercept::Make
    });

    assert_eq!(app.deliver(&[&body]).await, [0], "the rest is retried");

    let states = app.states(&laptop, sign_out).await;
    let mut reached = 0;
    for (device, socket) in &sockets {
        let is_revoked = !app.aws.frames(socket).is_empty();
        let state = &states[&device.id];
        assert_eq!(
            *state == EntryState::Notified,
            is_revoked,
            "{socket}: {state:?}"
        );
        reached += usize::from(is_revoked);
    }
    assert!((100..150).contains(&reached), "{reached}");
    let queued = app.aws.take_queued();
    assert!(queued.iter().all(|queued| queued.delay_s == 5));
    for message in queued {
        app.push(&message.body).await;
    }
    assert_eq!(app.aws.closed().len(), reached);

    app.aws.restore();
    app.push(&body).await;
    app.drain().await;
    assert_eq!(app.aws.all_frames().len(), 150, "each once");
    assert!(rows(&app).is_empty());
}
