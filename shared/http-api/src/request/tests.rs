use aws_lambda_events::http::HeaderValue;

use super::*;

/// A request of `203.0.113.7`, where a web origin and packaged apps are known.
pub(crate) fn request(headers: &[(&'static str, &str)], body: Option<&str>) -> Request {
    let mut event = ApiGatewayV2httpRequest::default();
    for (name, value) in headers {
        event
            .headers
            .append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    event.body = body.map(str::to_owned);
    event.request_context.http.source_ip = Some("203.0.113.7".to_owned());
    let policy = OriginPolicy::new(Some("https://app.example.com,null"));
    Request::new(event, &policy)
}

/// The same, through the team's own distribution.
fn through_distribution(headers: &[(&'static str, &str)]) -> Request {
    Request {
        is_through_distribution: true,
        ..request(headers, None)
    }
}

#[test]
fn a_place_comes_from_the_gateway_and_never_from_a_header_that_anybody_can_send() {
    let forged = [
        ("x-forwarded-for", "198.51.100.1"),
        ("forwarded", "for=198.51.100.1"),
        ("cloudfront-viewer-address", "198.51.100.1:443"),
        ("cloudfront-viewer-country", "PT"),
    ];
    let place = request(&forged, None).place();
    assert_eq!(place.ip.as_deref(), Some("203.0.113.7"));
    assert_eq!((place.city, place.country), (None, None));
}

#[test]
fn a_request_through_the_teams_own_distribution_tells_the_viewers_place() {
    let headers = [
        ("cloudfront-viewer-address", "2001:db8:0:0::7:50000"),
        ("cloudfront-viewer-city", "Lisbon"),
        ("cloudfront-viewer-country", "PT"),
    ];
    let place = through_distribution(&headers).place();
    assert_eq!(place.ip.as_deref(), Some("2001:db8::7"));
    assert_eq!(place.city.as_deref(), Some("Lisbon"));
    assert_eq!(place.country.as_deref(), Some("PT"));
}

#[test]
fn the_viewers_type_is_taken_from_the_teams_own_distribution_alone() {
    let [tv, tablet, mobile, desktop] = ["smarttv", "tablet", "mobile", "desktop"];
    for (reported, expected) in [
        (&[tv][..], Some(DeviceType::Tv)),
        (&[mobile, tablet], Some(DeviceType::Tablet)),
        (&[mobile], Some(DeviceType::Phone)),
        (&[desktop], Some(DeviceType::Computer)),
        (&[], None),
    ] {
        let mut headers = Vec::new();
        for (name, word) in [
            ("cloudfront-is-smarttv-viewer", tv),
            ("cloudfront-is-tablet-viewer", tablet),
            ("cloudfront-is-mobile-viewer", mobile),
            ("cloudfront-is-desktop-viewer", desktop),
        ] {
            let is_reported = reported.contains(&word);
            headers.push((name, if is_reported { "true" } else { "false" }));
        }
        let proven = through_distribution(&headers).viewer_type();
        assert_eq!(proven, expected, "{reported:?}");
        assert_eq!(request(&headers, None).viewer_type(), None);
    }
}

#[test]
fn only_a_listed_origin_is_allowed() {
    let from = |origin| request(&[("origin", origin)], None).check_origin().is_ok();
    assert!(from("https://app.example.com"));
    assert!(from("null"));
    for origin in [
        "https://app.example.com.evil.example",
        "http://app.example.com",
        "https://APP.example.com:444",
        "file://",
        "",
        "https://evil.example",
    ] {
        assert!(!from(origin), "{origin}");
    }
    assert!(request(&[], None).check_origin().is_ok());
    assert!(request(&[], None).require_origin().is_err());
}

#[test]
fn the_apis_own_address_is_an_allowed_origin_whatever_the_headers_say() {
    let from = |origin, host, domain: Option<&str>| {
        let mut request = request(&[("origin", origin), ("host", host)], None);
        request.event.request_context.domain_name = domain.map(str::to_owned);
        request.require_origin().is_ok()
    };
    let (own, host) = ("https://id.example.com", "id.example.com");

    assert!(from(own, host, Some(host)));
    assert!(!from(own, host, Some("api.example.com")));
    assert!(!from(own, host, None));
    for origin in [
        "http://id.example.com",
        "https://id.example.com.evil.example",
        "https://evil.example/id.example.com",
        "https://id.example.com:8443",
        "https://",
    ] {
        assert!(!from(origin, host, Some(host)), "{origin}");
    }
    assert!(!from("https://", host, Some("")));
}

#[test]
fn a_city_is_decoded_strictly() {
    for (sent, shown) in [
        ("Lisbon", Some("Lisbon")),
        ("S%C3%A3o%20Paulo", Some("S\u{e3}o Paulo")),
        ("Al-%e2%80%99Ayn", Some("Al-\u{2019}Ayn")),
        ("100%", None),
        ("S%C3", None),
        ("S%C3%A", None),
        ("S%zz", None),
        ("S%+1", None),
        ("a%0Ab", None),
        ("%20", None),
        ("S\u{e3}o", None),
    ] {
        let place = through_distribution(&[("cloudfront-viewer-city", sent)]).place();
        assert_eq!(place.city.as_deref(), shown, "{sent}");
    }
}

#[test]
fn only_what_can_not_be_read_is_dropped_from_a_description() {
    for (name, sent, read) in [
        (
            "user-agent",
            "Films/1 (Caf\u{e9} TV)",
            Some("Films/1 (Caf TV)"),
        ),
        (
            "sec-ch-ua-model",
            "\"Galaxy \u{2122} 7\"",
            Some("\"Galaxy  7\""),
        ),
        ("origin", "https://app.ex\u{e4}mple.com", None),
        ("content-type", "application/json\u{e9}", None),
    ] {
        assert_eq!(request(&[(name, sent)], None).header(name), read, "{name}");
    }
}

#[test]
fn a_path_begins_where_the_api_does() {
    for (raw, path) in [
        ("/v1/session", "/v1/session"),
        ("/curfew/v1/session", "/v1/session"),
        ("/a/b/v1/devices/v1/sign-out", "/v1/devices/v1/sign-out"),
        ("/curfew/v1", "/curfew/v1"),
        ("/curfewv1/x", "/curfewv1/x"),
    ] {
        let mut request = request(&[], None);
        request.event.raw_path = Some(raw.to_owned());
        assert_eq!(request.path(), path);
    }
}

#[test]
fn a_method_that_a_client_made_up_is_not_logged() {
    for (method, logged) in [("PUT", "PUT"), ("ZQJKEEGEUD", "other"), ("get", "other")] {
        let mut request = request(&[], None);
        request.event.request_context.http.method = method.parse().unwrap();
        assert_eq!(request.logged_method(), logged);
    }
}

#[test]
fn a_route_that_is_not_named_is_that_of_the_path_and_its_parameters() {
    for (path, parameters, route) in [
        ("/", &[][..], "GET /"),
        ("/v1/session", &[], "GET /v1/session"),
        (
            "/v1/devices/7/sign-out",
            &[("device_id", "7")],
            "GET /v1/devices/{device_id}/sign-out",
        ),
        (
            "/assets/1/main.js",
            &[("proxy", "1/main.js")],
            "GET /assets/{proxy+}",
        ),
    ] {
        let mut event = ApiGatewayV2httpRequest::default();
        event.route_key = Some("$default".to_owned());
        event.raw_path = Some(path.to_owned());
        for (name, value) in parameters {
            let (name, value) = ((*name).to_owned(), (*value).to_owned());
            event.path_parameters.insert(name, value);
        }

        let request = Request::new(event, &OriginPolicy::new(None));

        assert_eq!(request.route(), route);
    }
}
