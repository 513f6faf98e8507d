//! Web pages: the cookie that carries the token, and who may call from where. By
//! a deployment without an allowed origin only the refusals can be tried.

use curfew_tests::client::{Answer, Api, Call, Household, LAPTOP, TV, remember};
use curfew_tests::stack::allowed_origin;
use serde_json::{Value, json};

const FOREIGN: [&str; 5] = [
    "https://evil.example",
    "null",
    "https://app.example.com.evil.example",
    "http://app.example.com",
    "https://APP.example.com",
];

/// A page that has signed in.
struct Page {
    origin: String,
    /// The cookies that its browser keeps, by name.
    cookies: Vec<(String, String)>,
    answer: Answer,
    shown: Value,
}

impl Page {
    /// Signs in from an allowed origin, if there is one, with the cookies that
    /// the browser has.
    async fn sign_in(household: &Household, kept: &[(String, String)]) -> Option<Self> {
        let origin = allowed_origin()?;
        let mut call = household
            .log_in(json!({ "transport": "cookie" }))
            .header("user-agent", LAPTOP)
            .header("origin", &origin);
        if !kept.is_empty() {
            call = call.header("cookie", written(kept));
        }
        let answer = call.send().await;
        let shown = answer.done(200)["device"].clone();
        let cookies: Vec<(String, String)> = answer
            .cookies()
            .iter()
            .map(|cookie| {
                let (pair, _) = cookie.split_once(';').unwrap();
                let (name, value) = pair.split_once('=').unwrap();
                remember(&[value]);
                (name.to_owned(), value.to_owned())
            })
            .collect();
        Some(Self {
            origin,
            cookies,
            answer,
            shown,
        })
    }

    fn cookie(&self, name: &str) -> &str {
        let found = self.cookies.iter().find(|(known, _)| known == name);
        &found.unwrap_or_else(|| panic!("{name} is not set")).1
    }

    /// A call as the browser makes it, with the cookies and without an origin.
    fn without_origin(&self, method: &str, path: &str) -> Call {
        Api::default()
            .call(method, path)
            .header("cookie", written(&self.cookies))
    }

    fn call(&self, method: &str, path: &str) -> Call {
        self.without_origin(method, path)
            .header("origin", &self.origin)
    }

    async fn is_signed_in(&self) -> bool {
        self.call("GET", "/v1/session").send().await.status == 200
    }
}

fn written(cookies: &[(String, String)]) -> String {
    let pairs: Vec<String> = cookies
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("; ")
}

/// Whether the page of an origin may read the answer.
fn is_readable_by(answer: &Answer, origin: &str) -> bool {
    answer.header("access-control-allow-origin") == Some(origin)
        && answer.header("access-control-allow-credentials") == Some("true")
}

#[tokio::test]
async fn a_page_is_given_its_secrets_in_cookies_that_no_script_sees() {
    let household = Household::register().await;
    let Some(page) = Page::sign_in(&household, &[]).await else {
        return;
    };

    let body = page.answer.done(200);
    assert!(body.get("token").is_none() && body.get("device_key").is_none());
    assert!(page.cookie("__Host-curfew").starts_with("cft_"));
    assert!(page.cookie("__Host-curfew-device").starts_with("cfd_"));
    for cookie in page.answer.cookies() {
        let attributes: Vec<&str> = cookie.split("; ").skip(1).collect();
        let wanted = ["Path=/", "Secure", "HttpOnly", "SameSite=Strict"];
        assert_eq!(attributes[..4], wanted, "{cookie}");
        assert!(attributes[4].starts_with("Max-Age="), "{cookie}");
        assert_eq!(attributes.len(), 5, "no Domain: {cookie}");
    }
    assert!(is_readable_by(&page.answer, &page.origin));
}

#[tokio::test]
async fn a_page_is_let_in_by_its_cookie() {
    let household = Household::register().await;
    let Some(page) = Page::sign_in(&household, &[]).await else {
        return;
    };

    let answer = page.without_origin("GET", "/v1/session").send().await;

    assert_eq!(answer.done(200)["device"], page.shown);
}

