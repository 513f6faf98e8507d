//! What each function's role may, asked of IAM as it is enforced in the local AWS:
//! every attempt below is made with the keys of every role. What a role is to be
//! let do stands in its test; all else must be denied. No attempt that IAM lets
//! through changes anything: its condition or its arguments are never right.
//!
//! Streams and logs are left out: the local AWS denies them to every role, because
//! it looks for another resource in their calls than the real one. `template.rs`
//! has who may reach them.

use std::collections::BTreeSet;

use curfew_tests::aws::{Call, Principal};
use curfew_tests::stack::stack;
use serde_json::{Value, json};

/// What any function may try, and the name by which the tests call it.
fn attempts() -> Vec<(String, Call)> {
    let stack = stack();
    let tables = &stack.tables;
    let mut attempts = Vec::new();
    let mut attempt = |name: String, call: Call| attempts.push((name, call));

    for (name, table) in [
        ("Accounts", &tables.accounts),
        ("Identities", &tables.identities),
        ("Devices", &tables.devices),
        ("Receipts", &tables.receipts),
        ("Connections", &tables.connections),
        ("Tickets", &tables.socket_tickets),
    ] {
        for (action, call) in on_table(name, table) {
            attempt(format!("{action} {name}"), call);
        }
    }
    let by_epoch = query(&tables.receipts, "account_id", Some("by_ended_epoch"));
    attempt("Query Receipts/by_ended_epoch".to_owned(), by_epoch);
    let by_connection = query(&tables.connections, "connection_id", Some("by_connection"));
    attempt("Query Connections/by_connection".to_owned(), by_connection);

    for name in [
        "SweepQueue",
        "SweepDeadLetters",
        "PushQueue",
        "PushDeadLetters",
        "Unpublished",
    ] {
        for (action, call) in on_queue(&stack.resources[name]) {
            attempt(format!("{action} {name}"), call);
        }
    }

    let topic = ("TopicArn", &*stack.topic_arn);
    let publish = [("Action", "Publish"), topic, ("Message", "")];
    attempt("Publish Events".to_owned(), sns(&publish));
    let subscribe = [
        ("Action", "Subscribe"),
        topic,
        ("Protocol", "nonsense"),
        ("Endpoint", "nobody"),
    ];
    attempt("Subscribe Events".to_owned(), sns(&subscribe));

    let bucket = &stack.resources["UnpublishedBatches"];
    let object = format!("/{bucket}/probe");
    attempt(
        "ListBucket UnpublishedBatches".to_owned(),
        Call::rest("s3", "GET", &format!("/{bucket}?list-type=2"), ""),
    );
    attempt(
        "PutObject UnpublishedBatches".to_owned(),
        Call::rest("s3", "PUT", &object, "probe"),
    );
    attempt(
        "GetObject UnpublishedBatches".to_owned(),
        Call::rest("s3", "GET", &object, ""),
    );

    for (method, action) in [
        ("POST", "PostToConnection"),
        ("DELETE", "DeleteConnection"),
        ("GET", "GetConnection"),
    ] {
        let path = gateway_path(
            &stack.functions["Socket"].environment["SOCKET_CALLBACK_URL"],
            "v1",
            "/@connections/none",
        );
        attempt(
            action.to_owned(),
            Call::rest("execute-api", method, &path, ""),
        );
    }
    let introspection = gateway_path(&stack.outputs["ApiUrl"], "$default", "/v1/introspect");
    attempt(
        "Introspect".to_owned(),
        Call::rest("execute-api", "POST", &introspection, "token=none"),
    );

    for (name, function) in &stack.functions {
        let function = &function.function_name;
        let path = format!("/2015-03-31/functions/{function}/invocations");
        attempt(
            format!("InvokeFunction {name}"),
            Call::rest("lambda", "POST", &path, "{}"),
        );
    }
    for (name, role) in &stack.functions {
        let role = [
            ("Action", "AssumeRole"),
            ("RoleArn", &*role.role_arn),
            ("RoleSessionName", "probe"),
        ];
        let call = Call::form("sts", "2011-06-15", &role);
        attempt(format!("AssumeRole {name}"), call);
    }
    attempt(
        "ListRoles".to_owned(),
        Call::form("iam", "2010-05-08", &[("Action", "ListRoles")]),
    );
    attempts
}

/// Where the local gateway serves an API, by the address that it has in the cloud.
fn gateway_path(url: &str, stage: &str, path: &str) -> String {
    let id = url.trim_start_matches("https://").split('.').next();
    let id = id.expect("the address of an API");
    format!("/_aws/execute-api/{id}/{stage}{path}")
}

