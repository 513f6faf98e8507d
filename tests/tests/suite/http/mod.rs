//! The API over HTTP. Nothing here needs more than its address, so this part runs
//! against `cargo lambda watch` and a real deployment, too:
//! `CURFEW_TEST_URL=… cargo test -p curfew-tests --test suite http::`.

mod accounts;
mod bad_input;
mod devices;
mod pages;
mod passwords;
mod places;
mod routes;
mod sign_in;
mod sign_outs;
mod tokens;

use serde_json::Value;

/// The ids of devices, in order.
fn ids(devices: &[Value]) -> Vec<&str> {
    devices
        .iter()
        .filter_map(|device| device["id"].as_str())
        .collect()
}

/// The codes of the reasons for which a password is refused.
fn reasons(problem: &Value) -> Vec<&str> {
    let reasons = problem["reasons"].as_array().unwrap();
    reasons
        .iter()
        .filter_map(|reason| reason["code"].as_str())
        .collect()
}
