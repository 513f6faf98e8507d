use serde::Deserialize;

use super::*;
use crate::request::tests::request;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Sample {
    #[expect(dead_code, reason = "it is only read")]
    scope: Inner,
    #[expect(dead_code, reason = "it is only read")]
    secret: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Inner {
    Others,
    Global,
}

fn wrong_with(body: &str) -> (String, String) {
    let request = request(&[("content-type", "application/json")], Some(body));
    match request.json::<Sample>() {
        Err(Problem::RequestInvalid { field, detail }) => (field, detail),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_wrong_body_is_answered_with_the_field_and_never_with_its_value() {
    let wrong = |body, field: &str, detail: &str| {
        assert_eq!(
            wrong_with(body),
            (field.to_owned(), detail.to_owned()),
            "{body}"
        );
    };
    wrong("{}", "scope", "is missing");
    wrong("[]", "body", "must be an object");
    wrong(r#"["global", null]"#, "body", "must be an object");
    wrong("\"global\"", "body", "must be an object");
    wrong("", "body", "is empty: send a JSON object");
    wrong("{", "body", "ends too early");
    wrong("{]", "body", "is not well-formed JSON");
    wrong(r#"{"scope":"global"} x"#, "body", "is not well-formed JSON");
    wrong(
        r#"{"scope":"canary"}"#,
        "scope",
        "must be `others` or `global`",
    );
    wrong(r#"{"scope":7}"#, "scope", "has the wrong type");
    wrong(
        r#"{"scop":"global"}"#,
        "scop",
        "is unknown: expected `scope` or `secret`",
    );
    wrong(
        r#"{"scope":"global","scope":"others"}"#,
        "scope",
        "was sent more than once",
    );
    wrong(
        r#"{"scope":"global","secret":["canary"]}"#,
        "secret",
        "must be a string",
    );
    let deep = format!(r#"{{"scope":{}}}"#, "[".repeat(10_000));
    assert_eq!(wrong_with(&deep).0, "body");
}

#[test]
fn a_body_of_more_than_16_kib_is_too_large() {
    let body = " ".repeat(MAX_BODY_BYTES + 1);
    let request = request(&[("content-type", "application/json")], Some(&body));
    assert_eq!(request.json::<Sample>().unwrap_err(), TOO_LARGE);
}

#[test]
fn a_body_needs_a_json_content_type() {
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
    ] {
        let request = request(&[("content-type", kind)], Some(r#"{"scope":"global"}"#));
        let problem = request.json::<Sample>().unwrap_err();
        assert_eq!(
            problem,
            Problem::invalid("Content-Type", "must be application/json")
        );
    }
    let with_charset = [("content-type", "Application/JSON; charset=utf-8")];
    assert!(
        request(&with_charset, Some(r#"{"scope":"global"}"#))
            .json::<Sample>()
            .is_ok()
    );
}
