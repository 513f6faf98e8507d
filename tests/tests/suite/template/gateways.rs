//! The HTTP and WebSocket APIs.

use std::collections::BTreeSet;

use documents::openapi;
use http_api::OriginPolicy;
use serde_json::{Value, json};

use super::{events, functions, referred, resources, whole};

#[test]
fn the_template_has_the_routes_of_the_document() {
    let document = openapi::document();
    let mut documented = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            documented.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    let mut routed = BTreeSet::new();
    let mut otherwise = Vec::new();
    for (function, route) in events("HttpApi") {
        assert_eq!(referred(&route["ApiId"]), "HttpApi");
        match (route["Method"].as_str(), route["Path"].as_str()) {
            // The page is no part of the API.
            (Some("GET"), Some("/" | "/config.json" | "/assets/{proxy+}")) => {
                assert_eq!(function, "Page");
            }
            (Some(method), Some(path)) => {
                let new = routed.insert(format!("{method} {path}"));
                assert!(new, "{method} {path} is duplicated");
            }
            (None, None) => otherwise.push(function),
            _ => panic!("a route of {function} is incomplete"),
        }
    }

    assert_eq!(routed, documented);
    assert_eq!(otherwise, ["Api"]);
}

#[test]
fn the_api_is_throttled_and_every_route_that_hashes_more_than_the_rest() {
    let api = &resources("AWS::Serverless::HttpApi")["HttpApi"]["Properties"];
    let throttle = |settings: &Value| {
        ["ThrottlingRateLimit", "ThrottlingBurstLimit"].map(|limit| {
            let parameter = settings[limit]["Ref"].as_str().unwrap();
            whole()["Parameters"][parameter]["Default"]
                .as_u64()
                .unwrap()
        })
    };

    let all = throttle(&api["DefaultRouteSettings"]);

    // Only hashing needs more memory than the rest.
    let hashing: BTreeSet<String> = events("HttpApi")
        .into_iter()
        .filter(|(function, _)| functions()[function].get("MemorySize").is_some())
        .map(|(_, route)| {
            ["Method", "Path"]
                .map(|part| route[part].as_str().unwrap())
                .join(" ")
        })
        .collect();
    assert!(hashing.contains("POST /v1/login"));
    let throttled = api["RouteSettings"].as_object().unwrap();
    assert_eq!(throttled.keys().cloned().collect::<BTreeSet<_>>(), hashing);
    for route in throttled.values().map(throttle) {
        assert!(route[0] < all[0] && route[1] < all[1]);
    }
}

#[test]
fn the_patterns_of_origins_and_headers_accept_what_the_functions_accept() {
    let accepts = |parameter: &str, value: &str| {
        let pattern = &whole()["Parameters"][parameter]["AllowedPattern"];
        let schema = json!({ "type": "string", "pattern": pattern });
        jsonschema::is_valid(&schema, &json!(value))
    };
    for (origins, is_accepted) in [
        ("", true),
        ("https://app.example.com", true),
        (
            "https://app.example.com,http://localhost:5173, http://[::1]:3000",
            true,
        ),
        ("capacitor://localhost,file://,null", true),
        ("https://app.example.com/", false),
        (
            "https://app.example.com,https://tv.example.com/films",
            false,
        ),
        ("*", false),
        ("https://*.example.com", false),
        ("app.example.com", false),
        ("localhost:5173", false),
        ("https://App.example.com", false),
        ("https://", false),
    ] {
        assert_eq!(accepts("AllowedOrigins", origins), is_accepted, "{origins}");
        let valid = OriginPolicy::new(Some(origins)).validate();
        assert_eq!(valid.is_ok(), is_accepted, "{origins}");
    }
    for (headers, is_accepted) in [
        ("", true),
        ("baggage", true),
        ("baggage,sentry-trace, traceparent", true),
        ("*", false),
        ("baggage,", false),
        ("a b", false),
    ] {
        assert_eq!(accepts("AllowedHeaders", headers), is_accepted, "{headers}");
    }
}

