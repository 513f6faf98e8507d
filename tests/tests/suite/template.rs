//! `template.yaml` against the code, and the facts that must always hold for it. What
//! the local AWS ignores of a template is checked here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::OnceLock;

use curfew::root;
use curfew_tests::template;
use documents::openapi;
use serde_json::{Value, json};

/// Returns the template.
fn whole() -> &'static Value {
    static TEMPLATE: OnceLock<Value> = OnceLock::new();
    TEMPLATE.get_or_init(|| template::read().unwrap())
}

/// Returns the resources of a type, by their logical ids.
fn resources(kind: &str) -> BTreeMap<&'static str, &'static Value> {
    template::resources(whole(), kind).into_iter().collect()
}

/// Returns the properties of the functions, by their logical ids.
fn functions() -> BTreeMap<&'static str, &'static Value> {
    let functions = resources("AWS::Serverless::Function").into_iter();
    functions
        .map(|(name, resource)| (name, &resource["Properties"]))
        .collect()
}

/// Returns a property of a function, or that of the template's globals.
fn setting<'a>(function: &'a Value, name: &str) -> &'a Value {
    match &function[name] {
        Value::Null => &whole()["Globals"]["Function"][name],
        own => own,
    }
}

/// Returns the events of a type, each with its function and properties.
fn events(kind: &str) -> Vec<(&'static str, &'static Value)> {
    let mut found = Vec::new();
    for (function, properties) in functions() {
        for event in properties["Events"].as_object().into_iter().flatten() {
            if event.1["Type"] == kind {
                found.push((function, &event.1["Properties"]));
            }
        }
    }
    found
}

/// Returns the logical id of the resource that a value refers to.
fn referred(value: &Value) -> &str {
    let attribute = value["Fn::GetAtt"][0].as_str();
    attribute.or(value["Ref"].as_str()).unwrap_or_default()
}

/// Returns the folders of the functions.
fn folders() -> BTreeSet<String> {
    fs::read_dir(root().join("functions"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Returns the logical id of a folder such as `sign-out-device`.
fn pascal_case(folder: &str) -> String {
    let capitalised = |word: &str| word[..1].to_uppercase() + &word[1..];
    folder.split('-').map(capitalised).collect()
}

/// Calls a function with every value within a value, and its path.
fn walk(value: &Value, path: &str, look: &mut impl FnMut(&str, &Value)) {
    look(path, value);
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, &format!("{path}[{index}]"), look);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                walk(member, &format!("{path}.{name}"), look);
            }
        }
        _ => {}
    }
}

#[test]
fn every_folder_of_functions_is_in_the_template_once_under_its_name() {
    let in_template: Vec<(String, String)> = functions()
        .iter()
        .map(|(name, properties)| {
            let code = properties["CodeUri"].as_str().unwrap().to_owned();
            ((*name).to_owned(), code)
        })
        .collect();

    let mut wanted: Vec<(String, String)> = folders()
        .iter()
        .map(|folder| (pascal_case(folder), format!("functions/{folder}/")))
        .collect();
    wanted.sort();
    assert_eq!(in_template, wanted);
}

#[test]
fn every_function_is_one_package_of_the_folders_name() {
    for folder in folders() {
        let manifest = root().join(format!("functions/{folder}/Cargo.toml"));
        let manifest = fs::read_to_string(manifest).unwrap();

        assert!(
            manifest.contains(&format!("name = \"{folder}\"\n")),
            "{folder}"
        );
        let function = &resources("AWS::Serverless::Function")[&*pascal_case(&folder)];
        assert_eq!(function["Metadata"]["BuildMethod"], "rust-cargolambda");
    }
}

#[test]
fn every_function_has_the_custom_runtime_and_the_architecture_of_the_parameter() {
    for (name, function) in functions() {
        assert_eq!(setting(function, "Runtime"), "provided.al2023", "{name}");
        let architectures = setting(function, "Architectures");
        assert_eq!(architectures, &json!([{ "Ref": "Architecture" }]), "{name}");
    }
    assert_eq!(whole()["Parameters"]["Architecture"]["Default"], "arm64");
}

