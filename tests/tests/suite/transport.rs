//! How ids, times and credentials are written in a request and in an answer, whatever
//! library or gateway has handled them.

use curfew_tests::account::{EMAIL, PASSWORD};
use curfew_tests::app::{TestApp, sign_out_of};
use curfew_tests::bundle::{
    ORIGIN, acknowledgement_event, event, event_about, json_of, problem_of,
};
use curfew_tests::fake_aws::Intercept;
use curfew_tests::tables::ACCOUNTS;
use curfew_tests::wire::CallResult;
use domain::verification::VERIFIED_FOR;
use domain::{EntryState, Place};
use http_api::{CLEARED_SESSION_COOKIE, ENDED_COOKIE, Event, OriginPolicy, Reply, cookie};
use jiff::SignedDuration;
use runtime::Clock;
use serde_json::{Value, json};
use store::WriteOutcome;

#[tokio::test]
async fn an_id_in_capitals_is_read_wherever_one_comes_in() {
    let (app, [laptop, tv]) = TestApp::with_devices().await;
    let [phone] = app.connected(["phone"]).await;
    let capitals = |id: &dyn ToString| id.to_string().to_uppercase();

    let list = event("GET", "/v1/devices", Some(&laptop.token), None);
    let mut list = serde_json::to_value(list).unwrap();
    list["queryStringParameters"] = json!({ "cursor": capitals(&phone.id), "status": "all" });
    let list = serde_json::from_value(list).unwrap();
    let listed = json_of(&app.bundle.send(list).await);
    assert_eq!(listed["devices"][0]["id"], tv.id.to_string(), "{listed}");

    let route = "POST /v1/devices/{device_id}/sign-out";
    let sign_out = event_about(route, Some(&laptop.token), capitals(&tv.id), None);
    let signed_out = app.bundle.send(sign_out).await;
    assert_eq!(signed_out.status_code, 200);
    let id = json_of(&signed_out)["sign_out"]["id"].clone();
    let id = capitals(&id.as_str().unwrap());
    let acknowledged = app.bundle.acknowledge(&tv.token, &id).await;
    assert_eq!(acknowledged.status_code, 200);
    let receipt = json_of(&app.bundle.receipt(&laptop.token, &id).await);
    let part = &receipt["sign_out"]["devices"][0];
    assert_eq!(part["state"], "wiped", "{receipt}");
    assert_eq!(part["id"], tv.id.to_string(), "written in lower case");

    let id = app.sign_out_device(&laptop, &phone).await;
    let frame = json!({ "type": "acknowledgement", "sign_out": capitals(&id) });
    app.frame("phone", &frame.to_string()).await;
    let states = app.states(&laptop, id).await;
    assert_eq!(states[&phone.id], EntryState::Wiped);
}

/// Checks every time in a JSON value, and returns how many there are.
fn times(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(times).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| match member.as_str() {
                Some(text) if name.ends_with("_at") => {
                    let millis = text.rsplit_once('.').expect("a fraction").1;
                    assert_eq!(millis.len(), "123Z".len(), "{name}: {text}");
                    1
                }
                _ => times(member),
            })
            .sum(),
        _ => 0,
    }
}

#[tokio::test]
async fn every_time_has_three_digits_of_a_second() {
    for millis in [0, 100, 123] {
        let app = TestApp::new().await;
        app.advance(SignedDuration::from_millis(millis));
        let [tv, laptop] = app.connected(["tv", "laptop"]).await;
        let id = app.sign_out_device(&laptop, &tv).await;
        app.push(&app.event_of(tv.account, id).await).await;
        app.bundle.acknowledge(&tv.token, id).await;

        let answers = [
            (4, json_of(&app.bundle.who_am_i(&laptop.token).await)),
            (4, json_of(&app.bundle.list(&laptop.token).await)),
            (1, json_of(&app.bundle.who_am_i(&tv.token).await)),
            (1, json_of(&app.bundle.socket_ticket(&laptop.token).await)),
            (4, json_of(&app.bundle.receipt(&laptop.token, id).await)),
            (1, app.aws.frames("tv")[0].clone()),
        ];

        for (at_least, answer) in answers {
            assert!(times(&answer) >= at_least, "{answer}");
        }
    }
}

