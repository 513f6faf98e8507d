//! Tickets for sockets of pages: each ticket opens one socket, once, for the session
//! that asked for it.

use std::sync::Arc;

use curfew_tests::app::TestApp;
use curfew_tests::bundle::{ORIGIN, SOCKET_URL, json_of, problem_of, ticket_event};
use curfew_tests::socket_events::{by_ticket, handshake};
use curfew_tests::tables;
use curfew_tests::wire::CallResult;
use domain::limits::TICKETS_PER_SESSION;
use domain::{SocketTicket, Timestamp};
use jiff::SignedDuration;
use serde_json::Value;
use store::Ticket;

async fn status(app: &TestApp, ticket: &str) -> u16 {
    app.socket_event(by_ticket(ticket, "page"))
        .await
        .status_code
}

#[tokio::test]
async fn a_ticket_opens_one_socket_and_the_answer_does_not_repeat_it() {
    let app = TestApp::new().await;
    let page = app.sign_in(None).await;
    let ticket = app.ticket(&page).await;

    let reply = app.socket_event(by_ticket(&ticket, "page")).await;

    assert_eq!(reply.status_code, 200);
    let headers = serde_json::to_value(&reply).unwrap()["headers"].clone();
    assert_eq!(
        headers,
        serde_json::json!({ "Sec-WebSocket-Protocol": "curfew.v1" })
    );
    let rows = app.aws.rows(tables::CONNECTIONS);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["session_id"]["S"], page.session.to_string());
    assert_eq!(status(&app, &ticket).await, 401, "a second use");
}