#[test]
fn every_function_has_its_own_role_and_log() {
    let mut roles = BTreeSet::new();
    let mut logs = BTreeSet::new();
    for (name, function) in functions() {
        let role = referred(&function["Role"]);
        assert_eq!(role, format!("{name}Access"));
        assert!(roles.insert(role), "{role} is shared");
        assert!(
            function.get("Policies").is_none(),
            "SAM adds managed policies to those of {name}"
        );

        let log = referred(&function["LoggingConfig"]["LogGroup"]);
        assert_eq!(log, format!("{name}Log"));
        assert!(logs.insert(log), "{log} is shared");
        let group = resources("AWS::Logs::LogGroup")[log];
        assert_eq!(
            group["Properties"]["RetentionInDays"],
            json!({ "Ref": "LogRetentionDays" }),
            "{log}"
        );
    }
    let all: BTreeSet<&str> = resources("AWS::IAM::Role").into_keys().collect();
    assert_eq!(all, roles, "a role without a function");
}

#[test]
fn every_role_trusts_only_lambda_and_has_no_managed_policy() {
    for (name, role) in resources("AWS::IAM::Role") {
        let properties = &role["Properties"];
        assert!(properties.get("ManagedPolicyArns").is_none(), "{name}");
        let trust = &properties["AssumeRolePolicyDocument"]["Statement"];
        let lambda = json!([{
            "Effect": "Allow",
            "Principal": { "Service": "lambda.amazonaws.com" },
            "Action": "sts:AssumeRole",
        }]);
        assert_eq!(trust, &lambda, "{name}");
    }
    assert!(resources("AWS::IAM::Policy").is_empty());
    assert!(resources("AWS::IAM::ManagedPolicy").is_empty());
}

#[test]
fn no_policy_has_a_wildcard() {
    // Lambda chooses the names of S3 objects, and the gateway those of connections, so
    // these end in a wildcard.
    let socket =
        "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${SocketApi}/v1";
    let named_by_others = [
        "${UnpublishedBatches.Arn}/*".to_owned(),
        format!("{socket}/POST/@connections/*"),
        format!("{socket}/DELETE/@connections/*"),
    ];
    let mut wildcards = Vec::new();
    let mut statements = 0;

    walk(&whole()["Resources"], "", &mut |path, value| {
        if value.get("Effect").is_some() {
            statements += 1;
            for not in ["NotAction", "NotResource", "NotPrincipal"] {
                assert!(value.get(not).is_none(), "{not} in {path}");
            }
        }
        let text = value.as_str().unwrap_or_default();
        if !path.contains("Polic") || !text.contains('*') {
            return;
        }
        if path.ends_with(".Resource.Fn::Sub") && named_by_others.iter().any(|arn| arn == text) {
            return;
        }
        wildcards.push(format!("{path}: {text}"));
    });

    assert!(statements > 90, "too few policies were checked");
    assert_eq!(wildcards, [] as [String; 0]);
}

#[test]
fn every_role_writes_only_to_the_log_of_its_function() {
    for (role, resource) in resources("AWS::IAM::Role") {
        let mut logs = Vec::new();
        walk(&resource["Properties"]["Policies"], "", &mut |_, value| {
            if value["Action"].to_string().contains("\"logs:") {
                logs.push(value.clone());
            }
        });

        let log = format!("{}Log", role.strip_suffix("Access").unwrap());
        let own = json!({
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": { "Fn::GetAtt": [log, "Arn"] },
        });
        assert_eq!(logs, [own], "{role}");
    }
}

