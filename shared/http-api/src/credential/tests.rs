use aws_lambda_events::http::HeaderValue;
use domain::{AccountId, DeviceId, Timestamp};

use super::*;
use crate::request::tests::request;

fn token() -> String {
    let device = DeviceId::new(Timestamp::UNIX_EPOCH, [2; 10]);
    let token = Token::new(AccountId::from_random([1; 16]), device, [3; 32]);
    token.to_text().to_string()
}

/// Returns the name of the problem, or an empty text for a token.
fn problem(headers: &[(&'static str, &str)]) -> &'static str {
    let token = request(headers, None).token();
    token.map_or_else(|problem| problem.name(), |_| "")
}

#[test]
fn a_token_comes_in_one_way_only() {
    let bearer = ("authorization", &*format!("Bearer {}", token()));
    let cookie = ("cookie", &*format!("__Host-curfew={}", token()));
    let two_cookies = ("cookie", &*format!("{0}; {0}", cookie.1));
    assert_eq!(problem(&[]), "token-missing");
    assert_eq!(problem(&[bearer]), "");
    for headers in [&[bearer, cookie][..], &[bearer, bearer], &[two_cookies]] {
        assert_eq!(problem(headers), "request-invalid");
    }
}

#[test]
fn a_malformed_header_says_nothing_about_the_token() {
    let token = token();
    let cut = &token[1..];
    for (header, expected) in [
        (format!("Bearer {token}"), ""),
        (format!("bEARER {token}"), ""),
        (format!("Bearer   {token}"), ""),
        (format!("\tBearer {token} "), ""),
        (format!("Bearer {cut}"), "token-invalid"),
        (format!("Bearer {token}="), "token-invalid"),
        ("Bearer nonsense".to_owned(), "token-invalid"),
        (String::new(), "request-invalid"),
        ("Bearer".to_owned(), "request-invalid"),
        ("Bearer  ".to_owned(), "request-invalid"),
        ("Bearer =".to_owned(), "request-invalid"),
        (token.clone(), "request-invalid"),
        (format!("Bearer{token}"), "request-invalid"),
        (format!("Bearer\t{token}"), "request-invalid"),
        (format!("Bearer \t{token}"), "request-invalid"),
        (format!("Bearer {token},Bearer {token}"), "request-invalid"),
        (format!("Bearer {token}, Basic YTpi"), "request-invalid"),
        (format!("Bearer {token} x"), "request-invalid"),
        (format!("Bearer Bearer {token}"), "request-invalid"),
        (format!("Bearer \"{token}\""), "request-invalid"),
        (format!("Bearer {token}\u{e9}"), "request-invalid"),
        (format!("Basic {token}"), "request-invalid"),
        ("Basic YTpi".to_owned(), "request-invalid"),
    ] {
        let found = problem(&[("authorization", &header)]);
        assert_eq!(found, expected, "{header:?}");
    }
}

#[test]
fn a_cookie_is_found_in_a_header_that_is_not_text() {
    let (token, other) = (token(), b"x=\xff; __Host-curfew=");
    let header = [&other[..], token.as_bytes()].concat();
    for (headers, expected) in [
        (vec![], ""),
        (vec![("authorization", "Bearer x")], "request-invalid"),
        (vec![("cookie", "__Host-curfew=x")], "request-invalid"),
    ] {
        let mut request = request(&headers, None);
        let header = HeaderValue::from_bytes(&header).unwrap();
        request.event.headers.append("cookie", header);
        let found = request
            .token()
            .map_or_else(|problem| problem.name(), |_| "");
        assert_eq!(found, expected, "{headers:?}");
    }
    let mut unreadable = request(&[], None);
    let value = HeaderValue::from_bytes(b"__Host-curfew=\xff").unwrap();
    unreadable.event.headers.insert("cookie", value);
    assert_eq!(unreadable.token().unwrap_err(), Problem::TokenInvalid);
}

#[test]
fn a_cookie_needs_the_allowed_origin_of_a_page() {
    let cookie = format!("__Host-curfew={}", token());
    for (method, origin, is_accepted) in [
        ("GET", None, true),
        ("GET", Some("https://app.example.com"), true),
        ("GET", Some("https://evil.example"), false),
        ("GET", Some("null"), false),
        ("POST", None, false),
        ("POST", Some("https://app.example.com"), true),
        ("POST", Some("https://evil.example"), false),
        ("POST", Some("null"), false),
        ("HEAD", None, false),
    ] {
        let headers = [("cookie", &*cookie)].into_iter();
        let headers: Vec<_> = headers.chain(origin.map(|it| ("origin", it))).collect();
        let mut request = request(&headers, None);
        request.event.request_context.http.method = method.parse().unwrap();
        assert_eq!(request.token().is_ok(), is_accepted, "{method} {origin:?}");
    }
}
