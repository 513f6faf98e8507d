//! The API over HTTP. These tests need only its address, so they run against
//! `cargo lambda watch` and a real deployment, too:
//! `CURFEW_TEST_URL=… cargo test --workspace --test suite http::`.

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

/// Returns the ids of devices, in order.
fn ids(devices: &[Value]) -> Vec<&str> {
    devices
        .iter()
        .filter_map(|device| device["id"].as_str())
        .collect()
}

/// Returns the codes of the reasons for which a password was rejected.
fn reasons(problem: &Value) -> Vec<&str> {
    let reasons = problem["reasons"].as_array().unwrap();
    reasons
        .iter()
        .filter_map(|reason| reason["code"].as_str())
        .collect()
}