#[tokio::test]
async fn a_page_that_signs_in_again_is_the_same_device() {
    let household = Household::register().await;
    let Some(page) = Page::sign_in(&household, &[]).await else {
        return;
    };

    let again = Page::sign_in(&household, &page.cookies).await.unwrap();

    assert_eq!(again.shown["id"], page.shown["id"]);
    assert!(again.is_signed_in().await);
    assert!(!page.is_signed_in().await);
}

#[tokio::test]
async fn a_device_cookie_that_cant_be_read_is_replaced() {
    let household = Household::register().await;
    let broken = [("__Host-curfew-device".to_owned(), "nonsense".to_owned())];

    let Some(page) = Page::sign_in(&household, &broken).await else {
        return;
    };

    assert!(page.cookie("__Host-curfew-device").starts_with("cfd_"));
}

#[tokio::test]
async fn signing_in_for_a_cookie_needs_an_allowed_origin() {
    let household = Household::register().await;
    let for_a_cookie = || household.log_in(json!({ "transport": "cookie" }));

    let answer = for_a_cookie().send().await;
    assert_eq!(answer.invalid(), "Origin");
    assert!(answer.cookies().is_empty());

    for origin in FOREIGN {
        let answer = for_a_cookie().header("origin", origin).send().await;
        assert_eq!(answer.invalid(), "Origin");
        assert!(answer.cookies().is_empty());
    }
    let tv = household.sign_in(TV).await;
    assert_eq!(tv.devices("all").await.len(), 1);
}

/// What changes something.
const CHANGES: [(&str, &str); 4] = [
    ("POST", "/v1/sign-out"),
    ("POST", "/v1/devices/{device_id}/sign-out"),
    ("POST", "/v1/sign-out-all"),
    ("PUT", "/v1/password"),
];

/// A body that a change would take.
fn body(household: &Household, path: &str) -> Option<Value> {
    match path {
        "/v1/sign-out-all" => Some(json!({ "scope": "global" })),
        "/v1/password" => Some(json!({
            "current_password": household.password,
            "new_password": Household::unregistered().password,
        })),
        _ => None,
    }
}