/// Returns a request of a page whose token is in a cookie.
pub(crate) fn with_cookie(mut event: Event, name: &str, token: &str) -> Event {
    let cookie = format!("{name}={token}").parse().unwrap();
    event.headers.remove("authorization");
    event.headers.insert("cookie", cookie);
    event.headers.insert("origin", ORIGIN.parse().unwrap());
    event
}

#[tokio::test]
async fn a_401_deletes_the_cookie_of_a_session_that_has_ended_and_no_other() {
    let (app, [laptop, tv, phone]) = TestApp::with_devices().await;
    let who_am_i = |token: &str| event("GET", "/v1/session", Some(token), None);
    let ask = async |token: &str| {
        let event = with_cookie(who_am_i(token), "__Host-curfew", token);
        app.bundle.send(event).await
    };
    let id = app.sign_out_device(&laptop, &tv).await;
    app.sign_in_again(&phone).await;

    let signed_out = ask(&tv.token).await;
    let replaced = ask(&phone.token).await;
    let valid = ask(&laptop.token).await;
    let by_header = app.bundle.who_am_i(&tv.token).await;
    app.advance(app.bundle.limits.idle);
    let expired = ask(&laptop.token).await;
    let used = app.sign_in(None).await;
    let account = app.aws.rows(ACCOUNTS).remove(0);
    let mut by_hand = account.clone();
    by_hand["disabled_at"] = json!({ "N": "1" });
    app.aws.engine.put(ACCOUNTS, &by_hand);
    let disabled = ask(&used.token).await;
    app.aws.engine.put(ACCOUNTS, &account);

    let kept = format!(
        "__Host-curfew-ended={}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=86400",
        tv.token
    );
    for (reply, problem, cookies) in [
        (
            &signed_out,
            "session-signed-out",
            &[CLEARED_SESSION_COOKIE, &*kept][..],
        ),
        (&expired, "session-expired", &[CLEARED_SESSION_COOKIE]),
        (&disabled, "account-disabled", &[CLEARED_SESSION_COOKIE]),
        (&replaced, "token-invalid", &[]),
        (&valid, "", &[]),
        (&by_header, "session-signed-out", &[]),
    ] {
        assert_eq!(problem_of(reply).1, problem);
        assert_eq!(reply.cookies, cookies, "{problem}");
    }

    // The page can still acknowledge, also when it has signed in again since; that
    // session stays.
    let back = app.sign_in(None).await;
    let event = acknowledgement_event(&tv.token, id, None);
    let both = format!("{}; __Host-curfew={}", tv.token, back.token);
    let event = with_cookie(event, "__Host-curfew-ended", &both);
    let acknowledged = app.bundle.send(event).await;
    assert_eq!(acknowledged.status_code, 200, "{acknowledged:?}");
    assert_eq!(acknowledged.cookies, [cookie(ENDED_COOKIE, "", 0)]);
    assert!(acknowledged.headers.get("clear-site-data").is_none());
    assert_eq!(app.states(&tv, id).await[&tv.id], EntryState::Wiped);
    let mut beside = with_cookie(who_am_i(""), "__Host-curfew-ended", &tv.token);
    let bearer = format!("Bearer {}", back.token).parse().unwrap();
    beside.headers.insert("authorization", bearer);
    let beside = app.bundle.send(beside).await;
    assert_eq!(beside.status_code, 200);
}

#[tokio::test]
async fn a_401_about_a_valid_session_deletes_no_cookie() {
    let (app, [page]) = TestApp::with_devices().await;
    app.advance(VERIFIED_FOR);
    let others = json!({ "scope": "others" });
    let act = event("POST", "/v1/sign-out-all", None, Some(&others));
    let unproven = with_cookie(act, "__Host-curfew", &page.token);
    let unproven = app.bundle.send(unproven).await;
    let verified = json_of(&app.bundle.verify(&page.token, PASSWORD).await);
    let seen = app.bundle.who_am_i(verified["token"].as_str().unwrap());
    assert_eq!(seen.await.status_code, 200);
    let check = event("GET", "/v1/session", None, None);
    let superseded = with_cookie(check, "__Host-curfew", &page.token);
    let superseded = app.bundle.send(superseded).await;
    for (reply, problem) in [
        (unproven, "verification-required"),
        (superseded, "token-superseded"),
    ] {
        assert_eq!(problem_of(&reply), (401, problem.to_owned()));
        assert_eq!(reply.cookies, [""; 0], "{problem}");
    }
}