/// Every way to read or write a row, none of which finds what it asks for.
fn on_table(name: &str, table: &str) -> Vec<(&'static str, Call)> {
    let keys: &[&str] = match name {
        "Accounts" => &["account_id"],
        "Identities" => &["email"],
        "Devices" => &["account_id", "device_id"],
        "Connections" => &["account_id", "connection_id"],
        "Tickets" => &["ticket_hash"],
        _ => &["account_id", "sign_out_id"],
    };
    let kind = if name == "Tickets" { "B" } else { "S" };
    let key: Value = keys
        .iter()
        .map(|key| ((*key).to_owned(), json!({ kind: "bm9ib2R5" })))
        .collect();
    let never = "attribute_exists(nothing)";
    let row = json!({ "TableName": table, "Key": key });
    let changed = json!({
        "TableName": table,
        "Key": key,
        "UpdateExpression": "SET nothing = :nothing",
        "ExpressionAttributeValues": { ":nothing": { "S": "" } },
        "ConditionExpression": never,
    });
    let put = json!({ "TableName": table, "Item": key, "ConditionExpression": never });
    let deleted = json!({ "TableName": table, "Key": key, "ConditionExpression": never });
    let batch = json!({ "RequestItems": { table: { "Keys": [key] } } });
    let removals = json!([{ "DeleteRequest": { "Key": key } }]);
    let writes = json!({ "RequestItems": { table: removals } });
    let check = json!({ "TransactItems": [{ "ConditionCheck": deleted }] });
    let scan = json!({ "TableName": table, "Limit": 1 });
    let whole = json!({ "TableName": table });
    let call = |action, body| (action, Call::dynamodb(action, body));
    vec![
        call("GetItem", &row),
        call("BatchGetItem", &batch),
        ("Query", query(table, keys[0], None)),
        call("Scan", &scan),
        call("PutItem", &put),
        call("UpdateItem", &changed),
        call("DeleteItem", &deleted),
        call("BatchWriteItem", &writes),
        (
            "ConditionCheckItem",
            Call::dynamodb("TransactWriteItems", &check),
        ),
        call("DescribeTable", &whole),
    ]
}

fn query(table: &str, key: &str, index: Option<&str>) -> Call {
    let mut query = json!({
        "TableName": table,
        "KeyConditionExpression": format!("{key} = :nobody"),
        "ExpressionAttributeValues": { ":nobody": { "S": "nobody" } },
    });
    if let Some(index) = index {
        query["IndexName"] = json!(index);
    }
    Call::dynamodb("Query", &query)
}

/// Every way to reach a queue, each with an argument that it does not take.
fn on_queue(url: &str) -> Vec<(&'static str, Call)> {
    let send = json!({ "QueueUrl": url, "MessageBody": "x", "DelaySeconds": 99_999 });
    let receive = json!({ "QueueUrl": url, "MaxNumberOfMessages": 99 });
    let delete = json!({ "QueueUrl": url, "ReceiptHandle": "x" });
    let attributes = json!({ "QueueUrl": url, "AttributeNames": ["QueueArn"] });
    let change = json!({ "QueueUrl": url, "Attributes": { "DelaySeconds": "nonsense" } });
    let call = |action, body| (action, Call::sqs(action, body));
    vec![
        call("SendMessage", &send),
        call("ReceiveMessage", &receive),
        call("DeleteMessage", &delete),
        call("GetQueueAttributes", &attributes),
        call("SetQueueAttributes", &change),
    ]
}

fn sns(fields: &[(&str, &str)]) -> Call {
    Call::form("sns", "2010-03-31", fields)
}

/// Makes every attempt in the role of a function; those that are allowed must be
/// these.
async fn may_only(function: &str, wanted: &[&str]) {
    let role = Principal::of(function).await.unwrap();
    let mut allowed = BTreeSet::new();
    for (name, call) in attempts() {
        let outcome = role.call(&call).await.unwrap();
        assert!(
            outcome.status < 500,
            "{name}: {} {}",
            outcome.status,
            outcome.text
        );
        if !outcome.is_denied() {
            allowed.insert(name);
        }
    }

    let wanted: BTreeSet<String> = wanted.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(allowed, wanted);
}

#[tokio::test]
async fn the_root_user_is_denied_nothing() {
    let root = Principal::root();

    for (name, call) in attempts() {
        let outcome = root.call(&call).await.unwrap();

        assert!(!outcome.is_denied(), "{name}: {}", outcome.text);
    }
}

#[tokio::test]
async fn register_may_put_accounts_and_identities_and_nothing_else() {
    let wanted = ["PutItem Accounts", "PutItem Identities"];

    may_only("Register", &wanted).await;
}

#[tokio::test]
async fn login_may_find_accounts_and_put_devices_and_nothing_else() {
    let wanted = [
        "GetItem Identities",
        "BatchGetItem Accounts",
        "UpdateItem Accounts",
        "BatchGetItem Devices",
        "PutItem Devices",
        "UpdateItem Receipts",
        "Query Receipts/by_ended_epoch",
    ];

    may_only("Login", &wanted).await;
}

#[tokio::test]
async fn session_may_check_touch_and_sign_out_its_device_and_nothing_else() {
    let wanted = [
        "BatchGetItem Accounts",
        "BatchGetItem Devices",
        "UpdateItem Devices",
        "PutItem Receipts",
        "UpdateItem Receipts",
        "Query Receipts/by_ended_epoch",
    ];

    may_only("Session", &wanted).await;
}