#[tokio::test]
async fn a_cookie_changes_nothing_without_an_allowed_origin() {
    let household = Household::register().await;
    let Some(page) = Page::sign_in(&household, &[]).await else {
        return;
    };

    for (method, path) in CHANGES {
        let body = body(&household, path);
        let id = page.shown["id"].as_str().unwrap();
        let path = path.replace("{device_id}", id);
        let call = || {
            let call = page.without_origin(method, &path);
            match &body {
                Some(body) => call.json(body),
                None => call,
            }
        };

        assert_eq!(call().send().await.invalid(), "Origin");
        for origin in FOREIGN {
            let answer = call().header("origin", origin).send().await;

            assert_eq!(answer.invalid(), "Origin");
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
    assert!(page.is_signed_in().await);
    let _ = household.sign_in(TV).await;
}

#[tokio::test]
async fn a_foreign_origin_is_refused_whatever_it_presents() {
    let tv = Household::register().await.sign_in(TV).await;

    for origin in FOREIGN {
        for path in ["/v1/session", "/v1/devices", "/v1/openapi.json", "/nowhere"] {
            let answer = tv.call("GET", path).header("origin", origin).send().await;

            assert_eq!(answer.invalid(), "Origin");
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
}

#[tokio::test]
async fn nothing_is_changed_by_get() {
    let tv = Household::register().await.sign_in(TV).await;

    for (_, path) in CHANGES {
        let path = path.replace("{device_id}", &tv.id);

        let answer = tv.get(&path).await;

        answer.refused(405, "method-not-allowed");
    }
    assert!(tv.is_signed_in().await);
}

#[tokio::test]
async fn an_allowed_origin_may_read_every_answer() {
    let Some(origin) = allowed_origin() else {
        return;
    };
    let tv = Household::register().await.sign_in(TV).await;
    let from = |call: Call| call.header("origin", &origin).send();

    let answers = [
        from(tv.call("GET", "/v1/session")).await,
        from(tv.call("GET", "/v1/openapi.json")).await,
        from(tv.call("GET", "/nowhere")).await,
        from(tv.call("DELETE", "/v1/session")).await,
        from(Api::default().call("GET", "/v1/session")).await,
        from(Api::default().call("POST", "/v1/login").json(&json!({}))).await,
    ];

    for answer in answers {
        assert!(is_readable_by(&answer, &origin), "{}", answer.text());
        assert_eq!(answer.header("vary"), Some("Origin"));
        assert_eq!(
            answer.header("access-control-expose-headers"),
            Some("WWW-Authenticate, Retry-After")
        );
    }
}

#[tokio::test]
async fn answers_vary_by_origin_even_without_one() {
    let answer = Api::default().call("GET", "/v1/openapi.json").send().await;

    assert_eq!(answer.header("vary"), Some("Origin"));
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

/// Asks as a browser does before a call that is not simple.
fn preflight(path: &str, origin: &str) -> Call {
    Api::default()
        .call("OPTIONS", path)
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "authorization,content-type",
        )
}

#[tokio::test]
async fn an_allowed_origin_learns_what_it_may_send() {
    let Some(origin) = allowed_origin() else {
        return;
    };
    let paths = [
        ("/v1/accounts", "POST"),
        ("/v1/session", "GET"),
        ("/v1/devices/x/sign-out", "POST"),
        ("/v1/password", "PUT"),
        ("/v1/openapi.json", "GET"),
    ];

    for (path, methods) in paths {
        let answer = preflight(path, &origin).send().await;

        assert_eq!(answer.status, 204, "{}", answer.text());
        assert!(answer.body.is_empty());
        assert!(is_readable_by(&answer, &origin));
        let said = |name| answer.header(name);
        assert_eq!(said("access-control-allow-methods"), Some(methods));
        assert_eq!(
            said("access-control-allow-headers"),
            Some("authorization, content-type")
        );
        assert_eq!(said("access-control-max-age"), Some("600"));
        assert_eq!(said("vary"), Some("Origin"));
    }
}

#[tokio::test]
async fn a_foreign_origin_learns_nothing() {
    for origin in FOREIGN {
        let answer = preflight("/v1/session", origin).send().await;

        assert_eq!(answer.invalid(), "Origin");
        assert_eq!(answer.header("access-control-allow-origin"), None);
        assert_eq!(answer.header("access-control-allow-methods"), None);
    }
}

/// Whether an answer makes the browser forget the session, and the session alone.
fn forgets_the_session(answer: &Answer) -> bool {
    answer.header("clear-site-data") == Some("\"cache\", \"storage\"")
        && answer.cookies()
            == ["__Host-curfew=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0"]
}

#[tokio::test]
async fn a_page_that_signs_itself_out_forgets_its_session() {
    let household = Household::register().await;
    for (method, path) in CHANGES {
        let household = match path {
            "/v1/password" => Household::register().await,
            _ => household.clone(),
        };
        let Some(page) = Page::sign_in(&household, &[]).await else {
            return;
        };
        let id = page.shown["id"].as_str().unwrap();
        let mut call = page.call(method, &path.replace("{device_id}", id));
        if let Some(body) = body(&household, path) {
            call = call.json(&body);
        }

        let answer = call.send().await;

        let _ = answer.done(200);
        assert!(forgets_the_session(&answer), "{path}");
        assert!(!page.is_signed_in().await, "{path}");
    }
}

#[tokio::test]
async fn a_page_that_signs_out_the_others_keeps_its_session() {
    let household = Household::register().await;
    let Some(page) = Page::sign_in(&household, &[]).await else {
        return;
    };

    let answer = page
        .call("POST", "/v1/sign-out-all")
        .json(&json!({ "scope": "others" }))
        .send()
        .await;

    let _ = answer.done(200);
    assert!(answer.cookies().is_empty());
    assert_eq!(answer.header("clear-site-data"), None);
    assert!(page.is_signed_in().await);
}

#[tokio::test]
async fn an_app_that_signs_itself_out_is_sent_no_cookie() {
    let tv = Household::register().await.sign_in(TV).await;

    let answer = tv.post("/v1/sign-out").await;

    let _ = answer.done(200);
    assert!(answer.cookies().is_empty());
    assert_eq!(answer.header("clear-site-data"), None);
}