#[test]
fn only_the_routes_for_services_are_authorized_by_iam() {
    let api = &resources("AWS::Serverless::HttpApi")["HttpApi"]["Properties"];
    assert_eq!(api["Auth"], json!({ "EnableIamAuthorizer": true }));

    let guarded: Vec<(&str, &Value)> = events("HttpApi")
        .into_iter()
        .filter(|(_, route)| route.get("Auth").is_some())
        .map(|(_, route)| (route["Path"].as_str().unwrap(), &route["Auth"]))
        .collect();

    let iam = json!({ "Authorizer": "AWS_IAM" });
    assert_eq!(
        guarded,
        [
            ("/v1/introspect", &iam),
            ("/v1/backend/login", &iam),
            ("/v1/backend/verifications", &iam),
        ]
    );
}

/// Returns the API of the sockets.
fn socket_api() -> &'static Value {
    let apis = resources("AWS::Serverless::WebSocketApi");
    assert_eq!(apis.len(), 1);
    &apis["SocketApi"]["Properties"]
}

#[test]
fn every_event_of_a_socket_calls_the_one_function_and_no_answer_is_sent() {
    let routes = socket_api()["Routes"].as_object().unwrap();

    let keys: Vec<&str> = routes.keys().map(String::as_str).collect();
    assert_eq!(keys, ["$connect", "$default", "$disconnect"]);
    for (key, route) in routes {
        // A route with a response would send the answer of the function to a device that
        // may have been signed out in between.
        let only_the_function = json!({ "FunctionArn": { "Fn::GetAtt": ["Socket", "Arn"] } });
        assert_eq!(route, &only_the_function, "{key}");
    }
}

#[test]
fn the_socket_is_throttled_by_its_own_parameters() {
    let throttle = json!({
        "ThrottlingRateLimit": { "Ref": "SocketRateLimit" },
        "ThrottlingBurstLimit": { "Ref": "SocketBurstLimit" },
    });

    assert_eq!(socket_api()["DefaultRouteSettings"], throttle);
    assert!(socket_api().get("RouteSettings").is_none());
}

#[test]
fn every_url_of_the_socket_has_its_stage() {
    let stage = socket_api()["StageName"].as_str().unwrap();
    let below = |scheme: &str| {
        let host = "${SocketApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}";
        json!({ "Fn::Sub": format!("{scheme}://{host}/{stage}") })
    };
    let outputs = &whole()["Outputs"];

    for function in ["Socket", "PushRevocations"] {
        let callback = &functions()[function]["Environment"]["Variables"]["SOCKET_CALLBACK_URL"];
        assert_eq!(callback, &below("https"), "{function}");
    }
    let expected = json!({ "Fn::If": ["HasSocketUrl", { "Ref": "SocketUrl" }, below("wss")] });
    let functions = functions().into_values();
    let variables = functions.map(|it| &it["Environment"]["Variables"]);
    let urls: Vec<&Value> = variables.filter_map(|it| it.get("SOCKET_URL")).collect();
    // That of the tickets, and that of the page's policy.
    assert_eq!(urls, [&expected, &expected]);
    assert_eq!(outputs["SocketUrl"]["Value"], expected);
}

#[test]
fn the_gateways_log_no_content_of_a_request() {
    let http = &resources("AWS::Serverless::HttpApi")["HttpApi"]["Properties"];
    let socket = &socket_api()["AccessLogSettings"];
    let harmless = [
        "connectionId",
        "error.responseType",
        "eventType",
        "integration.error",
        "integrationErrorMessage",
        "integrationLatency",
        "requestId",
        "requestTimeEpoch",
        "responseLatency",
        "routeKey",
        "status",
    ];

    for log in [&http["AccessLogSettings"], &socket["Fn::If"][1]] {
        let format = log["Format"].as_str().unwrap();
        let mut logged = 0;
        for variable in format.split("$context.").skip(1) {
            let variable = variable.split('"').next().unwrap();
            assert!(harmless.contains(&variable), "{variable}");
            logged += 1;
        }
        assert!(logged > 5, "too few variables were checked");
        assert_eq!(format.matches('$').count(), logged, "{format}");
    }
}

#[test]
fn the_log_of_the_sockets_is_off_by_default() {
    // A stack with this log can only be deployed when the settings of the account have a
    // role for CloudWatch.
    let log = &socket_api()["AccessLogSettings"]["Fn::If"];

    assert_eq!(log[0], "LogsSocket");
    assert_eq!(log[2], json!({ "Ref": "AWS::NoValue" }));
    assert_eq!(whole()["Parameters"]["SocketAccessLog"]["Default"], "false");
}