#[tokio::test]
async fn list_devices_may_read_and_mark_contacts_and_nothing_else() {
    let wanted = [
        "BatchGetItem Accounts",
        "BatchGetItem Devices",
        "Query Devices",
        "UpdateItem Devices",
        "UpdateItem Receipts",
        "Query Receipts/by_ended_epoch",
    ];

    may_only("ListDevices", &wanted).await;
}

#[tokio::test]
async fn sign_out_device_may_end_a_device_and_nothing_else() {
    let wanted = [
        "BatchGetItem Accounts",
        "ConditionCheckItem Accounts",
        "BatchGetItem Devices",
        "ConditionCheckItem Devices",
        "UpdateItem Devices",
        "PutItem Receipts",
        "UpdateItem Receipts",
        "Query Receipts/by_ended_epoch",
    ];

    may_only("SignOutDevice", &wanted).await;
}

/// What moves an account's epoch, and marks the contact of a caller whose session
/// is over.
const MOVE_THE_EPOCH: [&str; 8] = [
    "BatchGetItem Accounts",
    "UpdateItem Accounts",
    "BatchGetItem Devices",
    "ConditionCheckItem Devices",
    "UpdateItem Devices",
    "PutItem Receipts",
    "UpdateItem Receipts",
    "Query Receipts/by_ended_epoch",
];

#[tokio::test]
async fn sign_out_all_may_move_the_epoch_and_nothing_else() {
    may_only("SignOutAll", &MOVE_THE_EPOCH).await;
}

#[tokio::test]
async fn change_password_may_move_the_epoch_and_nothing_else() {
    may_only("ChangePassword", &MOVE_THE_EPOCH).await;
}

#[tokio::test]
async fn api_may_nothing() {
    may_only("Api", &[]).await;
}

#[tokio::test]
async fn sign_outs_may_read_receipts_and_mark_them_and_nothing_else() {
    let wanted = [
        "BatchGetItem Accounts",
        "BatchGetItem Devices",
        "Query Devices",
        "UpdateItem Devices",
        "BatchGetItem Receipts",
        "Query Receipts",
        "UpdateItem Receipts",
        "Query Receipts/by_ended_epoch",
    ];

    may_only("SignOutReceipts", &wanted).await;
}

/// What checks a session, touches it, and marks the contact of a dead one.
const CHECK: [&str; 5] = [
    "BatchGetItem Accounts",
    "BatchGetItem Devices",
    "UpdateItem Devices",
    "UpdateItem Receipts",
    "Query Receipts/by_ended_epoch",
];

#[tokio::test]
async fn authorizer_may_check_and_touch_and_nothing_else() {
    may_only("Authorizer", &CHECK).await;
}

#[tokio::test]
async fn introspect_may_check_and_touch_and_nothing_else() {
    may_only("Introspect", &CHECK).await;
}

#[tokio::test]
async fn socket_tickets_may_check_and_put_tickets_and_nothing_else() {
    let wanted = [&CHECK[..], &["PutItem Tickets"]].concat();

    may_only("SocketTickets", &wanted).await;
}

#[tokio::test]
async fn socket_may_check_keep_connections_and_take_tickets_and_nothing_else() {
    let more = [
        "BatchGetItem Receipts",
        "PutItem Connections",
        "GetItem Connections",
        "DeleteItem Connections",
        "Query Connections/by_connection",
        "DeleteItem Tickets",
        "SendMessage PushQueue",
        "PostToConnection",
        "DeleteConnection",
    ];

    may_only("Socket", &[&CHECK[..], &more].concat()).await;
}

#[tokio::test]
async fn push_revocations_may_tell_and_mark_and_nothing_else() {
    let wanted = [
        "BatchGetItem Accounts",
        "BatchGetItem Devices",
        "UpdateItem Receipts",
        "Query Receipts/by_ended_epoch",
        "Query Connections",
        "GetItem Connections",
        "DeleteItem Connections",
        "SendMessage PushQueue",
        "ReceiveMessage PushQueue",
        "DeleteMessage PushQueue",
        "GetQueueAttributes PushQueue",
        "PostToConnection",
        "DeleteConnection",
    ];

    may_only("PushRevocations", &wanted).await;
}

#[tokio::test]
async fn publish_revocations_may_publish_or_set_aside_and_nothing_else() {
    let wanted = [
        "Publish Events",
        "SendMessage Unpublished",
        "ListBucket UnpublishedBatches",
        "PutObject UnpublishedBatches",
    ];

    may_only("PublishRevocations", &wanted).await;
}

#[tokio::test]
async fn sweep_may_mark_devices_and_publish_and_nothing_else() {
    let wanted = [
        "Query Devices",
        "UpdateItem Devices",
        "UpdateItem Receipts",
        "Query Receipts/by_ended_epoch",
        "Publish Events",
        "SendMessage SweepQueue",
        "ReceiveMessage SweepQueue",
        "DeleteMessage SweepQueue",
        "GetQueueAttributes SweepQueue",
    ];

    may_only("Sweep", &wanted).await;
}
