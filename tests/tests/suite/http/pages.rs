//! Web pages: the cookie with the token, and the origins that may call. A deployment
//! without an allowed origin is tested for its refusals only.

use curfew_tests::client::{Answer, Api, Call, Household, LAPTOP, TV, remember, verify};
use curfew_tests::routes::{Route, session_routes};
use curfew_tests::stack::allowed_origin;
use serde_json::{Value, json};

const FOREIGN: [&str; 5] = [
    "https://evil.example",
    "null",
    "https://app.example.com.evil.example",
    "http://app.example.com",
    "https://APP.example.com",
];

/// A signed-in page.
struct Page {
    origin: String,
    /// The cookies of its browser, each with its name.
    cookies: Vec<(String, String)>,
    answer: Answer,
    shown: Value,
}

impl Page {
    /// Signs in from an allowed origin, if there is one, with the cookies that the
    /// browser has kept.
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
        let body = answer.done(200);
        let shown = body["device"].clone();
        let [account, device] = [&body["account"]["id"], &shown["id"]];
        verify(account.as_str().unwrap(), device.as_str().unwrap()).await;
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

    /// Returns a call with the cookies and without an origin.
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

/// Returns whether a page of the origin may read the answer.
fn is_readable_by(answer: &Answer, origin: &str) -> bool {
    answer.header("access-control-allow-origin") == Some(origin)
        && answer.header("access-control-allow-credentials") == Some("true")
}

#[tokio::test]
async fn a_page_gets_its_secrets_in_cookies_that_no_script_can_read() {
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
        assert_eq!(attributes.len(), 5, "an attribute too many: {cookie}");
    }
    assert!(is_readable_by(&page.answer, &page.origin));
}

#[tokio::test]
async fn a_page_is_authenticated_by_its_cookie() {
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
async fn a_malformed_device_cookie_is_replaced() {
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

/// Returns the routes that change something in the account.
fn changes() -> Vec<Route> {
    let mut changes = session_routes();
    changes.retain(|route| route.method != "GET");
    changes
}

/// Returns the routes that can sign the caller out.
fn sign_outs() -> Vec<Route> {
    let mut sign_outs = changes();
    let others = [
        "createSocketTicket",
        "renameDevice",
        "confirmAddress",
        "confirmAddressChange",
        "requestAddressChange",
        "requestVerificationCode",
        "beginFactor",
        "confirmFactor",
        "removeFactor",
        "makeRecoveryCodes",
        "setSignInCodes",
        "verify",
    ];
    sign_outs.retain(|route| !others.contains(&&*route.id));
    sign_outs
}

/// Returns a body with which a route would sign the caller out.
fn body(household: &Household, route: &Route) -> Option<Value> {
    let mut body = route.example.clone()?;
    for (name, value) in [
        ("scope", "global"),
        ("current_password", &household.password),
        ("new_password", &Household::unregistered().password),
    ] {
        if body.get(name).is_some() {
            body[name] = json!(value);
        }
    }
    if body.get("keep_current").is_some() {
        body["keep_current"] = json!(false);
    }
    Some(body)
}

#[tokio::test]
async fn a_cookie_changes_nothing_without_an_allowed_origin() {
    let household = Household::register().await;
    let Some(page) = Page::sign_in(&household, &[]).await else {
        return;
    };

    for route in changes() {
        let body = body(&household, &route);
        let path = route.path_to(page.shown["id"].as_str().unwrap());
        let call = || {
            let call = page.without_origin(&route.method, &path);
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
async fn a_foreign_origin_is_refused_even_with_a_valid_token() {
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
async fn a_change_by_get_is_refused() {
    let tv = Household::register().await.sign_in(TV).await;
    let (mut changes, mut reads) = (changes(), session_routes());
    reads.retain(|route| route.method == "GET");
    // There, GET is a route of its own.
    changes.retain(|route| reads.iter().all(|read| read.path != route.path));

    for route in changes {
        let answer = tv.get(&route.path_to(&tv.id)).await;

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

/// Returns the preflight request that a browser sends before the call.
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
async fn a_preflight_of_an_allowed_origin_names_the_methods_and_headers() {
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
        let header = |name| answer.header(name);
        assert_eq!(header("access-control-allow-methods"), Some(methods));
        // A deployment may allow more.
        let headers = header("access-control-allow-headers").unwrap();
        assert!(
            headers.starts_with("authorization, content-type"),
            "{headers}"
        );
        assert_eq!(header("access-control-max-age"), Some("600"));
        assert_eq!(header("vary"), Some("Origin"));
    }
}

#[tokio::test]
async fn a_preflight_of_a_foreign_origin_is_refused() {
    for origin in FOREIGN {
        let answer = preflight("/v1/session", origin).send().await;

        assert_eq!(answer.invalid(), "Origin");
        assert_eq!(answer.header("access-control-allow-origin"), None);
        assert_eq!(answer.header("access-control-allow-methods"), None);
    }
}

/// Returns whether an answer makes the browser forget the session and nothing else, but
/// keep the token that acknowledges its end.
fn forgets_the_session(answer: &Answer) -> bool {
    let [cleared, ended] = answer.cookies()[..] else {
        return false;
    };
    answer.header("clear-site-data") == Some("\"cache\"")
        && cleared == "__Host-curfew=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0"
        && ended.starts_with("__Host-curfew-ended=cft_")
}

#[tokio::test]
async fn a_page_that_signs_itself_out_forgets_its_session() {
    let household = Household::register().await;
    for route in sign_outs() {
        let household = match route.id.as_str() {
            "changePassword" => Household::register().await,
            _ => household.clone(),
        };
        let Some(page) = Page::sign_in(&household, &[]).await else {
            return;
        };
        let id = page.shown["id"].as_str().unwrap();
        let mut call = page.call(&route.method, &route.path_to(id));
        if let Some(body) = body(&household, &route) {
            call = call.json(&body);
        }

        let answer = call.send().await;

        let _ = answer.done(200);
        assert!(forgets_the_session(&answer), "{}", route.id);
        assert!(!page.is_signed_in().await, "{}", route.id);
    }
}

#[tokio::test]
async fn a_page_that_signs_out_the_others_keeps_its_session() {
    let household = Household::register().await;
    let Some(page) = Page::sign_in(&household, &[]).await else {
        return;
    };

    let route = changes().into_iter().find(|route| route.id == "signOutAll");
    let path = route.unwrap().path;
    let others = json!({ "scope": "others" });
    let answer = page.call("POST", &path).json(&others).send().await;

    let _ = answer.done(200);
    assert!(answer.cookies().is_empty());
    assert_eq!(answer.header("clear-site-data"), None);
    assert!(page.is_signed_in().await);
}

#[tokio::test]
async fn an_app_that_signs_itself_out_gets_no_cookie() {
    let tv = Household::register().await.sign_in(TV).await;

    let answer = tv.post("/v1/sign-out").await;

    let _ = answer.done(200);
    assert!(answer.cookies().is_empty());
    assert_eq!(answer.header("clear-site-data"), None);
}
