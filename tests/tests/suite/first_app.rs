//! What `cargo run` gives an adopting team to try an app of its own: pages of this
//! machine, the key of a service, and the document that uses both.

mod documents;

use curfew_tests::aws::{AwsResponse, Call, Principal};
use curfew_tests::client::{Api, Device, Household, TV};
use curfew_tests::stack::{api_url, stack};
use serde_json::json;

/// Introspects the token of a device.
async fn ask(caller: &Principal, device: &Device) -> AwsResponse {
    let form = format!("token={}", device.token);
    let call = Call::posted("execute-api", "/v1/introspect", form);
    caller.call_at(api_url(), &call).await.unwrap()
}

fn with_secret(secret: &str) -> Principal {
    let service = &stack().service;
    let session_token = Some(&*service.session_token);
    Principal::with_key(&service.access_key_id, secret, session_token)
}

fn service() -> Principal {
    with_secret(&stack().service.secret_access_key)
}

#[tokio::test]
async fn the_key_of_the_service_introspects_and_a_wrong_secret_or_another_role_does_not() {
    let tv = Household::register().await.sign_in(TV).await;
    let of_login = Principal::of("Login").await.unwrap();

    let answer = ask(&service(), &tv).await.success().unwrap();

    assert_eq!(answer["active"], true);
    assert_eq!(answer["device_id"], json!(tv.id));
    for other in [with_secret("another secret"), of_login] {
        let refused = ask(&other, &tv).await;
        assert_eq!(refused.status, 403, "{}", refused.text);
        assert!(!refused.text.contains("active"), "{}", refused.text);
    }
}

#[tokio::test]
async fn the_key_of_the_service_may_do_nothing_else() {
    let resources = &stack().resources;
    let assume = [
        ("Action", "AssumeRole"),
        ("RoleArn", &*stack().functions["Login"].role_arn),
        ("RoleSessionName", "test"),
    ];
    let publish = [
        ("Action", "Publish"),
        ("TopicArn", &*stack().topic_arn),
        ("Message", "{}"),
    ];
    let function = &stack().functions["SignOutAll"].function_name;
    let invoke = format!("/2015-03-31/functions/{function}/invocations");
    let calls = [
        Call::dynamodb("Scan", &json!({ "TableName": stack().tables.devices })),
        Call::sqs(
            "ReceiveMessage",
            &json!({ "QueueUrl": resources["PushQueue"] }),
        ),
        Call::form("sns", "2010-03-31", &publish),
        Call::form("sts", "2011-06-15", &assume),
        Call::rest("lambda", "POST", &invoke, "{}"),
    ];

    for call in calls {
        let refused = service().call(&call).await.unwrap();

        assert!(refused.is_denied(), "{call:?}: {refused:?}");
    }
}

#[tokio::test]
async fn a_page_of_this_machine_may_call_on_any_port_and_one_of_the_network_may_not() {
    let household = Household::register().await;
    let sign_in = async |origin: &str| {
        let call = household.log_in(json!({})).header("origin", origin);
        call.send().await
    };

    for origin in ["http://localhost:5173", "http://127.0.0.1:3000"] {
        let preflight = Api::default()
            .call("OPTIONS", "/v1/login")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .send()
            .await;
        let signed_in = sign_in(origin).await;

        for answer in [&preflight, &signed_in] {
            assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
        }
        assert_eq!(signed_in.status, 200, "{}", signed_in.text());
    }
    let refused = sign_in("http://192.168.1.7:5173").await;
    let problem = refused.refused(400, "request-invalid");
    assert_eq!(problem["field"], "Origin");
    assert_eq!(refused.header("access-control-allow-origin"), None);
}
