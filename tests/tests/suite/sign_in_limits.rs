//! The limits on wrong passwords: what an attacker uses up, and how the owner gets past it.

use std::net::{Ipv4Addr, Ipv6Addr};

use curfew_tests::account::{EMAIL, OTHER_EMAIL, OTHER_PASSWORD, PASSWORD, TestDevice};
use curfew_tests::app::TestApp;
use curfew_tests::bundle::{event, problem_of};
use curfew_tests::engine::ServiceResponse;
use curfew_tests::wire::CallResult;
use domain::recognition::{EARNED_AFTER, is_recognized};
use futures_util::future::join_all;
use http_api::{Event, Reply};
use jiff::SignedDuration;
use serde_json::json;

const WRONG: &str = OTHER_PASSWORD;
const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// One request to sign in.
struct Try<'a> {
    email: &'a str,
    password: &'a str,
    key: Option<&'a str>,
    ip: String,
}

impl Try<'_> {
    /// Returns a guess at the account from a network of its own.
    fn guess(number: u32) -> Self {
        Self {
            email: EMAIL,
            password: WRONG,
            key: None,
            ip: Ipv4Addr::from(0x0b00_0000 + number).to_string(),
        }
    }

    fn event(&self) -> Event {
        let mut body = json!({ "email": self.email, "password": self.password });
        if let Some(key) = self.key {
            body["device_key"] = key.into();
        }
        let mut event = event("POST", "/v1/login", None, Some(&body));
        event.request_context.http.source_ip = Some(self.ip.clone());
        event
    }

    async fn send(&self, app: &TestApp) -> Reply {
        app.bundle.send(self.event()).await
    }

    async fn status(&self, app: &TestApp) -> i64 {
        self.send(app).await.status_code
    }
}

/// Sends all at once. Returns how many passwords were hashed: what is not refused.
async fn hashed<'a>(app: &TestApp, tries: impl IntoIterator<Item = Try<'a>>) -> usize {
    let events: Vec<Event> = tries.into_iter().map(|it| it.event()).collect();
    hashed_events(app, events).await
}

async fn hashed_events(app: &TestApp, events: Vec<Event>) -> usize {
    let replies = join_all(events.into_iter().map(|it| app.bundle.send(it))).await;
    let refused = (429, "too-many-attempts".to_owned());
    let wrong = (401, "credentials-invalid".to_owned());
    let problems = replies.iter().map(problem_of).filter(|it| *it != refused);
    problems.inspect(|it| assert_eq!(*it, wrong)).count()
}

/// Returns twenty spellings of one address.
fn spellings() -> Vec<String> {
    let name = ["lea", "Lea", "LEA", "lEa", "leA"];
    let host = [
        "example.com",
        "EXAMPLE.com",
        "ex\u{200b}ample.com",
        "\u{ff45}xample\u{3002}com",
    ];
    name.iter()
        .flat_map(|name| host.map(|host| format!("{name}@{host}")))
        .collect()
}

/// Uses up the budget of the account's address, from other networks than the owner's.
async fn attack(app: &TestApp) {
    assert_eq!(hashed(app, (0..50).map(Try::guess)).await, 10);
}

/// Returns the product with a device that a session of seven days has made recognized, and
/// the device.
async fn with_recognized() -> (TestApp, TestDevice) {
    let (app, [device]) = TestApp::with_devices().await;
    app.advance(EARNED_AFTER);
    (app, device)
}

impl<'a> Try<'a> {
    fn owner(key: Option<&'a str>) -> Self {
        Self {
            password: PASSWORD,
            key,
            ip: "198.51.100.1".to_owned(),
            ..Try::guess(0)
        }
    }
}

#[expect(
    clippy::await_holding_lock,
    reason = "a request that hashed would never end"
)]
#[tokio::test]
async fn of_a_thousand_guesses_at_once_in_every_spelling_from_everywhere_ten_are_hashed() {
    let app = TestApp::new().await;
    let spellings = spellings();
    assert_eq!(spellings.len(), 20);
    let tries = (0..1000).map(|number| Try {
        email: &spellings[number as usize % spellings.len()],
        ..Try::guess(number)
    });
    assert_eq!(hashed(&app, tries).await, 10);

    // A request that hashed would wait for the hasher for ever.
    let hasher = app.bundle.login.hasher.lock();
    assert_eq!(Try::owner(None).status(&app).await, 429);
    drop(hasher);
    app.advance(MINUTE * 5);
    assert_eq!(hashed(&app, (0..50).map(Try::guess)).await, 1);
}

