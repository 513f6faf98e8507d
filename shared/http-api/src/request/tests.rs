use aws_lambda_events::http::HeaderValue;

use super::*;

/// A request of `203.0.113.7`, where one web origin and one distribution are known.
pub(crate) fn request(headers: &[(&'static str, &str)], body: Option<&str>) -> Request {
    let mut event = ApiGatewayV2httpRequest::default();
    for (name, value) in headers {
        event
            .headers
            .append(*name, HeaderValue::from_str(value).unwrap());
    }
    event.body = body.map(str::to_owned);
    event.request_context.http.source_ip = Some("203.0.113.7".to_owned());
    let secret = "0123456789abcdef0123456789abcdef".to_owned();
    Request::new(
        event,
        &OriginPolicy::new(Some("https://app.example.com"), Some(secret)),
    )
}

#[test]
fn a_place_comes_from_the_gateway_and_never_from_a_header_that_anybody_can_send() {
    let forged = [
        ("x-forwarded-for", "198.51.100.1"),
        ("forwarded", "for=198.51.100.1"),
        ("cloudfront-viewer-address", "198.51.100.1:443"),
        ("cloudfront-viewer-country", "PT"),
        ("x-curfew-distribution", "0123456789abcdef0123456789abcdee"),
    ];
    let place = request(&forged, None).place();
    assert_eq!(place.ip.as_deref(), Some("203.0.113.7"));
    assert_eq!((place.city, place.country), (None, None));
}

#[test]
fn a_request_through_the_teams_own_distribution_tells_the_viewers_place() {
    let headers = [
        ("x-curfew-distribution", "0123456789abcdef0123456789abcdef"),
        ("cloudfront-viewer-address", "2001:db8:0:0::7:50000"),
        ("cloudfront-viewer-city", "Lisbon"),
        ("cloudfront-viewer-country", "PT"),
    ];
    let place = request(&headers, None).place();
    assert_eq!(place.ip.as_deref(), Some("2001:db8::7"));
    assert_eq!(place.city.as_deref(), Some("Lisbon"));
    assert_eq!(place.country.as_deref(), Some("PT"));
}

#[test]
fn only_a_listed_origin_is_allowed() {
    let from = |origin| request(&[("origin", origin)], None).check_origin().is_ok();
    assert!(from("https://app.example.com"));
    for origin in [
        "https://app.example.com.evil.example",
        "http://app.example.com",
        "https://APP.example.com:444",
        "null",
        "",
        "https://evil.example",
    ] {
        assert!(!from(origin), "{origin}");
    }
    assert!(request(&[], None).check_origin().is_ok());
    assert!(request(&[], None).require_origin().is_err());
}
