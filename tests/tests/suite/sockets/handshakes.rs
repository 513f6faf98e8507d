//! Handshakes: which callers may open a socket, and how the others are refused.

use curfew_tests::app::TestApp;
use curfew_tests::socket_events::{by_ticket, by_token, disconnect, frame, handshake};
use curfew_tests::tables;
use domain::EntryState;
use jiff::SignedDuration;
use serde_json::json;
use socket::Reply;

const PROTOCOL: &str = "Sec-WebSocket-Protocol";

pub(crate) async fn connect(app: &TestApp, headers: &[(&str, &str)]) -> Reply {
    app.socket_event(handshake("new", headers)).await
}

#[tokio::test]
async fn a_device_opens_a_socket_with_its_token() {
    let app = TestApp::new().await;
    let device = app.sign_in(None).await;

    let reply = app
        .socket_event(by_token(&device.token, "L0SM9cOFvHcCIhw="))
        .await;

    let answer = json!({
        "statusCode": 200, "headers": { "Sec-WebSocket-Protocol": "curfew.v1" },
    });
    assert_eq!(serde_json::to_value(reply).unwrap(), answer);
    let row = &app.aws.rows(tables::CONNECTIONS)[0];
    assert_eq!(row["connection_id"]["S"], "L0SM9cOFvHcCIhw=");
    assert_eq!(row["device_id"]["S"], device.id.to_string());
    assert_eq!(row["session_id"]["S"], device.session.to_string());
    let stored = row.to_string();
    assert!(!stored.contains(&device.token));
}

#[tokio::test]
async fn header_names_are_case_insensitive() {
    let app = TestApp::new().await;
    let device = app.sign_in(None).await;
    let bearer = format!("Bearer {}", device.token);
    for (authorization, protocol) in [
        ("Authorization", "Sec-WebSocket-Protocol"),
        ("authorization", "sec-websocket-protocol"),
        ("AUTHORIZATION", "Sec-Websocket-Protocol"),
    ] {
        let reply = connect(&app, &[(authorization, &bearer), (protocol, "curfew.v1")]).await;
        assert_eq!(reply.status_code, 200, "{authorization}");
        assert_eq!(reply.headers[PROTOCOL], "curfew.v1");
    }
}

#[tokio::test]
async fn a_client_that_offers_no_protocol_is_answered_without_one() {
    let app = TestApp::new().await;
    let device = app.sign_in(None).await;
    let bearer = format!("Bearer {}", device.token);

    let reply = connect(&app, &[("Authorization", &bearer)]).await;

    assert_eq!(
        serde_json::to_value(reply).unwrap(),
        json!({ "statusCode": 200 })
    );
}

#[tokio::test]
async fn protocols_are_offered_in_one_header_or_in_several() {
    let app = TestApp::new().await;
    let device = app.sign_in(None).await;
    let bearer = format!("Bearer {}", device.token);
    let offers: [&[&str]; 5] = [
        &["curfew.v1"],
        &["curfew.v1,other"],
        &["other , curfew.v1"],
        &["other", "curfew.v1"],
        &["curfew.v2, curfew.v1"],
    ];
    for offer in offers {
        let mut headers = vec![("Authorization", &*bearer)];
        headers.extend(offer.iter().map(|offer| (PROTOCOL, *offer)));
        let reply = connect(&app, &headers).await;
        assert_eq!(reply.status_code, 200, "{offer:?}");
        assert_eq!(reply.headers[PROTOCOL], "curfew.v1");
    }
    let reply = connect(&app, &[("Authorization", &bearer), (PROTOCOL, "curfew.v2")]).await;
    assert_eq!(
        reply.status_code, 400,
        "only a protocol that is not supported"
    );
}

#[tokio::test]
async fn a_refused_handshake_is_answered_by_a_bare_status_and_writes_no_row() {
    let app = TestApp::new().await;
    let laptop = app.sign_in(None).await;
    let device = app.sign_in(None).await;
    let dead = app.sign_in(None).await;
    app.sign_out_device(&laptop, &dead).await;
    let ticket = app.ticket(&device).await;
    let bearer = format!("Bearer {}", device.token);
    let dead = format!("Bearer {}", dead.token);
    let offer = format!("curfew.v1, curfew.ticket.{ticket}");
    let ticket_alone = format!("curfew.ticket.{ticket}");
    let two_tickets = format!("curfew.v1, curfew.ticket.{ticket}, curfew.ticket.{ticket}");
    let cookie = format!("__Host-curfew={}", device.token);
    let changed = {
        let (at, last) = bearer.split_at(bearer.len() - 1);
        format!("{at}{}", if last == "A" { "B" } else { "A" })
    };
    let a = "Authorization";
    let two_tokens = format!("{bearer}, {bearer}");
    let cases: [(&[(&str, &str)], u16); 14] = [
        (&[], 401),
        (&[(PROTOCOL, "curfew.v1")], 401),
        (&[("Cookie", &cookie)], 401),
        (&[(a, &device.token)], 400),
        (&[(a, "Bearer cft_")], 401),
        (&[(a, "Basic YTpi")], 400),
        (&[(a, &two_tokens)], 400),
        (&[(a, &changed)], 401),
        (&[(a, &dead)], 401),
        (&[(a, &bearer), (a, &bearer)], 400),
        (&[(a, &bearer), ("authorization", &bearer)], 400),
        (&[(a, &bearer), (PROTOCOL, &offer)], 400),
        (&[(PROTOCOL, &ticket_alone)], 400),
        (&[(PROTOCOL, &two_tickets)], 400),
    ];
    for (headers, status) in cases {
        let reply = connect(&app, headers).await;
        let reply = serde_json::to_value(reply).unwrap();
        assert_eq!(reply, json!({ "statusCode": status }), "{headers:?}");
        assert!(app.aws.rows(tables::CONNECTIONS).is_empty());
    }
    // None of them used the ticket.
    let reply = app.socket_event(by_ticket(&ticket, "page")).await;
    assert_eq!(reply.status_code, 200);
}