#[test]
fn only_publish_revocations_reads_the_streams() {
    let mut readers = BTreeSet::new();
    for (role, resource) in resources("AWS::IAM::Role") {
        walk(&resource["Properties"]["Policies"], "", &mut |_, value| {
            let attribute = &value["Resource"]["Fn::GetAtt"];
            if attribute[1] == "StreamArn" {
                let actions = [
                    "dynamodb:DescribeStream",
                    "dynamodb:GetRecords",
                    "dynamodb:GetShardIterator",
                    "dynamodb:ListStreams",
                ];
                assert_eq!(value["Action"], json!(actions), "{role}");
                readers.insert(format!("{role}: {}", attribute[0]));
            }
        });
    }

    let wanted = [
        "PublishRevocationsAccess: \"Devices\"",
        "PublishRevocationsAccess: \"Receipts\"",
    ];
    assert_eq!(readers, wanted.map(str::to_owned).into());
}

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
fn the_api_is_throttled_and_sign_in_more_than_the_rest() {
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

    for route in ["POST /v1/accounts", "POST /v1/login"] {
        let route = throttle(&api["RouteSettings"][route]);
        assert!(route[0] < all[0] && route[1] < all[1]);
    }
}

#[test]
fn only_introspection_is_authorized_by_iam() {
    let api = &resources("AWS::Serverless::HttpApi")["HttpApi"]["Properties"];
    assert_eq!(api["Auth"], json!({ "EnableIamAuthorizer": true }));

    let guarded: Vec<(&str, &Value)> = events("HttpApi")
        .into_iter()
        .filter(|(_, route)| route.get("Auth").is_some())
        .map(|(function, route)| (function, &route["Auth"]))
        .collect();

    assert_eq!(
        guarded,
        [("Introspect", &json!({ "Authorizer": "AWS_IAM" }))]
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
    let variables = &functions()["SocketTickets"]["Environment"]["Variables"];
    assert_eq!(variables["SOCKET_URL"], expected);
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

#[test]
fn functions_that_hash_sign_out_or_publish_have_reserved_concurrency() {
    let reserved: BTreeMap<&str, &Value> = functions()
        .iter()
        .filter_map(|(name, function)| {
            let reserved = function.get("ReservedConcurrentExecutions")?;
            Some((*name, &reserved["Fn::If"][1]["Ref"]))
        })
        .collect();

    let wanted = [
        ("Register", "HashingConcurrency"),
        ("Login", "HashingConcurrency"),
        ("ChangePassword", "HashingConcurrency"),
        ("SignOutDevice", "SignOutConcurrency"),
        ("SignOutAll", "SignOutConcurrency"),
        ("PublishRevocations", "PublishConcurrency"),
    ];
    for (name, parameter) in wanted {
        assert_eq!(reserved[name], parameter);
    }
    assert_eq!(reserved.len(), wanted.len());
}

/// Returns the variables that a function reads, each with whether the template must set
/// it. Settings with a default must be set, too, or a parameter would have no effect.
fn variables_read(folder: &str) -> BTreeMap<String, bool> {
    let source = |file: &str| {
        let path = root().join(format!("functions/{folder}/src/{file}"));
        fs::read_to_string(path).unwrap()
    };
    let main = source("main.rs");
    let mut read: BTreeMap<String, bool> = main
        .split('"')
        .skip(1)
        .step_by(2)
        .filter(|text| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
        })
        .map(|name| (name.to_owned(), true))
        .collect();
    if main.contains("runtime::limits()") {
        for name in [
            "SESSION_IDLE_DAYS",
            "SESSION_ABSOLUTE_DAYS",
            "RECEIPT_RETENTION_DAYS",
        ] {
            read.insert(name.to_owned(), true);
        }
    }
    if main.contains("runtime::password_rules()") {
        read.insert("PASSWORD_MIN_LENGTH".to_owned(), true);
    }
    if main.contains("runtime::origin_policy()") {
        read.insert("ALLOWED_ORIGINS".to_owned(), true);
        let shows_places = source("lib.rs").contains(".place()");
        read.insert("DISTRIBUTION_SECRET".to_owned(), shows_places);
    }
    read
}

#[test]
fn every_function_has_the_variables_that_it_reads_and_of_its_own_no_other() {
    let for_all = whole()["Globals"]["Function"]["Environment"]["Variables"]
        .as_object()
        .unwrap();
    let mut read_by_any = BTreeSet::new();

    for folder in folders() {
        let read = variables_read(&folder);
        let function = functions()[&*pascal_case(&folder)];
        let own = function["Environment"]["Variables"].as_object();
        let own: BTreeSet<&String> = own.into_iter().flat_map(|own| own.keys()).collect();

        for (name, needed) in &read {
            let is_set = own.contains(name) || for_all.contains_key(name);
            assert!(!needed || is_set, "{folder} needs {name}");
        }
        for name in own {
            assert!(read.contains_key(name), "{folder} does not read {name}");
            assert!(!for_all.contains_key(name), "{folder} sets {name} again");
        }
        read_by_any.extend(read.into_keys());
    }
    for (name, value) in for_all {
        assert!(read_by_any.contains(name), "no function reads {name}");
        // Every function sees these: none may be a secret or grant access.
        assert!(name.ends_with("_TABLE") || name.ends_with("_DAYS") || name == "ALLOWED_ORIGINS");
        assert!(value["Ref"].is_string(), "{name}");
    }
}

#[test]
fn every_parameter_is_used() {
    let mut used = BTreeSet::new();
    for part in ["Conditions", "Globals", "Resources", "Outputs"] {
        walk(&whole()[part], "", &mut |path, value| {
            let text = value.as_str().unwrap_or_default();
            if path.ends_with(".Ref") {
                used.insert(text.to_owned());
            }
        });
    }

    for (name, parameter) in whole()["Parameters"].as_object().unwrap() {
        assert!(used.contains(name), "{name} has no effect");
        assert!(parameter.get("Default").is_some(), "{name} has no default");
    }
    let secret = &whole()["Parameters"]["DistributionSecret"];
    assert_eq!(secret["NoEcho"], true);
}

/// The tables with temporary rows only.
const TEMPORARY: [&str; 2] = ["Connections", "Tickets"];

#[test]
fn every_lasting_table_is_retained_recoverable_and_protected() {
    let mut tables = resources("AWS::DynamoDB::Table");
    tables.retain(|name, _| !TEMPORARY.contains(name));
    let names: Vec<&str> = tables.keys().copied().collect();
    assert_eq!(names, ["Accounts", "Devices", "Identities", "Receipts"]);

    for (name, table) in tables {
        let properties = &table["Properties"];
        assert_eq!(
            properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"], true,
            "{name}"
        );
        assert_eq!(
            properties["DeletionProtectionEnabled"],
            json!({ "Fn::If": ["IsProduction", true, false] }),
            "{name}"
        );
        assert_eq!(table["DeletionPolicy"], "RetainExceptOnCreate", "{name}");
        assert_eq!(table["UpdateReplacePolicy"], "Retain", "{name}");
    }
}

#[test]
fn every_temporary_table_is_deleted_with_the_stack_and_its_rows_expire() {
    for name in TEMPORARY {
        let table = resources("AWS::DynamoDB::Table")[name];
        let properties = &table["Properties"];
        assert_eq!(table["DeletionPolicy"], "Delete", "{name}");
        assert_eq!(table["UpdateReplacePolicy"], "Delete", "{name}");
        let ttl = json!({ "AttributeName": "delete_at", "Enabled": true });
        assert_eq!(properties["TimeToLiveSpecification"], ttl, "{name}");
        assert!(properties.get("StreamSpecification").is_none(), "{name}");
        let recovery = properties.get("PointInTimeRecoverySpecification");
        assert!(recovery.is_none(), "{name}");
    }
}

#[test]
fn every_table_is_encrypted_on_demand_and_in_one_region() {
    for (name, table) in resources("AWS::DynamoDB::Table") {
        let properties = &table["Properties"];
        assert_eq!(properties["BillingMode"], "PAY_PER_REQUEST", "{name}");
        assert_eq!(properties["SSESpecification"]["SSEEnabled"], true, "{name}");
    }
    assert!(resources("AWS::DynamoDB::GlobalTable").is_empty());
}

#[test]
fn a_global_index_contains_only_keys() {
    let mut global = Vec::new();
    for (name, table) in resources("AWS::DynamoDB::Table") {
        let indexes = table["Properties"]["GlobalSecondaryIndexes"].as_array();
        for index in indexes.into_iter().flatten() {
            assert_eq!(index["Projection"]["ProjectionType"], "KEYS_ONLY");
            global.push(format!("{name}/{}", index["IndexName"].as_str().unwrap()));
        }
    }

    assert_eq!(global, ["Connections/by_connection"]);
}

#[test]
fn the_rows_of_devices_and_receipts_expire_and_are_streamed() {
    let tables = resources("AWS::DynamoDB::Table");
    let facts = |name: &str| {
        let properties = &tables[name]["Properties"];
        let ttl = &properties["TimeToLiveSpecification"];
        let stream = &properties["StreamSpecification"]["StreamViewType"];
        json!([ttl["Enabled"], ttl["AttributeName"], stream])
    };

    assert_eq!(
        facts("Devices"),
        json!([true, "delete_at", "NEW_AND_OLD_IMAGES"])
    );
    assert_eq!(facts("Receipts"), json!([true, "delete_at", "NEW_IMAGE"]));
    assert_eq!(facts("Accounts"), json!([null, null, null]));
    assert_eq!(facts("Identities"), json!([null, null, null]));
}

#[test]
fn the_streams_are_filtered_and_lose_no_record() {
    let mappings = events("DynamoDB");
    let mut filters = BTreeMap::new();
    for (function, mapping) in &mappings {
        assert_eq!(*function, "PublishRevocations");
        assert_eq!(mapping["StartingPosition"], "TRIM_HORIZON");
        assert_eq!(
            mapping["FunctionResponseTypes"],
            json!(["ReportBatchItemFailures"])
        );
        assert_eq!(mapping["BisectBatchOnFunctionError"], true);
        assert_eq!(mapping["MaximumRetryAttempts"], -1);
        let age_s = mapping["MaximumRecordAgeInSeconds"].as_u64().unwrap();
        assert!((12 * 3600..24 * 3600).contains(&age_s), "{age_s}");
        let destination = referred(&mapping["DestinationConfig"]["OnFailure"]["Destination"]);
        assert_eq!(destination, "UnpublishedBatches");
        let patterns = mapping["FilterCriteria"]["Filters"].as_array().unwrap();
        let [pattern] = patterns.as_slice() else {
            panic!("{} filters", patterns.len());
        };
        let pattern: Value = serde_json::from_str(pattern["Pattern"].as_str().unwrap()).unwrap();
        filters.insert(referred(&mapping["Stream"]), pattern);
    }

    assert_eq!(
        filters["Receipts"],
        json!({
            "eventName": ["INSERT"],
            "dynamodb": { "NewImage": { "scope": { "S": [{ "exists": true }] } } },
        })
    );
    assert_eq!(
        filters["Devices"],
        json!({
            "eventName": ["INSERT", "MODIFY"],
            "dynamodb": { "NewImage": { "last_write": { "S": ["sign_in"] } } },
        })
    );
    assert_eq!(mappings.len(), 2);
}

#[test]
fn a_batch_of_a_queue_can_fail_in_part_and_stays_invisible_while_it_is_processed() {
    let mappings = events("SQS");
    assert!(!mappings.is_empty());

    for (name, mapping) in mappings {
        assert_eq!(
            mapping["FunctionResponseTypes"],
            json!(["ReportBatchItemFailures"])
        );
        assert!(mapping["ScalingConfig"]["MaximumConcurrency"].is_u64());
        let queue = resources("AWS::SQS::Queue")[referred(&mapping["Queue"])];
        let hidden_s = queue["Properties"]["VisibilityTimeout"].as_u64().unwrap();
        let timeout_s = setting(functions()[name], "Timeout").as_u64().unwrap();
        // Lambda's guide asks for six times the timeout. But a device waits for its push,
        // and a duplicate is harmless.
        let times = if name == "PushRevocations" { 2 } else { 6 };
        assert!(hidden_s >= times * timeout_s, "{name}");
    }
}

#[test]
fn the_subscriptions_filter_events_by_their_attributes() {
    let mut heard = BTreeMap::new();
    for (_, subscription) in resources("AWS::SNS::Subscription") {
        let properties = &subscription["Properties"];
        assert_eq!(referred(&properties["TopicArn"]), "Events");
        assert_eq!(properties["RawMessageDelivery"], true);
        assert_eq!(properties["FilterPolicyScope"], "MessageAttributes");
        heard.insert(
            referred(&properties["Endpoint"]),
            properties["FilterPolicy"].clone(),
        );
    }

    let ends = json!(["session-revoked", "other-sessions-revoked"]);
    let wanted = [
        ("PushQueue", json!({ "event_type": ends })),
        (
            "SweepQueue",
            json!({ "event_type": ends, "scope": ["others", "global"] }),
        ),
    ];
    assert_eq!(heard, wanted.into());
}

#[test]
fn only_the_topic_may_send_events_to_the_queues() {
    let mut queues = BTreeSet::new();
    for (name, policy) in resources("AWS::SQS::QueuePolicy") {
        let properties = &policy["Properties"];
        let queue = referred(&properties["Queues"][0]);
        let only_the_topic = json!([{
            "Effect": "Allow",
            "Principal": { "Service": "sns.amazonaws.com" },
            "Action": "sqs:SendMessage",
            "Resource": { "Fn::GetAtt": [queue, "Arn"] },
            "Condition": { "ArnEquals": { "aws:SourceArn": { "Ref": "Events" } } },
        }]);
        let statements = &properties["PolicyDocument"]["Statement"];
        assert_eq!(statements, &only_the_topic, "{name}");
        queues.insert(queue);
    }

    let wanted = [
        "PushDeadLetters",
        "PushQueue",
        "SweepDeadLetters",
        "SweepQueue",
    ];
    assert_eq!(queues, wanted.into());
}

/// Returns the queues of messages that could not be delivered or processed.
fn dead_letter_queues() -> BTreeSet<String> {
    let mut queues = BTreeSet::from(["Unpublished".to_owned()]);
    walk(&whole()["Resources"], "", &mut |path, value| {
        if path.ends_with(".deadLetterTargetArn") {
            queues.insert(referred(value).to_owned());
        }
    });
    queues
}

#[test]
fn every_queue_is_encrypted_keeps_its_messages_and_has_a_dead_letter_queue() {
    let dead_letters = dead_letter_queues();

    for (name, queue) in resources("AWS::SQS::Queue") {
        let properties = &queue["Properties"];
        assert_eq!(properties["SqsManagedSseEnabled"], true, "{name}");
        let fortnight_s = 14 * 24 * 3600;
        assert_eq!(properties["MessageRetentionPeriod"], fortnight_s, "{name}");
        let has_one = properties.get("RedrivePolicy").is_some();
        assert_eq!(has_one, !dead_letters.contains(name), "{name}");
    }
    for (name, subscription) in resources("AWS::SNS::Subscription") {
        let properties = &subscription["Properties"];
        assert!(properties.get("RedrivePolicy").is_some(), "{name}");
        assert_eq!(properties["Protocol"], "sqs", "{name}");
    }
}

/// Returns the alarms on a metric, each as its resource and threshold.
fn alarms(metric: &str) -> BTreeMap<String, f64> {
    resources("AWS::CloudWatch::Alarm")
        .values()
        .map(|alarm| &alarm["Properties"])
        .filter(|alarm| alarm["MetricName"] == metric)
        .map(|alarm| {
            assert_eq!(alarm["ComparisonOperator"], "GreaterThanThreshold");
            assert_eq!(alarm["TreatMissingData"], "notBreaching");
            let of = referred(&alarm["Dimensions"][0]["Value"]).to_owned();
            (of, alarm["Threshold"].as_f64().unwrap())
        })
        .collect()
}

#[test]
fn every_dead_letter_queue_has_an_alarm_on_its_first_message() {
    let alarms = alarms("ApproximateNumberOfMessagesVisible");

    for queue in dead_letter_queues() {
        assert!(alarms[&queue].abs() < f64::EPSILON, "{queue}");
    }
}

#[test]
fn a_stream_that_is_not_read_raises_an_alarm_long_before_it_expires() {
    let ages = alarms("IteratorAge");
    let readers: BTreeSet<&str> = events("DynamoDB")
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert!(!readers.is_empty());

    for reader in readers {
        assert!(ages[reader] <= 3_600_000.0, "{reader}");
        assert!(alarms("Errors").contains_key(reader), "{reader}");
        assert!(alarms("Throttles").contains_key(reader), "{reader}");
    }
}

#[test]
fn background_functions_and_the_authorizer_have_an_alarm_on_errors() {
    let errors = alarms("Errors");

    for function in [
        "Authorizer",
        "PublishRevocations",
        "PushRevocations",
        "Socket",
        "Sweep",
    ] {
        assert!(errors.contains_key(function), "{function}");
    }
    assert!(alarms("5xx").contains_key("HttpApi"));
    assert!(alarms("ExecutionError").contains_key("SocketApi"));
    let ages = alarms("ApproximateAgeOfOldestMessage");
    for (name, mapping) in events("SQS") {
        assert!(ages.contains_key(referred(&mapping["Queue"])), "{name}");
    }
}

#[test]
fn every_alarm_notifies_the_teams_topic_when_there_is_one() {
    let expected = json!({
        "Fn::If": ["HasAlarmTopic", [{ "Ref": "AlarmTopicArn" }], { "Ref": "AWS::NoValue" }],
    });

    for (name, alarm) in resources("AWS::CloudWatch::Alarm") {
        assert_eq!(alarm["Properties"]["AlarmActions"], expected, "{name}");
        assert!(
            alarm["Properties"]["AlarmDescription"].is_string(),
            "{name}"
        );
    }
}

#[test]
fn only_two_functions_may_publish_to_the_topic() {
    let topics = resources("AWS::SNS::Topic");
    assert!(topics["Events"]["Properties"]["KmsMasterKeyId"].is_string());
    let policy = &resources("AWS::SNS::TopicPolicy")["EventsPolicy"]["Properties"];
    assert_eq!(policy["Topics"], json!([{ "Ref": "Events" }]));

    let statements = policy["PolicyDocument"]["Statement"].as_array().unwrap();
    let publishers: Vec<&Value> = statements
        .iter()
        .filter(|statement| statement["Effect"] == "Allow")
        .filter(|statement| statement["Action"].to_string().contains("sns:Publish"))
        .collect();

    let [only] = publishers.as_slice() else {
        panic!("{publishers:?}");
    };
    let roles: Vec<&str> = only["Principal"]["AWS"]
        .as_array()
        .unwrap()
        .iter()
        .map(referred)
        .collect();
    assert_eq!(roles, ["PublishRevocationsAccess", "SweepAccess"]);
}

#[test]
fn the_bucket_is_private_and_encrypted() {
    for (name, bucket) in resources("AWS::S3::Bucket") {
        let properties = &bucket["Properties"];
        let closed = &properties["PublicAccessBlockConfiguration"];
        for lock in [
            "BlockPublicAcls",
            "BlockPublicPolicy",
            "IgnorePublicAcls",
            "RestrictPublicBuckets",
        ] {
            assert_eq!(closed[lock], true, "{name}");
        }
        assert!(properties["BucketEncryption"].is_object(), "{name}");
        assert!(properties["LifecycleConfiguration"].is_object(), "{name}");
    }
}

#[test]
fn the_outputs_have_what_an_adopting_team_needs() {
    let outputs = whole()["Outputs"].as_object().unwrap();

    for name in [
        "ApiUrl",
        "SocketUrl",
        "TopicArn",
        "AuthorizerArn",
        "IntrospectionArn",
    ] {
        assert!(outputs.contains_key(name), "{name}");
    }
}
