//! Malformed bodies: each is answered by its problem document and changes nothing.

use curfew_tests::client::{Answer, Api, Call, Device, Household, LAPTOP, TV, unique};
use curfew_tests::routes::{Guard, routes};
use serde_json::{Map, Value, json};

/// The maximum bytes of a body.
const LIMIT: usize = 16 * 1024;

/// An operation with a body that it would accept.
struct Operation {
    method: String,
    path: String,
    body: Value,
    token: Option<String>,
}

impl Operation {
    fn call(&self) -> Call {
        let call = Api::default().call(&self.method, &self.path);
        match &self.token {
            Some(token) => call.token(token),
            None => call,
        }
    }

    async fn answers(&self, content_type: &str, body: impl Into<Vec<u8>>) -> Answer {
        self.call().body(content_type, body).send().await
    }

    /// Sends a text as JSON.
    async fn answers_json(&self, body: impl Into<Vec<u8>>) -> Answer {
        self.answers("application/json", body).await
    }

    /// Returns the members of the body.
    fn members(&self) -> &Map<String, Value> {
        self.body.as_object().unwrap()
    }

    /// Returns the body with one member set.
    fn with(&self, name: &str, value: Value) -> String {
        let mut members = self.members().clone();
        members.insert(name.to_owned(), value);
        Value::Object(members).to_string()
    }
}

/// An account whose devices must not change.
struct Watched {
    household: Household,
    tv: Device,
    laptop: Device,
    before: Vec<Value>,
}

impl Watched {
    async fn household() -> Self {
        let household = Household::register().await;
        let (tv, laptop) = (household.sign_in(TV).await, household.sign_in(LAPTOP).await);
        let before = laptop.devices("all").await;
        Self {
            household,
            tv,
            laptop,
            before,
        }
    }

    /// Returns every operation that reads a body, with one that it would accept.
    fn operations(&self) -> Vec<Operation> {
        let unregistered = Household::unregistered();
        let operations = routes().into_iter().filter(|route| {
            let is_known = matches!(route.guard, Guard::Open | Guard::Session);
            is_known && route.method != "GET"
        });
        let operations = operations.map(|route| {
            let mut body = match route.id.as_str() {
                "register" => json!({ "email": unregistered.email }),
                "login" => self.household.credentials(),
                _ => route.example.clone().unwrap_or(json!({})),
            };
            for (name, value) in [
                ("current_password", &self.household.password),
                ("new_password", &unregistered.password),
            ] {
                if body.get(name).is_some() {
                    body[name] = json!(value);
                }
            }
            // The tests check the members that are required.
            body.as_object_mut().unwrap().remove("keep_current");
            Operation {
                path: route.path_to(&self.laptop.id),
                token: (route.guard == Guard::Session).then(|| self.tv.token.clone()),
                method: route.method,
                body,
            }
        });
        operations.collect()
    }

    /// Returns the operations that need a body.
    fn needing_a_body(&self) -> impl Iterator<Item = Operation> {
        // A verification takes one of several fields: see `verification.rs`.
        self.operations().into_iter().filter(|operation| {
            !operation.members().is_empty() && operation.path != "/v1/verifications"
        })
    }

    /// Checks that each operation refuses these bodies, and that nothing has changed.
    async fn assert_refused(&self, bodies: impl Fn(&Operation) -> Vec<String>) {
        for operation in self.operations() {
            for body in bodies(&operation) {
                let answer = operation.answers_json(body).await;
                answer.refused(400, "request-invalid");
            }
        }
        self.assert_unchanged().await;
    }

    /// Checks that nothing has changed.
    async fn assert_unchanged(&self) {
        assert!(self.tv.is_signed_in().await);
        assert_eq!(self.laptop.devices("all").await, self.before);
    }
}

#[tokio::test]
async fn a_body_that_is_not_one_json_object_is_refused() {
    let watched = Watched::household().await;
    let bodies = [
        "{",
        "}",
        "{]",
        "nonsense",
        "null",
        "true",
        "1",
        "\"text\"",
        "[]",
        "[{}]",
        "{'scope': 'global'}",
        "{\"scope\": undefined}",
        "scope=global",
        "\u{feff}{}",
        " ",
        "\0",
    ];

    let bodies = |operation: &Operation| {
        let followed = format!("{} {{}}", operation.body);
        bodies
            .map(str::to_owned)
            .into_iter()
            .chain([followed])
            .collect()
    };
    watched.assert_refused(bodies).await;
}