#[tokio::test]
async fn of_a_thousand_guesses_of_one_network_in_every_form_thirty_are_hashed() {
    let app = TestApp::new().await;
    let addresses: Vec<String> = (0..1000).map(|n| format!("user{n}@example.com")).collect();
    let forms: [fn(u32) -> String; 3] = [
        |n| ["203.0.113.7", "::ffff:203.0.113.7", "::ffff:cb00:7107"][n as usize % 3].to_owned(),
        |n| Ipv6Addr::from_bits((0x2001_0db8 << 96) + u128::from(n)).to_string(),
        |n| format!("2001:0DB8:1::{n:04X}"),
    ];
    for form in forms {
        let tries = (0..1000).map(|number| Try {
            email: &addresses[number as usize],
            ip: form(number),
            ..Try::guess(0)
        });
        assert_eq!(hashed(&app, tries).await, 30);
    }
    // The /64s of one /48 have sixteen times as many together.
    let tries = addresses.iter().enumerate().map(|(number, email)| Try {
        email,
        ip: format!("2001:db8:2:{number:x}::1"),
        ..Try::guess(0)
    });
    assert_eq!(hashed(&app, tries).await, 480);
}

#[tokio::test]
async fn a_forged_forwarding_header_is_no_other_network() {
    let app = TestApp::new().await;
    let addresses: Vec<String> = (0..200).map(|n| format!("user{n}@example.com")).collect();
    let events = addresses.iter().enumerate().map(|(number, email)| {
        let mut event = Try {
            email,
            ..Try::guess(0)
        }
        .event();
        let forged = format!("192.0.2.{number}");
        for (name, value) in [
            ("x-forwarded-for", forged.clone()),
            ("x-real-ip", forged.clone()),
            ("true-client-ip", forged.clone()),
            ("forwarded", format!("for={forged}")),
            ("cloudfront-viewer-address", format!("{forged}:443")),
            ("x-curfew-distribution", "forged".to_owned()),
        ] {
            event.headers.insert(name, value.parse().unwrap());
        }
        event
    });
    assert_eq!(hashed_events(&app, events.collect()).await, 30);
}

#[tokio::test]
async fn the_owner_gets_in_on_a_recognized_device_while_address_and_network_are_used_up() {
    let (app, device) = with_recognized().await;
    let attacker = Try::guess(0).ip;
    attack(&app).await;
    let tries = (0..50).map(|_| Try {
        email: OTHER_EMAIL,
        ip: attacker.clone(),
        ..Try::guess(0)
    });
    hashed(&app, tries).await;

    let owner = Try {
        ip: attacker,
        ..Try::owner(Some(&device.key))
    };
    assert_eq!(owner.status(&app).await, 200);
    assert_eq!(Try { key: None, ..owner }.status(&app).await, 429);
}

#[tokio::test]
async fn an_attack_on_one_account_refuses_nobody_else() {
    let app = TestApp::new().await;
    app.register(OTHER_EMAIL).await;
    attack(&app).await;
    let other = Try {
        email: OTHER_EMAIL,
        ..Try::owner(None)
    };
    assert_eq!(other.status(&app).await, 200);
    assert_eq!(Try::owner(None).status(&app).await, 429);
}

#[tokio::test]
async fn a_recognized_device_has_five_tries_and_one_a_minute_and_loses_recognition_after_ten() {
    let (app, device) = with_recognized().await;
    let wrong = || Try {
        password: WRONG,
        ..Try::owner(Some(&device.key))
    };
    assert_eq!(hashed(&app, (0..50).map(|_| wrong())).await, 5);
    for _ in 0..4 {
        app.advance(MINUTE);
        assert_eq!(hashed(&app, (0..2).map(|_| wrong())).await, 1);
    }
    attack(&app).await;
    app.advance(MINUTE * 3);
    assert_eq!(hashed(&app, [wrong()]).await, 1);
    // The tenth: it is like any other device now, and the address is used up.
    app.advance(MINUTE * 1);
    assert_eq!(Try::owner(Some(&device.key)).status(&app).await, 429);
    app.advance(MINUTE * 5);

    // The way past it is a right password; it does not recognize the device again.
    assert_eq!(Try::owner(Some(&device.key)).status(&app).await, 200);
    attack_after_an_hour(&app).await;
    assert_eq!(Try::owner(Some(&device.key)).status(&app).await, 429);
}

async fn attack_after_an_hour(app: &TestApp) {
    app.advance(MINUTE * 60);
    attack(app).await;
}

#[tokio::test]
async fn a_password_thief_who_signs_in_out_and_in_again_is_not_recognized() {
    let app = TestApp::new().await;
    let mut thief = app.sign_in(None).await;
    for _ in 0..3 {
        app.bundle.sign_out_this(&thief.token).await;
        app.advance(EARNED_AFTER);
        thief = app.sign_in_again(&thief).await;
    }
    attack(&app).await;
    assert_eq!(Try::owner(Some(&thief.key)).status(&app).await, 429);
}