#[tokio::test]
async fn a_token_opens_a_socket_from_any_origin() {
    let app = TestApp::new().await;
    let device = app.sign_in(None).await;
    let bearer = format!("Bearer  {}", device.token);
    for origin in [
        "https://sockets.invalid",
        "wss://sockets.invalid",
        "https://evil.example",
        "file://",
        "null",
        "",
    ] {
        let reply = connect(&app, &[("Authorization", &bearer), ("Origin", origin)]).await;
        assert_eq!(reply.status_code, 200, "{origin}");
    }
}

#[tokio::test]
async fn a_handshake_with_a_query_is_refused() {
    let app = TestApp::new().await;
    let device = app.sign_in(None).await;
    for query in [json!({ "token": device.token }), json!({ "anything": "" })] {
        let mut event = serde_json::to_value(by_token(&device.token, "new")).unwrap();
        event["queryStringParameters"] = query;
        let event = serde_json::from_value(event).unwrap();
        let reply = app.socket_event(event).await;
        assert_eq!(reply.status_code, 400);
    }
    assert!(app.aws.rows(tables::CONNECTIONS).is_empty());
}

#[tokio::test]
async fn a_handshake_of_an_ended_session_is_refused_and_is_in_the_receipt_once() {
    for scope in ["device", "others", "global"] {
        let app = TestApp::new().await;
        let laptop = app.sign_in(None).await;
        let device = app.sign_in(None).await;
        let sign_out = app.sign_out(&laptop, &device, scope).await;

        let refused = app.socket_event(by_token(&device.token, "new")).await;

        assert_eq!(refused.status_code, 401);
        let states = app.states(&device, sign_out).await;
        assert_eq!(states[&device.id], EntryState::Seen);
        let once = app.aws.contents(&[tables::RECEIPTS]);
        app.clock.advance(SignedDuration::from_mins(1));
        let again = app.socket_event(by_token(&device.token, "new")).await;
        assert_eq!(again.status_code, 401);
        assert_eq!(app.aws.contents(&[tables::RECEIPTS]), once);
    }
}

#[tokio::test]
async fn a_handshake_of_an_expired_session_is_refused_to_the_second() {
    let app = TestApp::new().await;
    let device = app.sign_in(None).await;
    let idle = app.bundle.limits.idle;
    app.clock.advance(idle - SignedDuration::from_secs(1));
    let reply = app.socket_event(by_token(&device.token, "one")).await;
    assert_eq!(reply.status_code, 200);
    app.clock.advance(SignedDuration::from_secs(1));
    let reply = app.socket_event(by_token(&device.token, "two")).await;
    assert_eq!(reply.status_code, 401);
}

#[tokio::test]
async fn a_handshake_whose_tables_fail_is_answered_500_and_opens_no_socket() {
    for is_made in [false, true] {
        for number in 1..=4 {
            let app = TestApp::new().await;
            let device = app.sign_in(None).await;
            app.aws.fail_call(number, is_made);

            let reply = app.socket_event(by_token(&device.token, "new")).await;

            assert_eq!(reply.status_code, 500, "call {number}");
            // A row whose write lost its answer names a socket that never opened:
            // the next push deletes it.
            let left = app.aws.rows(tables::CONNECTIONS).len();
            assert_eq!(left, usize::from(number == 2 && is_made), "call {number}");
        }
    }
}

#[tokio::test]
async fn a_frame_is_never_taken_for_a_handshake_or_a_disconnect() {
    let app = TestApp::new().await;
    let [device] = app.connected(["one"]).await;
    let bearer = format!("Bearer {}", device.token);
    for kind in ["$connect", "$disconnect", "$default"] {
        let text = json!({ "type": kind }).to_string();
        let mut event = serde_json::to_value(frame("one", &text)).unwrap();
        event["headers"] = json!({ "Authorization": bearer });
        assert_eq!(event["requestContext"]["routeKey"], kind);
        let event = serde_json::from_value(event).unwrap();

        let reply = app.socket_event(event).await;

        assert_eq!(
            serde_json::to_value(reply).unwrap(),
            json!({ "statusCode": 200 })
        );
        assert_eq!(app.aws.rows(tables::CONNECTIONS).len(), 1);
    }
    let refused = app.aws.frames("one");
    assert_eq!(refused.len(), 3);
    assert!(refused.iter().all(|frame| frame["type"] == "problem"));
}

#[tokio::test]
async fn a_device_can_have_several_sockets_and_a_disconnect_ends_one() {
    let app = TestApp::new().await;
    let [device] = app.connected(["one"]).await;
    app.open(&device, "two").await;
    assert_eq!(app.aws.rows(tables::CONNECTIONS).len(), 2);

    let reply = app.socket_event(disconnect("one")).await;
    let again = app.socket_event(disconnect("one")).await;

    assert_eq!((reply.status_code, again.status_code), (200, 200));
    let rows = app.aws.rows(tables::CONNECTIONS);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["connection_id"]["S"], "two");
}

#[tokio::test]
async fn the_row_of_a_socket_expires_an_hour_after_the_gateways_own_limit() {
    let app = TestApp::new().await;
    let _device = app.connected(["one"]).await;
    let row = &app.aws.rows(tables::CONNECTIONS)[0];
    let delete_at: i64 = row["delete_at"]["N"].as_str().unwrap().parse().unwrap();
    let kept = delete_at - app.clock.now().as_second();
    // The gateway ends a socket after two hours. Rounded up to the second.
    assert_eq!(kept, 3 * 60 * 60 + 1);
}
