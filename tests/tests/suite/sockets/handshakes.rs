//! Handshakes: who may open a socket, and how everybody else is refused.

use curfew_tests::bundle::json_of;
use curfew_tests::sockets::{ORIGIN, Verdict, World, by_ticket, by_token, end, frame, handshake};
use curfew_tests::tables;
use curfew_tests::wire::Fate;
use domain::EntryState;
use jiff::SignedDuration;
use serde_json::json;
use socket::Reply;

const PROTOCOL: &str = "Sec-WebSocket-Protocol";

async fn knock(world: &World, headers: &[(&str, &str)]) -> Reply {
    socket::handle(&world.socket, handshake("new", headers)).await
}

#[tokio::test]
async fn a_device_opens_a_socket_with_its_token() {
    let world = World::new().await;
    let device = world.sign_in(None).await;

    let reply = socket::handle(&world.socket, by_token(&device.token, "L0SM9cOFvHcCIhw=")).await;

    let answer = json!({
        "statusCode": 200, "headers": { "Sec-WebSocket-Protocol": "curfew.v1" },
    });
    assert_eq!(serde_json::to_value(reply).unwrap(), answer);
    let row = &world.gateway.rows(tables::CONNECTIONS)[0];
    assert_eq!(row["connection_id"]["S"], "L0SM9cOFvHcCIhw=");
    assert_eq!(row["device_id"]["S"], device.device.to_string());
    assert_eq!(row["session_id"]["S"], device.session.to_string());
    let stored = row.to_string();
    assert!(!stored.contains(&device.token));
}

#[tokio::test]
async fn headers_count_however_their_names_are_written() {
    let world = World::new().await;
    let device = world.sign_in(None).await;
    let bearer = format!("Bearer {}", device.token);
    for (authorization, protocol) in [
        ("Authorization", "Sec-WebSocket-Protocol"),
        ("authorization", "sec-websocket-protocol"),
        ("AUTHORIZATION", "Sec-Websocket-Protocol"),
    ] {
        let reply = knock(&world, &[(authorization, &bearer), (protocol, "curfew.v1")]).await;
        assert_eq!(reply.status_code, 200, "{authorization}");
        assert_eq!(reply.headers[PROTOCOL], "curfew.v1");
    }
}

#[tokio::test]
async fn a_client_that_offers_no_protocol_is_answered_without_one() {
    let world = World::new().await;
    let device = world.sign_in(None).await;
    let bearer = format!("Bearer {}", device.token);

    let reply = knock(&world, &[("Authorization", &bearer)]).await;

    assert_eq!(
        serde_json::to_value(reply).unwrap(),
        json!({ "statusCode": 200 })
    );
}

#[tokio::test]
async fn protocols_are_offered_in_one_header_or_in_several() {
    let world = World::new().await;
    let device = world.sign_in(None).await;
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
        let reply = knock(&world, &headers).await;
        assert_eq!(reply.status_code, 200, "{offer:?}");
        assert_eq!(reply.headers[PROTOCOL], "curfew.v1");
    }
    let reply = knock(
        &world,
        &[("Authorization", &bearer), (PROTOCOL, "curfew.v2")],
    )
    .await;
    assert_eq!(reply.status_code, 400, "no protocol of ours");
}

#[tokio::test]
async fn a_handshake_that_is_refused_has_a_status_and_nothing_else_and_leaves_no_row() {
    let world = World::new().await;
    let laptop = world.sign_in(None).await;
    let device = world.sign_in(None).await;
    let dead = world.sign_in(None).await;
    world.sign_out_device(&laptop, &dead).await;
    let ticket = world.bundle.socket_ticket(&device.token).await;
    let ticket = json_of(&ticket)["ticket"].as_str().unwrap().to_owned();
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
    let cases: [(&[(&str, &str)], u16); 17] = [
        (&[], 401),
        (&[(PROTOCOL, "curfew.v1")], 401),
        (&[("Cookie", &cookie)], 401),
        (&[(a, &device.token)], 401),
        (&[(a, "Bearer cft_")], 401),
        (&[(a, "Basic YTpi")], 401),
        (&[(a, &changed)], 401),
        (&[(a, &dead)], 401),
        (&[(a, &bearer), (a, &bearer)], 400),
        (&[(a, &bearer), ("authorization", &bearer)], 400),
        (&[(a, &bearer), (PROTOCOL, &offer)], 400),
        (&[(PROTOCOL, &ticket_alone)], 400),
        (&[(PROTOCOL, &two_tickets)], 400),
        (&[(a, &bearer), ("Origin", "https://evil.example")], 403),
        (&[(a, &bearer), ("Origin", "null")], 403),
        (
            &[
                (PROTOCOL, &offer),
                ("Origin", "https://app.example.com.evil.example"),
            ],
            403,
        ),
        (
            &[
                (a, &bearer),
                ("Origin", ORIGIN),
                ("Origin", "https://evil.example"),
            ],
            403,
        ),
    ];
    for (headers, status) in cases {
        let reply = knock(&world, headers).await;
        let looks = serde_json::to_value(reply).unwrap();
        assert_eq!(looks, json!({ "statusCode": status }), "{headers:?}");
        assert!(world.gateway.rows(tables::CONNECTIONS).is_empty());
    }
    // None of them has used the ticket up.
    let reply = socket::handle(&world.socket, by_ticket(&ticket, "page")).await;
    assert_eq!(reply.status_code, 200);
}

