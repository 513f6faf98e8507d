//! Tickets: each opens one socket, once, for the session that asked for it.

use std::sync::Arc;

use curfew_tests::bundle::{event, json_of};
use curfew_tests::sockets::{Member, ORIGIN, Verdict, World, by_ticket, handshake};
use curfew_tests::tables;
use curfew_tests::wire::Fate;
use http_api::OriginPolicy;
use jiff::SignedDuration;
use serde_json::Value;

async fn ticket(world: &World, member: &Member) -> String {
    let reply = world.bundle.socket_ticket(&member.token).await;
    assert_eq!(reply.status_code, 200);
    json_of(&reply)["ticket"].as_str().unwrap().to_owned()
}

async fn status(world: &World, ticket: &str) -> u16 {
    let event = by_ticket(ticket, "page");
    socket::handle(&world.socket, event).await.status_code
}

#[tokio::test]
async fn a_ticket_opens_one_socket_and_is_answered_by_the_protocol_without_itself() {
    let world = World::new().await;
    let page = world.sign_in(None).await;
    let ticket = ticket(&world, &page).await;

    let reply = socket::handle(&world.socket, by_ticket(&ticket, "page")).await;

    assert_eq!(reply.status_code, 200);
    let headers = serde_json::to_value(&reply).unwrap()["headers"].clone();
    assert_eq!(
        headers,
        serde_json::json!({ "Sec-WebSocket-Protocol": "curfew.v1" })
    );
    let rows = world.gateway.rows(tables::CONNECTIONS);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["session_id"]["S"], page.session.to_string());
    assert_eq!(status(&world, &ticket).await, 401, "once");
}

