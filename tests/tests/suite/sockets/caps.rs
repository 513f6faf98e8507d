//! The caps of open sockets: the oldest give way, and no device can close those of
//! another before its own.

use std::collections::BTreeSet;
use std::sync::Arc;

use curfew_tests::account::TestDevice;
use curfew_tests::app::{Boxed, TestApp};
use curfew_tests::fake_aws::Intercept;
use curfew_tests::socket_events::by_token;
use curfew_tests::tables::CONNECTIONS;
use curfew_tests::wire::CallResult;
use domain::DeviceId;
use domain::limits::{SOCKETS_PER_DEVICE, SOCKETS_PER_GROUP};
use jiff::SignedDuration;

/// Opens a socket of another device in the group of `device`, a moment later.
async fn open_beside(app: &TestApp, device: &TestDevice, other: u8, socket: &str) {
    app.advance(SignedDuration::from_millis(1));
    let mut row = app.socket_row(device, socket).await;
    let mut id = *device.id.as_bytes();
    id[10] = id[10].wrapping_add(other);
    row.session.device = DeviceId::from_bytes(id).unwrap();
    app.bundle.store.connect(&row).await.unwrap();
    app.aws.open(socket);
}

/// Opens numbered sockets of a device, each a moment after the one before.
fn open_many<'a>(app: &'a TestApp, device: &'a TestDevice, count: usize) -> Boxed<'a, ()> {
    Box::pin(async move {
        for n in 0..count {
            app.advance(SignedDuration::from_millis(1));
            app.open(device, &format!("own-{n}")).await;
        }
    })
}