#[tokio::test]
async fn a_missing_body_is_refused() {
    let watched = Watched::household().await;

    for operation in watched.needing_a_body() {
        let nothing = operation.call().send().await;
        let empty = operation.answers_json("").await;

        assert_eq!(nothing.invalid(), "Content-Type");
        assert_eq!(empty.invalid(), "body");
    }
    watched.assert_unchanged().await;
}

#[tokio::test]
async fn a_body_of_another_content_type_is_refused() {
    let watched = Watched::household().await;
    let kinds = [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/octet-stream",
        "application/xml",
        "text/json",
        "application/jsonp",
        "application/problem+json",
        "json",
        "*/*",
    ];

    for operation in watched.needing_a_body() {
        let text = operation.body.to_string();
        for kind in kinds {
            let answer = operation.answers(kind, text.clone()).await;

            assert_eq!(answer.invalid(), "Content-Type", "{kind}");
        }
        let untyped = operation.call().untyped(text.clone()).send().await;
        assert_eq!(untyped.invalid(), "Content-Type");
    }
    watched.assert_unchanged().await;
}

#[tokio::test]
async fn a_deeply_nested_body_is_refused() {
    let watched = Watched::household().await;
    let arrays = "[".repeat(7000) + &"]".repeat(7000);
    let open = "[".repeat(16_000);
    let objects = "{\"a\":".repeat(2500) + "1" + &"}".repeat(2500);

    let bodies = |operation: &Operation| {
        let names = operation.members().keys();
        let in_a_field = names.map(|name| format!("{{\"{name}\":{arrays}}}"));
        let whole = [&arrays, &open, &objects].map(String::clone);
        in_a_field.chain(whole).collect()
    };
    watched.assert_refused(bodies).await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_is_parsed() {
    let watched = Watched::household().await;

    for operation in watched.operations() {
        let text = operation.body.to_string();
        for bytes in [LIMIT + 1, 1_000_000] {
            let padded = text.clone() + &" ".repeat(bytes - text.len());
            let in_a_field = operation.with("x", json!("x".repeat(bytes)));

            for body in [padded, in_a_field] {
                let answer = operation.answers_json(body).await;

                answer.refused(413, "request-too-large");
            }
            let binary = operation
                .answers("application/octet-stream", vec![0xff; bytes])
                .await;
            binary.refused(413, "request-too-large");
        }
    }
    watched.assert_unchanged().await;
}

#[tokio::test]
async fn a_body_of_ten_megabytes_is_refused() {
    let watched = Watched::household().await;

    for operation in watched.operations() {
        let answer = operation.answers_json(vec![b' '; 10_000_000]).await;

        // A gateway may refuse it itself, without a problem document.
        assert_eq!(answer.status, 413, "{}", answer.text());
    }
    watched.assert_unchanged().await;
}

#[tokio::test]
async fn a_body_of_the_maximum_size_is_read() {
    let household = Household::register().await;
    let text = household.credentials().to_string();
    let padded = text.clone() + &" ".repeat(LIMIT - text.len());

    let answer = household
        .api
        .call("POST", "/v1/login")
        .body("application/json", padded)
        .send()
        .await;

    let _ = answer.done(200);
}

#[tokio::test]
async fn a_field_of_the_wrong_type_is_named() {
    let watched = Watched::household().await;

    for operation in watched.needing_a_body() {
        for name in operation.members().keys() {
            for wrong in [
                json!(1),
                json!(-1.5),
                json!(true),
                json!([]),
                json!({}),
                json!(null),
            ] {
                if wrong.is_boolean() && operation.members()[name].is_boolean() {
                    continue;
                }
                let body = operation.with(name, wrong);

                let answer = operation.answers_json(body).await;

                assert_eq!(answer.invalid(), *name);
            }
        }
    }
    watched.assert_unchanged().await;
}

#[tokio::test]
async fn a_missing_field_is_named() {
    let watched = Watched::household().await;

    for operation in watched.needing_a_body() {
        for name in operation.members().keys() {
            let mut members = operation.members().clone();
            members.remove(name);

            let answer = operation
                .answers_json(Value::Object(members).to_string())
                .await;

            let problem = answer.refused(400, "request-invalid");
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains(name.as_str()), "{detail}");
        }
    }
    watched.assert_unchanged().await;
}