#[tokio::test]
async fn a_recognized_device_stays_so_at_its_sign_in_until_somebody_else_ends_its_session() {
    let (app, device) = with_recognized().await;
    let again = app.sign_in_again(&device).await;
    app.bundle.sign_out_this(&again.token).await;
    attack(&app).await;
    assert_eq!(Try::owner(Some(&device.key)).status(&app).await, 200);

    let other = app.sign_in(None);
    app.advance(MINUTE * 60);
    app.sign_out_scope(&other.await, "others").await;
    attack(&app).await;
    assert_eq!(Try::owner(Some(&device.key)).status(&app).await, 429);
    let row = app.row(&device).await;
    let account = app
        .bundle
        .store
        .rows(device.account, &[])
        .await
        .unwrap()
        .account
        .unwrap();
    let now = app.clock.now();
    assert!(row.recognized_until.is_some_and(|until| now < until));
    assert!(!is_recognized(&account, &row, &app.bundle.limits, now));
}

#[tokio::test]
async fn a_right_password_uses_nothing_up_and_ends_the_failures_in_a_row() {
    let app = TestApp::new().await;
    let ip = Try::owner(None).ip;
    for _ in 0..50 {
        assert_eq!(Try::owner(None).status(&app).await, 200);
    }
    for _ in 0..30 {
        let tries = (0..9).map(|_| Try {
            ip: ip.clone(),
            ..Try::guess(0)
        });
        assert_eq!(hashed(&app, tries).await, 9);
        assert_eq!(Try::owner(None).status(&app).await, 200);
        app.advance(MINUTE * 50);
    }
}

#[tokio::test]
async fn after_a_hundred_failures_in_a_row_one_attempt_an_hour_is_admitted() {
    let app = TestApp::new().await;
    for _ in 0..10 {
        attack_after_an_hour(&app).await;
    }
    app.advance(MINUTE * 60);
    for _ in 0..3 {
        assert_eq!(hashed(&app, (0..20).map(Try::guess)).await, 1);
        let refused = Try::owner(None).send(&app).await;
        assert_eq!(refused.headers["retry-after"], "3600");
        app.advance(MINUTE * 60);
    }
    assert_eq!(Try::owner(None).status(&app).await, 200);
    app.advance(MINUTE * 60);
    attack(&app).await;
}

#[tokio::test]
async fn a_sign_in_of_a_recognized_device_ends_the_failures_in_a_row_of_the_address() {
    let (mut app, device) = with_recognized().await;
    let budgets = &mut app.bundle.login.budgets;
    budgets.address = budgets.address.with_in_a_row(20, None);
    for _ in 0..5 {
        attack_after_an_hour(&app).await;
        assert_eq!(Try::owner(Some(&device.key)).status(&app).await, 200);
    }
    attack_after_an_hour(&app).await;
    attack_after_an_hour(&app).await;
    app.advance(MINUTE * 60);
    assert_eq!(Try::owner(None).status(&app).await, 429);
    assert_eq!(Try::owner(Some(&device.key)).status(&app).await, 200);
    assert_eq!(Try::owner(None).status(&app).await, 200);
}

#[tokio::test]
async fn a_refusal_says_in_plain_words_and_to_the_second_when_to_try_again() {
    let app = TestApp::new().await;
    attack(&app).await;
    app.advance(MINUTE * 3);
    let refused = Try::owner(None).send(&app).await;
    assert_eq!(refused.headers["retry-after"], "120");
    let body = curfew_tests::bundle::json_of(&refused);
    let detail = "Wait 2 minutes and try again.";
    assert_eq!(body["detail"], detail);
    app.advance(SignedDuration::from_secs(120));
    assert_eq!(Try::owner(None).status(&app).await, 200);
}

#[tokio::test]
async fn networks_of_the_teams_own_are_not_counted_but_their_addresses_are() {
    let mut app = TestApp::new().await;
    app.bundle.login.budgets.uncounted = "198.51.100.0/24".parse().unwrap();
    let addresses: Vec<String> = (0..100).map(|n| format!("user{n}@example.com")).collect();
    let tries = addresses.iter().map(|email| Try {
        email,
        password: WRONG,
        ..Try::owner(None)
    });
    assert_eq!(hashed(&app, tries).await, 100);
    let tries = (0..100).map(|_| Try {
        password: WRONG,
        ..Try::owner(None)
    });
    assert_eq!(hashed(&app, tries).await, 10);
}

#[expect(
    clippy::await_holding_lock,
    reason = "a request that hashed would never end"
)]
#[tokio::test]
async fn a_counter_that_can_not_be_written_admits_nobody() {
    let (app, device) = with_recognized().await;
    let failed = || CallResult::Answered(ServiceResponse::error(500, "InternalServerError"));
    app.aws.fail("UpdateItem", failed);
    for key in [None, Some(&*device.key)] {
        let hasher = app.bundle.login.hasher.lock();
        assert_eq!(Try::owner(key).status(&app).await, 503);
        drop(hasher);
    }
}