#[tokio::test]
async fn a_late_answer_about_a_session_that_ended_itself_leaves_the_cookie_of_the_next() {
    for scope in ["local", "global"] {
        let (app, [page]) = TestApp::with_devices().await;
        let id = match scope {
            "local" => sign_out_of(&app.bundle.sign_out_this(&page.token).await),
            _ => app.sign_out_scope(&page, scope).await,
        };
        let send = async |event| {
            let event = with_cookie(event, "__Host-curfew", &page.token);
            app.bundle.send(event).await
        };

        let late = send(event("GET", "/v1/session", None, None)).await;
        let acknowledged = send(acknowledgement_event("", id, None)).await;
        let again = send(acknowledgement_event("", id, None)).await;

        assert_eq!(problem_of(&late).1, "session-signed-out");
        let ended = cookie(ENDED_COOKIE, &page.token, 86400);
        assert_eq!(late.cookies, [ended], "{scope}");
        for reply in [acknowledged, again] {
            assert_eq!(reply.status_code, 200, "{scope}");
            assert_eq!(reply.cookies, [""; 0], "{scope}");
        }
    }
}

#[tokio::test]
async fn a_page_that_missed_the_answer_to_its_own_sign_out_loses_the_dead_cookie() {
    let (app, [page, other]) = TestApp::with_devices().await;
    let _ = app.bundle.sign_out_this(&page.token).await;
    let send = async |event, cookies: &str| {
        let event = with_cookie(event, "__Host-curfew", cookies);
        app.bundle.send(event).await
    };
    let who_am_i = || event("GET", "/v1/session", None, None);
    let ended = cookie(ENDED_COOKIE, &page.token, 86400);
    let both = format!("{0}; __Host-curfew-ended={0}", page.token);
    let later = format!("{}; __Host-curfew-ended={}", other.token, page.token);

    let first = send(who_am_i(), &page.token).await;
    let second = send(who_am_i(), &both).await;
    let of_a_later_one = send(who_am_i(), &later).await;

    // The first may be a late answer. The second proves what the browser has missed.
    assert_eq!(first.cookies, [&*ended]);
    assert_eq!(second.cookies, [CLEARED_SESSION_COOKIE, &*ended]);
    assert_eq!(of_a_later_one.status_code, 200);
    assert_eq!(of_a_later_one.cookies, [""; 0]);
}

#[tokio::test]
async fn an_ended_cookie_of_another_sign_out_gives_way_to_the_session_cookie() {
    let (app, [laptop, tv, phone]) = TestApp::with_devices().await;
    app.sign_out_device(&laptop, &tv).await;
    let id = app.sign_out_device(&laptop, &phone).await;
    let acknowledge = async |cookies: &str| {
        let event = acknowledgement_event("", id, None);
        let event = with_cookie(event, "__Host-curfew-ended", cookies);
        app.bundle.send(event).await
    };

    let alone = acknowledge(&tv.token).await;
    app.aws
        .intercept(|_| Intercept::Replace(CallResult::Broken));
    let unread = acknowledge(&phone.token).await;
    app.aws.restore();
    let both = format!("{}; __Host-curfew={}", tv.token, phone.token);
    let acknowledged = acknowledge(&both).await;

    let not_found = (404, "sign-out-not-found".to_owned());
    assert_eq!(problem_of(&alone), not_found);
    assert_eq!(problem_of(&unread), (503, "unavailable".to_owned()));
    assert_eq!(acknowledged.status_code, 200, "{acknowledged:?}");
    assert_eq!(acknowledged.cookies, [CLEARED_SESSION_COOKIE]);
    assert_eq!(app.states(&laptop, id).await[&phone.id], EntryState::Wiped);
}