fn sockets_with_rows(app: &TestApp) -> BTreeSet<String> {
    let rows = app.aws.rows(CONNECTIONS).into_iter();
    rows.map(|row| row["connection_id"]["S"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn the_oldest_socket_of_a_device_gives_way_to_a_new_one() {
    let app = TestApp::new().await;
    let device = app.sign_in(None).await;

    open_many(&app, &device, SOCKETS_PER_DEVICE + 2).await;

    assert_eq!(app.aws.closed(), ["own-0", "own-1"]);
    let left = sockets_with_rows(&app);
    assert_eq!(left.len(), SOCKETS_PER_DEVICE);
    assert!(!left.contains("own-0") && !left.contains("own-1"));
    assert_eq!(app.aws.all_frames(), [], "no frame");
}

#[tokio::test]
async fn a_device_in_the_same_group_keeps_its_socket_however_many_another_one_opens() {
    let app = TestApp::new().await;
    let thief = app.sign_in(None).await;
    open_beside(&app, &thief, 1, "tv").await;
    for n in 0..SOCKETS_PER_DEVICE {
        open_beside(&app, &thief, 2, &format!("page-{n}")).await;
    }

    open_many(&app, &thief, 3 * SOCKETS_PER_DEVICE).await;

    assert!(app.aws.is_open("tv"));
    let left = sockets_with_rows(&app);
    assert_eq!(left.len(), SOCKETS_PER_GROUP);
    let pages = left.iter().filter(|it| it.starts_with("page-")).count();
    assert_eq!(pages, SOCKETS_PER_DEVICE - 1, "the other device with many");
}

#[tokio::test]
async fn a_new_device_takes_the_place_of_the_oldest_in_a_full_group() {
    let app = TestApp::new().await;
    let device = app.sign_in(None).await;
    for other in 1..=SOCKETS_PER_GROUP {
        let other = u8::try_from(other).unwrap();
        open_beside(&app, &device, other, &format!("other-{other}")).await;
    }

    open_many(&app, &device, 1).await;

    assert_eq!(app.aws.closed(), ["other-1"]);
    assert_eq!(sockets_with_rows(&app).len(), SOCKETS_PER_GROUP);
}

#[tokio::test]
async fn sockets_of_other_groups_and_accounts_are_left_alone() {
    let app = TestApp::new().await;
    let device = app.sign_in(None).await;
    let [stranger] = app.other_account().await;
    app.open(&stranger, "stranger").await;
    let mut elsewhere = app.socket_row(&device, "elsewhere").await;
    let mut id = *device.id.as_bytes();
    id[15] = id[15].wrapping_add(1);
    elsewhere.session.device = DeviceId::from_bytes(id).unwrap();
    app.bundle.store.connect(&elsewhere).await.unwrap();

    open_many(&app, &device, 3 * SOCKETS_PER_DEVICE).await;

    let left = sockets_with_rows(&app);
    assert_eq!(left.len(), SOCKETS_PER_DEVICE + 2);
    assert!(left.contains("stranger") && left.contains("elsewhere"));
}

#[tokio::test]
async fn a_handshake_that_newer_ones_have_overtaken_is_refused_and_closes_nothing() {
    let app = TestApp::new().await;
    let device = app.sign_in(None).await;
    app.advance(SignedDuration::from_secs(60));
    let mut newer = Vec::new();
    for n in 0..SOCKETS_PER_DEVICE {
        app.bundle
            .store
            .connect(&app.socket_row(&device, &format!("newer-{n}")).await)
            .await
            .unwrap();
        newer.extend(app.aws.rows(CONNECTIONS));
        let key = serde_json::json!({
            "account_id": newer[n]["account_id"], "connection_id": newer[n]["connection_id"],
        });
        app.aws.engine.delete(CONNECTIONS, &key);
    }
    app.advance(SignedDuration::from_millis(-1));
    let aws = app.aws.clone();
    app.aws.intercept(move |call| {
        // They write their rows between this one's write and its read.
        if call.operation == "Query" {
            for row in newer.drain(..) {
                aws.engine.put(CONNECTIONS, &row);
            }
        }
        Intercept::Make
    });

    let reply = app.socket_event(by_token(&device.token, "late")).await;

    assert_eq!(reply.status_code, 429);
    let left = sockets_with_rows(&app);
    assert_eq!(left.len(), SOCKETS_PER_DEVICE);
    assert!(!left.contains("late"));
    assert!(
        !app.aws
            .operations()
            .iter()
            .any(|it| it == "DeleteConnection")
    );
}

#[tokio::test]
async fn a_socket_whose_handshake_may_be_in_progress_keeps_its_row() {
    let app = TestApp::new().await;
    let device = app.sign_in(None).await;
    open_many(&app, &device, SOCKETS_PER_DEVICE).await;
    app.aws.lose("own-0");
    app.advance(SignedDuration::from_secs(20));
    app.open(&device, "after-20").await;
    assert!(sockets_with_rows(&app).contains("own-0"), "may still open");

    app.advance(SignedDuration::from_secs(10));
    app.open(&device, "after-30").await;
    assert!(!sockets_with_rows(&app).contains("own-0"));
    assert_eq!(sockets_with_rows(&app).len(), SOCKETS_PER_DEVICE);
}

#[tokio::test]
async fn a_socket_that_could_not_be_closed_is_closed_by_the_next_handshake() {
    let app = TestApp::new().await;
    let device = app.sign_in(None).await;
    open_many(&app, &device, SOCKETS_PER_DEVICE).await;
    app.aws.fail("DeleteConnection", || CallResult::Broken);
    app.open(&device, "one").await;
    assert!(app.aws.is_open("own-0"));
    assert!(sockets_with_rows(&app).contains("own-0"));
    app.aws.restore();

    app.advance(SignedDuration::from_millis(1));
    app.open(&device, "two").await;

    assert!(!app.aws.is_open("own-0") && !app.aws.is_open("own-1"));
    assert_eq!(sockets_with_rows(&app).len(), SOCKETS_PER_DEVICE);
}

#[tokio::test]
async fn an_ended_session_closes_no_socket() {
    let (app, [laptop, tv]) = TestApp::with_devices().await;
    open_many(&app, &tv, SOCKETS_PER_DEVICE).await;
    app.sign_out_device(&laptop, &tv).await;

    let reply = app.socket_event(by_token(&tv.token, "new")).await;

    assert_eq!(reply.status_code, 401);
    assert_eq!(app.aws.closed(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn after_concurrent_handshakes_the_next_one_leaves_no_more_than_the_cap() {
    let app = Arc::new(TestApp::new().await);
    let device = Arc::new(app.sign_in(None).await);
    let handshakes: Vec<_> = (0..30)
        .map(|n| {
            let (app, device) = (app.clone(), device.clone());
            tokio::spawn(async move {
                let socket = format!("burst-{n}");
                let reply = app.socket_event(by_token(&device.token, &socket)).await;
                if reply.status_code == 200 {
                    app.aws.open(&socket);
                }
                reply.status_code
            })
        })
        .collect();
    for handshake in handshakes {
        assert!([200, 429].contains(&handshake.await.unwrap()));
    }

    app.advance(SignedDuration::from_millis(1));
    app.open(&device, "next").await;

    assert_eq!(sockets_with_rows(&app).len(), SOCKETS_PER_DEVICE);
    let open = (0..30).filter(|n| app.aws.is_open(&format!("burst-{n}")));
    assert_eq!(open.count(), SOCKETS_PER_DEVICE - 1);
}