#[tokio::test]
async fn a_ticket_has_an_expiry_and_a_url_and_is_stored_as_a_hash() {
    let app = TestApp::new().await;
    let page = app.sign_in(None).await;

    let reply = app.bundle.socket_ticket(&page.token).await;

    let body = json_of(&reply);
    assert_eq!(reply.headers["cache-control"], "no-store");
    assert_eq!(body["url"], SOCKET_URL);
    let expires_at: Timestamp = body["expires_at"].as_str().unwrap().parse().unwrap();
    let lasts = expires_at.duration_since(app.clock.now());
    assert_eq!(lasts, SignedDuration::from_secs(30));
    let text = body["ticket"].as_str().unwrap();
    assert!(text.starts_with("cfs_"));
    let rows = app.aws.rows(tables::TICKETS);
    let stored = serde_json::to_string(&rows).unwrap();
    assert!(!stored.contains(text) && !stored.contains(&text[4..40]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn of_a_hundred_concurrent_handshakes_with_one_ticket_one_succeeds() {
    let app = Arc::new(TestApp::new().await);
    let page = app.sign_in(None).await;
    let ticket = app.ticket(&page).await;

    let handshakes: Vec<_> = (0..100)
        .map(|n| {
            let (app, ticket) = (app.clone(), ticket.clone());
            tokio::spawn(async move {
                let event = by_ticket(&ticket, &format!("page-{n}"));
                app.socket_event(event).await.status_code
            })
        })
        .collect();
    let mut opened = 0;
    for one in handshakes {
        match one.await.unwrap() {
            200 => opened += 1,
            status => assert_eq!(status, 401),
        }
    }

    assert_eq!(opened, 1);
    assert_eq!(app.aws.rows(tables::CONNECTIONS).len(), 1);
}

#[tokio::test]
async fn a_ticket_expires_after_thirty_seconds() {
    for (age, expected) in [(29_999, 200), (30_000, 401), (30_001, 401)] {
        let app = TestApp::new().await;
        let page = app.sign_in(None).await;
        let ticket = app.ticket(&page).await;
        app.clock.advance(SignedDuration::from_millis(age));
        assert_eq!(status(&app, &ticket).await, expected, "{age} ms");
    }
}

#[tokio::test]
async fn a_ticket_belongs_to_the_session_that_asked_for_it() {
    let app = TestApp::new().await;
    let page = app.sign_in(None).await;
    let before = app.ticket(&page).await;
    let again = app.sign_in(Some(&page.key)).await;
    assert_eq!(again.id, page.id);

    assert_eq!(status(&app, &before).await, 401, "of the replaced session");
    let now = app.ticket(&again).await;
    assert_eq!(status(&app, &now).await, 200);
}

#[tokio::test]
async fn a_ticket_of_an_ended_session_is_refused_and_the_receipt_has_the_contact() {
    for scope in ["device", "global"] {
        let app = TestApp::new().await;
        let laptop = app.sign_in(None).await;
        let page = app.sign_in(None).await;
        let ticket = app.ticket(&page).await;
        let sign_out = app.sign_out(&laptop, &page, scope).await;

        assert_eq!(status(&app, &ticket).await, 401);

        let states = app.states(&page, sign_out).await;
        assert_eq!(states[&page.id], domain::EntryState::Seen);
        assert!(app.aws.rows(tables::CONNECTIONS).is_empty());
    }
}

#[tokio::test]
async fn only_a_valid_session_gets_a_ticket() {
    let app = TestApp::new().await;
    let laptop = app.sign_in(None).await;
    let page = app.sign_in(None).await;
    app.sign_out_device(&laptop, &page).await;

    let refused = app.bundle.socket_ticket(&page.token).await;

    let expected = (401, "session-signed-out".to_owned());
    assert_eq!(problem_of(&refused), expected);
    assert!(app.aws.rows(tables::TICKETS).is_empty());
}

#[tokio::test]
async fn a_page_gets_a_ticket_by_its_cookie_only_from_an_allowed_origin() {
    let app = TestApp::new().await;
    let page = app.sign_in(None).await;
    let ask = async |origin: Option<&str>| {
        let mut event = ticket_event(None, None);
        let cookie = format!("__Host-curfew={}", page.token);
        event.headers.insert("cookie", cookie.parse().unwrap());
        if let Some(origin) = origin {
            event.headers.insert("origin", origin.parse().unwrap());
        }
        app.bundle.send(event).await.status_code
    };

    assert_eq!(ask(Some(ORIGIN)).await, 200);
    assert_eq!(ask(Some("https://evil.example")).await, 400);
    assert_eq!(ask(None).await, 400);
    assert_eq!(app.aws.rows(tables::TICKETS).len(), 1);
}

#[tokio::test]
async fn a_ticket_opens_a_socket_only_from_the_origin_that_requested_it() {
    let app = TestApp::new().await;
    let page = app.sign_in(None).await;
    let evil = "https://evil.example";
    let cases: [(Option<&str>, &[&str], u16); 8] = [
        (Some(ORIGIN), &[ORIGIN], 200),
        (Some(ORIGIN), &[evil], 403),
        (Some(ORIGIN), &["null"], 403),
        (Some(ORIGIN), &[], 403),
        (Some(ORIGIN), &[ORIGIN, evil], 403),
        (None, &["https://sockets.invalid"], 200),
        (None, &["null"], 200),
        (None, &[], 200),
    ];
    for (requested_from, opened_from, status) in cases {
        let mut request = ticket_event(Some(&page.token), None);
        if let Some(origin) = requested_from {
            request.headers.insert("origin", origin.parse().unwrap());
        }
        let reply = app.bundle.send(request).await;
        let ticket = json_of(&reply)["ticket"].as_str().unwrap().to_owned();
        let offer = format!("curfew.v1, curfew.ticket.{ticket}");
        let origins = opened_from.iter().map(|origin| ("Origin", *origin));
        let headers: Vec<_> = origins
            .chain([("Sec-WebSocket-Protocol", &*offer)])
            .collect();

        let reply = app.socket_event(handshake("page", &headers)).await;

        assert_eq!(
            reply.status_code, status,
            "{requested_from:?} {opened_from:?}"
        );
    }
}

#[tokio::test]
async fn a_ticket_request_with_a_body_is_refused() {
    let app = TestApp::new().await;
    let page = app.sign_in(None).await;
    let body: Value = serde_json::json!({ "device": "another" });
    let event = ticket_event(Some(&page.token), Some(&body));
    let reply = app.bundle.send(event).await;
    assert_eq!(reply.status_code, 400);
    assert_eq!(json_of(&reply)["field"], "device");
}

#[tokio::test]
async fn a_ticket_that_could_not_be_written_is_not_returned() {
    let app = TestApp::new().await;
    let page = app.sign_in(None).await;
    app.aws.fail("PutItem", || CallResult::Broken);
    let reply = app.bundle.socket_ticket(&page.token).await;
    assert_eq!(reply.status_code, 503);
}

#[tokio::test]
async fn a_malformed_or_unknown_ticket_is_refused() {
    let app = TestApp::new().await;
    let page = app.sign_in(None).await;
    let ticket = app.ticket(&page).await;
    let unknown = SocketTicket::new(page.session, [7; 32]).to_text();
    for wrong in [
        "",
        "cfs_",
        &ticket[..73],
        &ticket.to_uppercase(),
        &unknown,
        &page.token,
    ] {
        assert_eq!(status(&app, wrong).await, 401, "{wrong}");
    }
    let doubled = format!("curfew.ticket.{ticket}");
    let headers = [
        ("Sec-WebSocket-Protocol", "curfew.v1"),
        ("Sec-WebSocket-Protocol", &*doubled),
        ("Sec-WebSocket-Protocol", &*doubled),
    ];
    let twice = app.socket_event(handshake("page", &headers)).await;
    assert_eq!(twice.status_code, 400);
    assert_eq!(
        status(&app, &ticket).await,
        200,
        "the ticket is still unused"
    );
}

#[tokio::test]
async fn the_oldest_unused_ticket_of_a_session_gives_way_to_a_new_one() {
    let (app, [page, other]) = TestApp::with_devices().await;
    let of_other = app.ticket(&other).await;
    let mut tickets = Vec::new();
    for _ in 0..=TICKETS_PER_SESSION {
        app.advance(SignedDuration::from_millis(1));
        tickets.push(app.ticket(&page).await);
    }

    assert_eq!(app.aws.rows(tables::TICKETS).len(), TICKETS_PER_SESSION + 1);
    assert_eq!(status(&app, &tickets[0]).await, 401, "the oldest");
    for ticket in &tickets[1..] {
        assert_eq!(status(&app, ticket).await, 200);
    }
    assert_eq!(status(&app, &of_other).await, 200, "of another session");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn concurrent_requests_leave_no_more_tickets_than_the_cap() {
    let app = Arc::new(TestApp::new().await);
    let page = Arc::new(app.sign_in(None).await);

    let requests: Vec<_> = (0..24)
        .map(|_| {
            let (app, page) = (app.clone(), page.clone());
            tokio::spawn(async move { app.ticket(&page).await })
        })
        .collect();
    for request in requests {
        request.await.unwrap();
    }

    assert_eq!(app.aws.rows(tables::TICKETS).len(), TICKETS_PER_SESSION);
}

#[tokio::test]
async fn a_request_for_a_ticket_deletes_at_most_eight() {
    let app = TestApp::new().await;
    let page = app.sign_in(None).await;
    for n in 0..100 {
        let row = Ticket {
            account: page.account,
            device: page.id,
            session: page.session,
            origin: None,
            expires_at: app.clock.now(),
        };
        let hash = SocketTicket::new(page.session, [n; 32]).hash();
        app.bundle.store.put_ticket(&hash, &row).await.unwrap();
    }
    app.aws.clear_calls();

    let newest = app.ticket(&page).await;

    let deletes = app.aws.operations();
    let deletes = deletes.iter().filter(|it| *it == "DeleteItem").count();
    assert_eq!(deletes, 8);
    assert_eq!(status(&app, &newest).await, 200);
}
