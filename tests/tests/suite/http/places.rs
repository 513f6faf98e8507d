//! The place of a sign-in: headers that any client can send are ignored.

use curfew_tests::client::{Api, Device, Household, TV};
use serde_json::{Value, json};

/// Signs in with more headers, and returns the address and the place of the device.
async fn place(household: &Household, headers: &[(&str, &str)]) -> [Value; 2] {
    let mut call = household.log_in(json!({})).header("user-agent", TV);
    for (name, value) in headers {
        call = call.header(name, value);
    }
    let device = Device::of(&Api::default(), &call.send().await);
    ["ip", "location"].map(|what| device.shown[what].clone())
}

#[tokio::test]
async fn forged_headers_about_the_place_are_ignored() {
    let household = Household::register().await;
    let honest = place(&household, &[]).await;
    let forged = [
        ("x-forwarded-for", "203.0.113.66"),
        ("forwarded", "for=203.0.113.66"),
        ("x-real-ip", "203.0.113.66"),
        ("true-client-ip", "203.0.113.66"),
        ("x-forwarded-host", "evil.example"),
        ("x-curfew-client-address", "203.0.113.66"),
        ("cloudfront-viewer-address", "203.0.113.66:443"),
        ("cloudfront-viewer-city", "Springfield"),
        ("cloudfront-viewer-country", "US"),
    ];

    let alone = place(&household, &forged).await;
    let with_a_guess = [&forged[..], &[("x-curfew-distribution", "")]].concat();
    let with_no_secret = place(&household, &with_a_guess).await;
    let with_a_guess = [&forged[..], &[("x-curfew-distribution", "guess")]].concat();
    let with_a_wrong_secret = place(&household, &with_a_guess).await;

    assert!(honest[0].is_string(), "the address is missing");
    assert_eq!(honest[1], json!(null));
    assert_eq!(alone, honest);
    assert_eq!(with_no_secret, honest);
    assert_eq!(with_a_wrong_secret, honest);
}