#[tokio::test]
async fn the_authorizer_judges_the_origin_as_every_route_does() {
    let (app, [tv]) = TestApp::with_devices().await;
    for (has_cookie, origin, is_authorized) in [
        (false, None, true),
        (false, Some(ORIGIN), true),
        (false, Some("https://evil.example"), false),
        (true, None, true),
        (true, Some(ORIGIN), true),
        (true, Some("https://evil.example"), false),
    ] {
        let mut event = event("GET", "/films", Some(&tv.token), None);
        if has_cookie {
            event = with_cookie(event, "__Host-curfew", &tv.token);
        }
        event.headers.remove("origin");
        if let Some(origin) = origin {
            event.headers.insert("origin", origin.parse().unwrap());
        }
        let decision = authorizer::handle(&app.bundle.authorizer, event).await;
        let decision = decision.unwrap().is_authorized;
        assert_eq!(decision, is_authorized, "{has_cookie} {origin:?}");
    }
}

/// Calls the function of the documents and preflights from an allowed origin.
async fn api(method: &str, path: &str) -> Reply {
    let deps = api::Deps {
        origin_policy: OriginPolicy::new(Some(ORIGIN)),
        allowed_headers: "baggage,traceparent".to_owned(),
        clock: Clock::System,
    };
    let mut event = event(method, path, None, None);
    event.headers.insert("origin", ORIGIN.parse().unwrap());
    api::handle(&deps, event).await
}

#[tokio::test]
async fn a_mapping_key_of_a_custom_domain_is_skipped() {
    for (method, path, status) in [
        ("OPTIONS", "/v1/session", 204),
        ("OPTIONS", "/curfew/v1/session", 204),
        ("OPTIONS", "/curfew/v1/nothing", 404),
        ("OPTIONS", "/curfew/session", 404),
        ("GET", "/curfew/v1/openapi.json", 200),
        ("GET", "/curfew/v1/asyncapi.json", 200),
        ("DELETE", "/curfew/v1/session", 405),
        // The gateway finds no route for it, so it is not the API's.
        ("GET", "/curfew/v1/session", 404),
    ] {
        let reply = api(method, path).await;
        assert_eq!(reply.status_code, status, "{method} {path}");
        let hsts = &reply.headers["strict-transport-security"];
        assert_eq!(hsts, "max-age=31536000; includeSubDomains", "{path}");
        if status == 204 {
            let headers = &reply.headers["access-control-allow-headers"];
            assert_eq!(headers, "authorization, content-type, baggage,traceparent");
        }
    }
}

#[tokio::test]
async fn an_address_is_stored_and_shown_in_its_normal_form() {
    let app = TestApp::without_account(|config| config);
    app.register(" Lea@Ex\u{200b}ample.com\n").await;

    let signed_in = json_of(&app.bundle.log_in("LEA@example.com ", PASSWORD, None).await);

    assert_eq!(signed_in["account"]["email"], EMAIL);
}

#[tokio::test]
async fn the_place_of_the_last_activity_is_that_of_the_devices_last_request() {
    let app = TestApp::new().await;
    let [device] = app.connected(["one"]).await;
    let signed_in = app.row(&device).await;
    assert_eq!(signed_in.active_place, signed_in.place);
    let later = || app.advance(SignedDuration::from_mins(5));

    later();
    let mut request = event("GET", "/v1/session", Some(&device.token), None);
    request.request_context.http.source_ip = Some("2001:DB8::7".to_owned());
    let shown = json_of(&app.bundle.send(request).await)["device"].clone();
    // Neither comes from the device with its address.
    later();
    app.heartbeat("one").await;
    later();
    let _ = app.bundle.introspect(&device.token).await;

    let row = app.row(&device).await;
    assert_eq!(row.last_active_at, app.clock.now());
    assert_eq!(row.active_place.ip.as_deref(), Some("2001:db8::7"));
    assert_eq!(shown["last_active_ip"], "2001:db8::7");
    assert_eq!(shown["ip"], "192.0.2.1");
    let lisbon = Place {
        ip: Some("203.0.113.7".to_owned()),
        city: Some("Lisbon".to_owned()),
        country: Some("PT".to_owned()),
    };
    let elsewhere = Place {
        city: None,
        ..lisbon.clone()
    };
    for place in [lisbon, elsewhere] {
        let (store, now) = (&app.bundle.store, app.clock.now());
        let touched = store.touch(row.account, row.id, row.session, Some(&place), now);
        assert_eq!(touched.await.unwrap(), WriteOutcome::Done);
        assert_eq!(app.row(&device).await.active_place, place);
    }
}
