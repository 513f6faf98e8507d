use super::super::fixtures::{KEY, peppers};
use super::*;

fn error(text: &str) -> PeppersError {
    Peppers::parse(&text.replace("KEY", KEY)).unwrap_err()
}

fn id(text: &str) -> PepperId {
    PepperId::new(text.to_owned()).unwrap()
}

#[test]
fn a_secret_has_several_peppers_of_which_one_is_current() {
    let text = r#" {"peppers": {"b": "KEY", "2026-11": "KEY"}, "current": "2026-11"} "#;
    let parsed = Peppers::parse(&text.replace("KEY", KEY)).unwrap();
    assert_eq!(parsed.current().id, id("2026-11"));
    assert_eq!(*parsed.find(&id("b")).unwrap().key, [b'k'; 32]);
    assert!(parsed.find(&id("c")).is_none());
}

#[test]
fn a_secret_of_another_form_is_rejected() {
    for text in [
        "",
        "KEY",
        "\"KEY\"",
        "[]",
        "{}",
        r#"{"current":"a"}"#,
        r#"{"peppers":{"a":"KEY"}}"#,
        r#"{"current":"a","peppers":"KEY"}"#,
        r#"{"current":"a","peppers":["KEY"]}"#,
        r#"{"current":"a","peppers":{"a":1}}"#,
        r#"{"current":1,"peppers":{"a":"KEY"}}"#,
        r#"{"current":null,"peppers":{"a":"KEY"}}"#,
        r#"{"current":"a","peppers":{"a":"KEY"},"KEY":"x"}"#,
        r#"{"current":"a","current":"a","peppers":{"a":"KEY"}}"#,
        r#"{"current":"a","peppers":{"a":"KEY"}} x"#,
    ] {
        let found = error(text);
        assert!(
            matches!(found, PeppersError::Malformed { .. }),
            "{text}: {found}"
        );
    }
    assert_eq!(
        error("{\n\"current\": 1}").to_string(),
        r#"is not JSON of the form {"current": "ID", "peppers": {"ID": "BASE64"}} (line 2, column 12)"#
    );
}

#[test]
fn an_id_has_1_to_8_plain_characters() {
    for text in ["", "123456789", "ä", "a b", "a$b", "a,b", "a=b"] {
        let wrong = format!(r#"{{"current":"a","peppers":{{"a":"KEY","{text}":"KEY"}}}}"#);
        assert_eq!(error(&wrong), PeppersError::Id("peppers"), "{text}");
        let wrong = format!(r#"{{"current":"{text}","peppers":{{"a":"KEY"}}}}"#);
        assert_eq!(error(&wrong), PeppersError::Id("current"), "{text}");
    }
    for text in ["a", "2026-11", "A.b_c-d9"] {
        assert_eq!(peppers(&[text]).current().id.as_str(), text);
    }
}

#[test]
fn a_pepper_has_at_least_32_bytes_in_base64() {
    for (key, wrong) in [
        ("", PeppersError::Short(id("a"))),
        (
            "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2==",
            PeppersError::Encoding(id("a")),
        ),
        (
            "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s",
            PeppersError::Encoding(id("a")),
        ),
        (
            "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2traw==",
            PeppersError::Short(id("a")),
        ),
        ("not base64", PeppersError::Encoding(id("a"))),
    ] {
        let text = format!(r#"{{"current":"a","peppers":{{"a":"{key}"}}}}"#);
        assert_eq!(error(&text), wrong, "{key}");
    }
}

#[test]
fn an_id_stands_once_and_the_current_one_exists() {
    let twice = r#"{"current":"a","peppers":{"a":"KEY","b":"KEY","a":"KEY"}}"#;
    assert_eq!(error(twice), PeppersError::Repeated(id("a")));
    let none = r#"{"current":"a","peppers":{"b":"KEY"}}"#;
    assert_eq!(error(none), PeppersError::NoCurrent(id("a")));
    assert_eq!(
        error(r#"{"current":"a","peppers":{}}"#),
        PeppersError::NoCurrent(id("a"))
    );
}

#[test]
fn neither_an_error_nor_debug_shows_a_pepper() {
    for text in [
        "KEY",
        "\"KEY\"",
        r#"{"current":"KEY","peppers":{"a":"KEY"}}"#,
        r#"{"current":"a","peppers":"KEY"}"#,
        r#"{"current":"a","peppers":{"KEY":"a"}}"#,
        r#"{"current":"a","peppers":{"a":"xKEY"}}"#,
        r#"{"current":"b","peppers":{"a":"KEY"}}"#,
        r#"{"current":"a","KEY":"a"}"#,
    ] {
        let found = error(text);
        let shown = format!("{found} {found:?}");
        assert!(!shown.contains(&KEY[..8]), "{shown}");
    }
    let shown = format!("{:?}", peppers(&["a"]));
    assert_eq!(shown, r#"Peppers { current: "a", all: ["a"], .. }"#);
}