#[tokio::test]
async fn a_ticket_says_until_when_and_where_it_opens_a_socket_and_is_stored_as_a_hash() {
    let world = World::new().await;
    let page = world.sign_in(None).await;

    let reply = world.bundle.socket_ticket(&page.token).await;

    let body = json_of(&reply);
    assert_eq!(reply.headers["cache-control"], "no-store");
    assert_eq!(body["url"], "wss://sockets.invalid/v1");
    let expires_at: domain::Timestamp = body["expires_at"].as_str().unwrap().parse().unwrap();
    let lasts = expires_at.duration_since(world.clock.now());
    assert_eq!(lasts, SignedDuration::from_secs(30));
    let text = body["ticket"].as_str().unwrap();
    assert!(text.starts_with("cfs_"));
    let rows = world.gateway.rows(tables::SOCKET_TICKETS);
    let stored = serde_json::to_string(&rows).unwrap();
    assert!(!stored.contains(text) && !stored.contains(&text[4..40]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn of_a_hundred_tries_at_once_with_one_ticket_one_opens_a_socket() {
    let world = Arc::new(World::new().await);
    let page = world.sign_in(None).await;
    let ticket = ticket(&world, &page).await;

    let tries: Vec<_> = (0..100)
        .map(|n| {
            let (world, ticket) = (world.clone(), ticket.clone());
            tokio::spawn(async move {
                let event = by_ticket(&ticket, &format!("page-{n}"));
                socket::handle(&world.socket, event).await.status_code
            })
        })
        .collect();
    let mut opened = 0;
    for one in tries {
        match one.await.unwrap() {
            200 => opened += 1,
            status => assert_eq!(status, 401),
        }
    }

    assert_eq!(opened, 1);
    assert_eq!(world.gateway.rows(tables::CONNECTIONS).len(), 1);
}

#[tokio::test]
async fn a_ticket_opens_nothing_from_its_thirtieth_second_on() {
    for (age, expected) in [(29_999, 200), (30_000, 401), (30_001, 401)] {
        let world = World::new().await;
        let page = world.sign_in(None).await;
        let ticket = ticket(&world, &page).await;
        world.clock.advance(SignedDuration::from_millis(age));
        assert_eq!(status(&world, &ticket).await, expected, "{age} ms");
    }
}

#[tokio::test]
async fn a_ticket_belongs_to_the_session_that_asked() {
    let world = World::new().await;
    let page = world.sign_in(None).await;
    let before = ticket(&world, &page).await;
    let again = world.sign_in(Some(&page.key)).await;
    assert_eq!(again.device, page.device);

    assert_eq!(status(&world, &before).await, 401, "of the session before");
    let now = ticket(&world, &again).await;
    assert_eq!(status(&world, &now).await, 200);
}

#[tokio::test]
async fn a_ticket_of_a_session_that_was_ended_opens_nothing_and_the_receipt_has_the_contact() {
    for scope in ["device", "global"] {
        let world = World::new().await;
        let laptop = world.sign_in(None).await;
        let page = world.sign_in(None).await;
        let ticket = ticket(&world, &page).await;
        let sign_out = match scope {
            "device" => world.sign_out_device(&laptop, &page).await,
            _ => world.sign_out_all(&laptop, scope).await,
        };

        assert_eq!(status(&world, &ticket).await, 401);

        let states = world.states(&page, sign_out).await;
        assert_eq!(states[&page.device], domain::EntryState::Contacted);
        assert!(world.gateway.rows(tables::CONNECTIONS).is_empty());
    }
}

#[tokio::test]
async fn only_a_valid_session_gets_a_ticket() {
    let world = World::new().await;
    let laptop = world.sign_in(None).await;
    let page = world.sign_in(None).await;
    world.sign_out_device(&laptop, &page).await;

    let refused = world.bundle.socket_ticket(&page.token).await;

    assert_eq!(refused.status_code, 401);
    let kind = &json_of(&refused)["type"];
    assert_eq!(kind, "urn:curfew:problem:session-signed-out");
    assert!(world.gateway.rows(tables::SOCKET_TICKETS).is_empty());
}

#[tokio::test]
async fn a_page_gets_a_ticket_by_its_cookie_from_an_allowed_origin_alone() {
    let mut world = World::new().await;
    world.bundle.socket_tickets.origin_policy = OriginPolicy::new(Some(ORIGIN), None);
    let page = world.sign_in(None).await;
    let ask = async |origin: Option<&str>| {
        let mut event = event("POST", "/v1/socket-tickets", None, None);
        let cookie = format!("__Host-curfew={}", page.token);
        event.headers.insert("cookie", cookie.parse().unwrap());
        if let Some(origin) = origin {
            event.headers.insert("origin", origin.parse().unwrap());
        }
        let reply = socket_tickets::handle(&world.bundle.socket_tickets, event).await;
        reply.status_code
    };

    assert_eq!(ask(Some(ORIGIN)).await, 200);
    assert_eq!(ask(Some("https://evil.example")).await, 400);
    assert_eq!(ask(None).await, 400);
    assert_eq!(world.gateway.rows(tables::SOCKET_TICKETS).len(), 1);
}

#[tokio::test]
async fn a_ticket_is_asked_for_without_a_body() {
    let world = World::new().await;
    let page = world.sign_in(None).await;
    let body: Value = serde_json::json!({ "device": "another" });
    let asked = event("POST", "/v1/socket-tickets", Some(&page.token), Some(&body));
    let reply = socket_tickets::handle(&world.bundle.socket_tickets, asked).await;
    assert_eq!(reply.status_code, 400);
    assert_eq!(json_of(&reply)["field"], "device");
}

#[tokio::test]
async fn a_ticket_that_was_not_written_is_not_given() {
    let world = World::new().await;
    let page = world.sign_in(None).await;
    world.gateway.judge(|call| match call.operation.as_str() {
        "PutItem" => Verdict::Instead(Fate::Broken),
        _ => Verdict::Made,
    });
    let reply = world.bundle.socket_ticket(&page.token).await;
    assert_eq!(reply.status_code, 503);
}

#[tokio::test]
async fn a_ticket_that_is_malformed_or_unknown_opens_nothing() {
    let world = World::new().await;
    let page = world.sign_in(None).await;
    let ticket = ticket(&world, &page).await;
    let unknown = domain::SocketTicket::new([7; 32]).to_text();
    for wrong in [
        "",
        "cfs_",
        &ticket[..52],
        &ticket.to_uppercase(),
        &unknown,
        &page.token,
    ] {
        assert_eq!(status(&world, wrong).await, 401, "{wrong}");
    }
    let doubled = format!("curfew.ticket.{ticket}");
    let headers = [
        ("Sec-WebSocket-Protocol", "curfew.v1"),
        ("Sec-WebSocket-Protocol", &*doubled),
        ("Sec-WebSocket-Protocol", &*doubled),
    ];
    let twice = socket::handle(&world.socket, handshake("page", &headers)).await;
    assert_eq!(twice.status_code, 400);
    assert_eq!(status(&world, &ticket).await, 200, "it was not used up");
}