#[tokio::test]
async fn nothing_is_taken_from_the_url() {
    let world = World::new().await;
    let device = world.sign_in(None).await;
    for query in [json!({ "token": device.token }), json!({ "anything": "" })] {
        let mut event = serde_json::to_value(by_token(&device.token, "new")).unwrap();
        event["queryStringParameters"] = query;
        let event = serde_json::from_value(event).unwrap();
        let reply = socket::handle(&world.socket, event).await;
        assert_eq!(reply.status_code, 400);
    }
    assert!(world.gateway.rows(tables::CONNECTIONS).is_empty());
}

#[tokio::test]
async fn a_handshake_of_a_dead_session_is_refused_and_is_in_the_receipt_once() {
    for scope in ["device", "others", "global"] {
        let world = World::new().await;
        let laptop = world.sign_in(None).await;
        let device = world.sign_in(None).await;
        let sign_out = match scope {
            "device" => world.sign_out_device(&laptop, &device).await,
            scope => world.sign_out_all(&laptop, scope).await,
        };

        let refused = socket::handle(&world.socket, by_token(&device.token, "new")).await;

        assert_eq!(refused.status_code, 401);
        let states = world.states(&device, sign_out).await;
        assert_eq!(states[&device.device], EntryState::Contacted);
        let once = world.gateway.rows(tables::RECEIPTS);
        world.clock.advance(SignedDuration::from_mins(1));
        let again = socket::handle(&world.socket, by_token(&device.token, "new")).await;
        assert_eq!(again.status_code, 401);
        assert_eq!(sorted(world.gateway.rows(tables::RECEIPTS)), sorted(once));
    }
}

fn sorted(rows: Vec<serde_json::Value>) -> Vec<String> {
    let mut rows: Vec<String> = rows
        .into_iter()
        .map(|row| {
            let row: std::collections::BTreeMap<String, serde_json::Value> =
                serde_json::from_value(row).unwrap();
            format!("{row:?}")
        })
        .collect();
    rows.sort();
    rows
}

#[tokio::test]
async fn a_handshake_whose_session_has_run_out_is_refused_to_the_second() {
    let world = World::new().await;
    let device = world.sign_in(None).await;
    let idle = world.bundle.limits.idle;
    world.clock.advance(idle - SignedDuration::from_secs(1));
    let reply = socket::handle(&world.socket, by_token(&device.token, "one")).await;
    assert_eq!(reply.status_code, 200);
    world.clock.advance(SignedDuration::from_secs(1));
    let reply = socket::handle(&world.socket, by_token(&device.token, "two")).await;
    assert_eq!(reply.status_code, 401);
}

#[tokio::test]
async fn a_handshake_that_can_t_be_judged_is_refused_as_no_verdict_and_leaves_no_socket() {
    for is_made in [false, true] {
        for dies_at in 1..=3 {
            let world = World::new().await;
            let device = world.sign_in(None).await;
            let mut call = 0;
            world.gateway.judge(move |_| {
                call += 1;
                match (call == dies_at, is_made) {
                    (false, _) => Verdict::Made,
                    (true, true) => Verdict::AnswerLost,
                    (true, false) => Verdict::Instead(Fate::Broken),
                }
            });

            let reply = socket::handle(&world.socket, by_token(&device.token, "new")).await;

            assert_eq!(reply.status_code, 500, "call {dies_at}");
            // A row whose write was not heard of is one of a socket that never
            // was: the next push takes it.
            let left = world.gateway.rows(tables::CONNECTIONS).len();
            assert_eq!(left, usize::from(dies_at == 2 && is_made), "call {dies_at}");
        }
    }
}

#[tokio::test]
async fn a_frame_can_t_pass_for_a_handshake_nor_for_the_end_of_a_socket() {
    let world = World::new().await;
    let [device] = world.connected(["one"]).await;
    let bearer = format!("Bearer {}", device.token);
    for kind in ["$connect", "$disconnect", "$default"] {
        let text = json!({ "type": kind }).to_string();
        let mut event = serde_json::to_value(frame("one", &text)).unwrap();
        event["headers"] = json!({ "Authorization": bearer });
        assert_eq!(event["requestContext"]["routeKey"], kind);
        let event = serde_json::from_value(event).unwrap();

        let reply = socket::handle(&world.socket, event).await;

        assert_eq!(
            serde_json::to_value(reply).unwrap(),
            json!({ "statusCode": 200 })
        );
        assert_eq!(world.gateway.rows(tables::CONNECTIONS).len(), 1);
    }
    let refused = world.gateway.frames("one");
    assert_eq!(refused.len(), 3);
    assert!(refused.iter().all(|frame| frame["type"] == "problem"));
}

#[tokio::test]
async fn a_device_has_as_many_sockets_as_it_opens_and_each_end_is_its_own() {
    let world = World::new().await;
    let [device] = world.connected(["one"]).await;
    world.open(&device, "two").await;
    assert_eq!(world.gateway.rows(tables::CONNECTIONS).len(), 2);

    let reply = socket::handle(&world.socket, end("one")).await;
    let again = socket::handle(&world.socket, end("one")).await;

    assert_eq!((reply.status_code, again.status_code), (200, 200));
    let rows = world.gateway.rows(tables::CONNECTIONS);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["connection_id"]["S"], "two");
}

#[tokio::test]
async fn the_row_of_a_socket_goes_by_itself_an_hour_after_the_gateway_has_ended_it() {
    let world = World::new().await;
    let _device = world.connected(["one"]).await;
    let row = &world.gateway.rows(tables::CONNECTIONS)[0];
    let delete_at: i64 = row["delete_at"]["N"].as_str().unwrap().parse().unwrap();
    let kept = delete_at - world.clock.now().as_second();
    // To the second, rounded up.
    assert_eq!(kept, 3 * 60 * 60 + 1);
}