#[tokio::test]
async fn an_unknown_field_is_refused() {
    let watched = Watched::household().await;

    let names = [
        "Scope",
        "scopes",
        "device_id",
        "__proto__",
        "",
        "sc\u{f6}pe",
    ];
    let bodies = |operation: &Operation| {
        let with = names.map(|name| operation.with(name, json!("global")));
        with.to_vec()
    };
    watched.assert_refused(bodies).await;
}

#[tokio::test]
async fn a_duplicate_field_is_refused() {
    let watched = Watched::household().await;

    let bodies = |operation: &Operation| {
        let text = operation.body.to_string();
        let members = operation.members().iter();
        let twice = members.map(|(name, value)| format!("{{\"{name}\":{value},{}", &text[1..]));
        twice.collect()
    };
    watched.assert_refused(bodies).await;
}

#[tokio::test]
async fn an_unknown_scope_is_refused() {
    let watched = Watched::household().await;

    for scope in ["", "local", "device", "OTHERS", " global", "all"] {
        let answer = watched.tv.sign_out_scope(scope).await;

        assert_eq!(answer.invalid(), "scope");
    }
    watched.assert_unchanged().await;
}

#[tokio::test]
async fn a_malformed_address_is_refused() {
    let password = Household::unregistered().password;
    let long = format!("{}@household.example", "x".repeat(65));
    let longer = format!("x@{}example", "household.".repeat(25));
    let addresses = [
        "",
        "@",
        "lea",
        "lea@",
        "@household.example",
        "lea@household",
        "lea@@household.example",
        "lea @household.example",
        "lea@household.example\r\nBcc: all@household.example",
        "lea@household.example\0",
        "lea@127.0.0.1",
        "lea@[127.0.0.1]",
        "\"lea\"@household.example",
        ".lea@household.example",
        "lea@-household.example",
        &long,
        &longer,
    ];

    for email in addresses {
        let body = json!({ "email": email, "password": password });
        for path in ["/v1/accounts", "/v1/login"] {
            let answer = Api::default().call("POST", path).json(&body).send().await;

            assert_eq!(answer.invalid(), "email", "{email:?}");
        }
    }
}

#[tokio::test]
async fn a_password_that_is_too_long_is_refused() {
    let household = Household::register().await;
    let too_long = json!({ "email": household.email, "password": "x".repeat(1025) });

    let answer = household
        .api
        .call("POST", "/v1/login")
        .json(&too_long)
        .send()
        .await;

    assert_eq!(answer.invalid(), "password");
}

#[tokio::test]
async fn a_wrong_detail_of_a_device_is_named() {
    let household = Household::register().await;
    let field = async |device: Value| {
        let answer = household.log_in(json!({ "device": device })).send().await;
        answer.invalid()
    };
    let long = "x".repeat(65);

    assert_eq!(field(json!({ "name": long })).await, "device.name");
    assert_eq!(field(json!({ "os": long })).await, "device.os");
    assert_eq!(field(json!({ "model": long })).await, "device.model");
    assert_eq!(field(json!({ "app": long })).await, "device.app");
    assert_eq!(field(json!({ "name": "\u{3164}" })).await, "device.name");
    assert_eq!(field(json!({ "name": "a\nb" })).await, "device.name");
    assert_eq!(field(json!({ "name": "a\u{0}b" })).await, "device.name");
    assert_eq!(field(json!({ "type": "toaster" })).await, "device.type");
    assert_eq!(field(json!({ "type": 1 })).await, "device.type");
    assert_eq!(field(json!({ "id": unique() })).await, "device.id");
    assert_eq!(field(json!({ "browser": "x" })).await, "device.browser");
    assert_eq!(field(json!([])).await, "device");
}

#[tokio::test]
async fn no_answer_repeats_the_request() {
    let canary = unique();
    let household = Household::register().await;
    let wrong = [
        json!({ "email": household.email, "password": { "x": canary } }),
        json!({ "email": [canary], "password": household.password }),
        json!({ "email": canary, "password": canary }),
        json!({ "email": household.email, "password": canary }),
        json!({ "email": household.email, "password": canary, "transport": canary }),
        json!({ "email": household.email, "password": canary, "device_key": canary }),
        json!({ "email": household.email, "password": canary, "device": canary }),
    ];

    for body in wrong {
        let answer = household
            .api
            .call("POST", "/v1/login")
            .json(&body)
            .send()
            .await;

        assert!(answer.status >= 400);
        assert!(!answer.text().contains(&canary), "{}", answer.text());
    }
}
