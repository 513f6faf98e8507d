//! The permissions of each function's role, as the local AWS enforces IAM. Every
//! attempt is made with the keys of every role, and all but those in the table must
//! be denied. An attempt that IAM allows changes nothing, because its condition or
//! its arguments are wrong on purpose.
//!
//! Streams and logs are missing: the local AWS looks for another resource in these
//! calls than the real one, and denies them to every role. `template.rs` checks them.

use std::collections::BTreeSet;

use curfew_tests::aws::{Call, Principal};
use curfew_tests::stack::{PEPPERS, SECRET, stack};
use curfew_tests::template;
use futures_util::future::join_all;
use serde_json::{Value, json};

/// The attributes by which a session can be made valid again. Only a function whose
/// expressions name one may update it.
const GUARDED: [(&str, &[&str]); 2] = [
    (
        "Accounts",
        &[
            "address_changed_at",
            "confirmed_at",
            "disabled_at",
            "email",
            "epoch",
            "factors",
            "factors_lost_at",
            "held_since",
            "kept_session",
            "password_hash",
            "recovered_at",
            "recovered_epoch",
            "sign_in_codes",
        ],
    ),
    (
        "Devices",
        &[
            "device_key_hash",
            "epoch",
            "expires_at",
            "previous_token_hash",
            "recognized_until",
            "signed_in_key",
            "token_hash",
            "verified_at",
        ],
    ),
];

/// Returns every attempt with its name.
fn attempts() -> Vec<(String, Call)> {
    let stack = stack();
    let tables = &stack.tables;
    let mut attempts = updates_of_guarded();
    let mut attempt = |name: String, call: Call| attempts.push((name, call));

    for (name, table) in [
        ("Accounts", &tables.accounts),
        ("Identities", &tables.identities),
        ("Devices", &tables.devices),
        ("Receipts", &tables.receipts),
        ("Connections", &tables.connections),
        ("Tickets", &tables.tickets),
        ("Notices", &tables.notices),
        ("Attempts", &tables.attempts),
        ("Challenges", &tables.challenges),
        ("Factors", &tables.factors),
    ] {
        for (action, call) in on_table(name, table) {
            attempt(format!("{action} {name}"), call);
        }
    }
    let by_signed_in = query(&tables.devices, "account_id", Some("by_signed_in"));
    attempt("Query Devices/by_signed_in".to_owned(), by_signed_in);
    let by_connection = query(&tables.connections, "connection_id", Some("by_connection"));
    attempt("Query Connections/by_connection".to_owned(), by_connection);
    let by_opened = query(&tables.connections, "account_id", Some("by_opened"));
    attempt("Query Connections/by_opened".to_owned(), by_opened);

    for name in [
        "SweepQueue",
        "SweepDeadLetters",
        "PushQueue",
        "PushDeadLetters",
        "Unpublished",
        "Confirmations",
        "Codes",
        "Mails",
        "MailsDeadLetters",
        "NotifyQueue",
        "NotifyDeadLetters",
    ] {
        for (action, call) in on_queue(&stack.resources[name]) {
            attempt(format!("{action} {name}"), call);
        }
    }

    for (action, call) in on_topic(&stack.topic_arn) {
        attempt(format!("{action} Events"), call);
    }

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

    for (name, secret) in [
        ("the distribution", SECRET),
        ("the peppers", PEPPERS),
        ("another", "curfew/another"),
    ] {
        for (action, call) in on_secret(secret) {
            attempt(format!("{action} of {name}"), call);
        }
    }

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
    for (name, function) in &stack.functions {
        let function = &function.function_name;
        let path = format!("/2015-03-31/functions/{function}/invocations");
        attempt(
            format!("InvokeFunction {name}"),
            Call::rest("lambda", "POST", &path, "{}"),
        );
    }
    attempts.extend(on_key(&stack.resources["FactorsKey"]));
    attempts.extend(routes_by_iam());
    attempts.extend(roles());
    attempts.extend(mails());
    attempts.extend(pauses());
    attempts
}

/// Returns the calls of the routes that are authenticated by IAM.
fn routes_by_iam() -> [(String, Call); 3] {
    [
        ("Introspect", "/v1/introspect", "token=none"),
        ("LoginByBackend", "/v1/backend/login", "{}"),
        ("VerifyByBackend", "/v1/backend/verifications", "{}"),
    ]
    .map(|(name, path, body)| {
        let path = gateway_path(&stack().outputs["ApiUrl"], "$default", path);
        let call = Call::rest("execute-api", "POST", &path, body);
        (name.to_owned(), call)
    })
}

/// Returns the calls that would give a function another role, or show which there are.
fn roles() -> Vec<(String, Call)> {
    let roles = stack().functions.iter().map(|(name, role)| {
        let role = [
            ("Action", "AssumeRole"),
            ("RoleArn", &*role.role_arn),
            ("RoleSessionName", "probe"),
        ];
        let call = Call::form("sts", "2011-06-15", &role);
        (format!("AssumeRole {name}"), call)
    });
    let list = Call::form("iam", "2010-05-08", &[("Action", "ListRoles")]);
    roles.chain([("ListRoles".to_owned(), list)]).collect()
}

/// Returns mails from the sender of the stack, and from another one. They have neither
/// content nor addressee.
fn mails() -> [(String, Call); 2] {
    let from = &stack().functions["SendMail"].environment["MAIL_FROM"];
    [("MailFrom", &**from), ("another", "other@curfew.example")].map(|(name, from)| {
        let mail = json!({ "FromEmailAddress": from, "Destination": {}, "Content": {} });
        let path = "/v2/email/outbound-emails";
        let call = Call::rest("ses", "POST", path, &mail.to_string());
        (format!("SendEmail from {name}"), call)
    })
}

/// Returns the calls that pause or resume mails. They resume what is not paused, so they
/// change nothing.
fn pauses() -> [(String, Call); 2] {
    ["UnprovenMails", "ProvenMails"].map(|name| {
        let set = &stack().resources[name];
        let path = format!("/v2/email/configuration-sets/{set}/sending");
        let call = Call::rest("ses", "PUT", &path, r#"{"SendingEnabled":true}"#);
        (format!("PutConfigurationSetSendingOptions {name}"), call)
    })
}

/// Returns the path at which the local gateway serves an API, from its address in the
/// cloud.
fn gateway_path(url: &str, stage: &str, path: &str) -> String {
    let id = url.trim_start_matches("https://").split('.').next();
    let id = id.expect("the address of an API");
    format!("/_aws/execute-api/{id}/{stage}{path}")
}

/// Returns the updates of guarded attributes.
fn updates_of_guarded() -> Vec<(String, Call)> {
    let mut attempts = vec![update_of_returned()];
    for (name, attributes) in GUARDED {
        let table = match name {
            "Accounts" => &stack().tables.accounts,
            _ => &stack().tables.devices,
        };
        for attribute in attributes {
            let attempt = format!("UpdateItem {name}.{attribute}");
            let updates = updates(name, table, attribute);
            attempts.extend(updates.map(|call| (attempt.clone(), call)));
        }
    }
    attempts
}

/// Returns the update that marks a notice whose mail came back.
fn update_of_returned() -> (String, Call) {
    let update = json!({
        "TableName": stack().tables.notices,
        "Key": key_of("Notices"),
        "UpdateExpression": "SET returned_at = if_not_exists(returned_at, :now)",
        "ExpressionAttributeValues": { ":now": { "S": "" } },
        "ConditionExpression": "attribute_exists(notice_id)",
    });
    let call = Call::dynamodb("UpdateItem", &update);
    ("UpdateItem Notices.returned_at".to_owned(), call)
}

/// Returns the key of a row that does not exist.
fn key_of(name: &str) -> Value {
    let keys: &[&str] = match name {
        "Accounts" => &["account_id"],
        "Identities" => &["email"],
        "Devices" => &["account_id", "device_id"],
        "Connections" => &["account_id", "connection_id"],
        "Tickets" => &["session_id", "ticket_hash"],
        "Notices" => &["account_id", "notice_id"],
        "Attempts" => &["counter"],
        "Challenges" => &["challenge_id"],
        "Factors" => &["account_id", "factor_id"],
        _ => &["account_id", "sign_out_id"],
    };
    keys.iter()
        .map(|key| {
            let is_binary = matches!(*key, "ticket_hash" | "counter");
            let kind = if is_binary { "B" } else { "S" };
            ((*key).to_owned(), json!({ kind: "bm9ib2R5" }))
        })
        .collect()
}

/// Returns updates of one attribute of a row that does not exist: alone, by another
/// spelling, by its removal, and as the second part of a transaction.
fn updates(name: &str, table: &str, attribute: &str) -> [Call; 4] {
    let update = |expression: String, extra: Value| {
        let mut update = json!({
            "TableName": table,
            "Key": key_of(name),
            "UpdateExpression": expression,
            "ConditionExpression": "attribute_exists(nothing)",
        });
        let extra = extra.as_object().expect("an object").clone();
        update.as_object_mut().expect("an object").extend(extra);
        update
    };
    let values = json!({ "ExpressionAttributeValues": { ":none": { "S": "" } } });
    let plain = update(
        format!("SET last_write = :none, {attribute} = :none"),
        values.clone(),
    );
    let mut aliased = values;
    aliased["ExpressionAttributeNames"] = json!({ "#a": attribute });
    let aliased = update("SET #a = :none".to_owned(), aliased);
    let removed = update(format!("REMOVE {attribute}"), json!({}));
    let other = update("REMOVE nothing".to_owned(), json!({}));
    let parts = json!([{ "Update": other }, { "Update": aliased }]);
    [
        Call::dynamodb("UpdateItem", &plain),
        Call::dynamodb("UpdateItem", &aliased),
        Call::dynamodb("UpdateItem", &removed),
        Call::dynamodb("TransactWriteItems", &json!({ "TransactItems": parts })),
    ]
}

/// Returns every way of reading or writing a row. None of them finds its row.
fn on_table(name: &str, table: &str) -> Vec<(&'static str, Call)> {
    let key = key_of(name);
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
        ("Query", query(table, partition_key(name), None)),
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

fn partition_key(name: &str) -> &'static str {
    match name {
        "Identities" => "email",
        "Tickets" => "session_id",
        "Attempts" => "counter",
        "Challenges" => "challenge_id",
        _ => "account_id",
    }
}

fn query(table: &str, key: &str, index: Option<&str>) -> Call {
    let mut query = json!({
        "TableName": table,
        "KeyConditionExpression": format!("{key} = :none"),
        "ExpressionAttributeValues": { ":none": { "S": "none" } },
    });
    if let Some(index) = index {
        query["IndexName"] = json!(index);
    }
    Call::dynamodb("Query", &query)
}

/// Returns every way of using a queue, each with an invalid argument.
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

/// Returns every way of using a key. None of them has anything to seal or to open.
fn on_key(key: &str) -> [(String, Call); 4] {
    let attempt = |action: &str, body| (format!("{action} FactorsKey"), Call::kms(action, &body));
    [
        attempt("Encrypt", json!({ "KeyId": key, "Plaintext": "" })),
        attempt("Decrypt", json!({ "KeyId": key, "CiphertextBlob": "" })),
        attempt("DescribeKey", json!({ "KeyId": key })),
        attempt("ScheduleKeyDeletion", json!({ "KeyId": "none" })),
    ]
}

/// Returns every way of using a secret. None of them changes it.
fn on_secret(secret: &str) -> Vec<(&'static str, Call)> {
    let secret = json!({ "SecretId": secret });
    let actions = [
        "GetSecretValue",
        "DescribeSecret",
        "UpdateSecretVersionStage",
    ];
    actions
        .map(|action| (action, Call::secrets(action, &secret)))
        .into()
}

/// Returns every way of using a topic, each with an invalid argument.
fn on_topic(arn: &str) -> [(&'static str, Call); 2] {
    let topic = ("TopicArn", arn);
    let publish = [("Action", "Publish"), topic, ("Message", "")];
    let subscribe = [
        ("Action", "Subscribe"),
        topic,
        ("Protocol", "nonsense"),
        ("Endpoint", "none"),
    ];
    [("Publish", sns(&publish)), ("Subscribe", sns(&subscribe))]
}

fn sns(fields: &[(&str, &str)]) -> Call {
    Call::form("sns", "2010-03-31", fields)
}

/// The calls that check a session, touch it, and record the contact of one that has
/// ended.
const CHECK: &[&str] = &[
    "BatchGetItem Accounts",
    "BatchGetItem Devices",
    "UpdateItem Devices",
    "BatchGetItem Receipts",
    "UpdateItem Receipts",
];

/// The further update that ends a session in its own row, or keeps it.
const MARK: &[&str] = &["UpdateItem Devices.signed_in_key"];

/// The further calls that move an account's epoch.
const MOVE_THE_EPOCH: &[&str] = &[
    "UpdateItem Accounts",
    "UpdateItem Accounts.epoch",
    "UpdateItem Accounts.kept_session",
    "ConditionCheckItem Devices",
    "PutItem Receipts",
];

/// The calls that send a code.
const ASK_FOR_A_CODE: &[&str] = &[
    "PutItem Challenges",
    "UpdateItem Attempts",
    "GetSecretValue of the distribution",
];

/// The calls that each function may make, besides those of a group.
const ALLOWED: [(&str, &[&[&str]]); 28] = [
    ("Api", &[]),
    ("Page", &[]),
    ("Authorizer", &[CHECK]),
    (
        "ChangePassword",
        &[
            CHECK,
            MARK,
            MOVE_THE_EPOCH,
            &[
                "UpdateItem Accounts.password_hash",
                "UpdateItem Attempts",
                "GetSecretValue of the peppers",
            ],
        ],
    ),
    (
        "Verify",
        &[
            CHECK,
            MARK,
            &[
                "ConditionCheckItem Accounts",
                "UpdateItem Accounts",
                "UpdateItem Accounts.epoch",
                "UpdateItem Accounts.factors_lost_at",
                "UpdateItem Devices.previous_token_hash",
                "UpdateItem Devices.recognized_until",
                "UpdateItem Devices.token_hash",
                "UpdateItem Devices.verified_at",
                "PutItem Receipts",
                "PutItem Challenges",
                "UpdateItem Challenges",
                "DeleteItem Challenges",
                "UpdateItem Attempts",
                "Query Factors",
                "UpdateItem Factors",
                "Decrypt FactorsKey",
                "SendMessage NotifyQueue",
                "SendMessage Codes",
                "GetSecretValue of the peppers",
            ],
        ],
    ),
    (
        "SecondStep",
        &[
            CHECK,
            MARK,
            &[
                "ConditionCheckItem Accounts",
                "UpdateItem Accounts",
                "UpdateItem Accounts.disabled_at",
                "UpdateItem Accounts.epoch",
                "UpdateItem Accounts.factors",
                "UpdateItem Accounts.factors_lost_at",
                "UpdateItem Accounts.kept_session",
                "UpdateItem Accounts.password_hash",
                "UpdateItem Accounts.sign_in_codes",
                "ConditionCheckItem Devices",
                "PutItem Devices",
                "PutItem Receipts",
                "GetItem Challenges",
                "PutItem Challenges",
                "UpdateItem Challenges",
                "DeleteItem Challenges",
                "UpdateItem Attempts",
                "Query Factors",
                "PutItem Factors",
                "UpdateItem Factors",
                "DeleteItem Factors",
                "Encrypt FactorsKey",
                "Decrypt FactorsKey",
                "SendMessage NotifyQueue",
                "SendMessage Codes",
                "GetSecretValue of the distribution",
            ],
        ],
    ),
    (
        "ChangeAddress",
        &[
            CHECK,
            &[
                "UpdateItem Accounts",
                "UpdateItem Accounts.address_changed_at",
                "UpdateItem Accounts.confirmed_at",
                "UpdateItem Accounts.email",
                "UpdateItem Accounts.epoch",
                "ConditionCheckItem Devices",
                "UpdateItem Devices.recognized_until",
                "GetItem Identities",
                "PutItem Identities",
                "UpdateItem Identities",
                "PutItem Challenges",
                "UpdateItem Challenges",
                "DeleteItem Challenges",
                "UpdateItem Attempts",
                "PutItem Receipts",
                "SendMessage Codes",
            ],
        ],
    ),
    (
        "ConfirmCodes",
        &[&[
            "BatchGetItem Accounts",
            "PutItem Accounts",
            "UpdateItem Accounts",
            "UpdateItem Accounts.confirmed_at",
            "UpdateItem Accounts.email",
            "UpdateItem Accounts.epoch",
            "UpdateItem Accounts.factors",
            "UpdateItem Accounts.factors_lost_at",
            "UpdateItem Accounts.held_since",
            "UpdateItem Accounts.kept_session",
            "UpdateItem Accounts.password_hash",
            "UpdateItem Accounts.recovered_at",
            "UpdateItem Accounts.recovered_epoch",
            "Query Factors",
            "UpdateItem Factors",
            "DeleteItem Factors",
            "Decrypt FactorsKey",
            "GetItem Identities",
            "PutItem Identities",
            "GetItem Challenges",
            "UpdateItem Challenges",
            "DeleteItem Challenges",
            "UpdateItem Attempts",
            "PutItem Receipts",
            "GetSecretValue of the peppers",
        ]],
    ),
    ("Introspect", &[CHECK]),
    (
        "ListDevices",
        &[CHECK, &["Query Devices", "Query Devices/by_signed_in"]],
    ),
    (
        "Login",
        &[&[
            "PutItem Challenges",
            "UpdateItem Challenges",
            "DeleteItem Challenges",
            "GetItem Identities",
            "BatchGetItem Accounts",
            "UpdateItem Accounts",
            "UpdateItem Accounts.confirmed_at",
            "UpdateItem Accounts.disabled_at",
            "UpdateItem Accounts.email",
            "UpdateItem Accounts.epoch",
            "UpdateItem Accounts.factors",
            "UpdateItem Accounts.factors_lost_at",
            "UpdateItem Accounts.kept_session",
            "UpdateItem Accounts.password_hash",
            "DeleteItem Factors",
            "UpdateItem Attempts",
            "BatchGetItem Devices",
            "PutItem Devices",
            "UpdateItem Devices",
            "UpdateItem Devices.signed_in_key",
            "PutItem Receipts",
            "UpdateItem Receipts",
            "BatchGetItem Receipts",
            "SendMessage NotifyQueue",
            "SendMessage Codes",
            "GetSecretValue of the distribution",
            "GetSecretValue of the peppers",
        ]],
    ),
    (
        "Messages",
        &[
            CHECK,
            MARK,
            &[
                "UpdateItem Accounts",
                "UpdateItem Accounts.address_changed_at",
                "UpdateItem Accounts.email",
                "UpdateItem Accounts.epoch",
                "UpdateItem Accounts.held_since",
                "UpdateItem Accounts.kept_session",
                "UpdateItem Accounts.password_hash",
                "UpdateItem Accounts.recovered_at",
                "UpdateItem Accounts.recovered_epoch",
                "UpdateItem Identities",
                "UpdateItem Devices.recognized_until",
                "PutItem Receipts",
                "UpdateItem Accounts.factors",
                "UpdateItem Accounts.factors_lost_at",
                "DeleteItem Factors",
                "GetItem Notices",
                "Query Notices",
                "UpdateItem Notices",
                "UpdateItem Notices.returned_at",
                "UpdateItem Devices.recognized_until",
                "SendMessage NotifyQueue",
            ],
        ],
    ),
    (
        "NotifyOwner",
        &[&[
            "GetItem Identities",
            "GetItem Challenges",
            "BatchGetItem Accounts",
            "UpdateItem Accounts",
            "UpdateItem Accounts.epoch",
            "UpdateItem Accounts.factors",
            "BatchGetItem Devices",
            "Query Devices",
            "UpdateItem Notices",
            "UpdateItem Notices.returned_at",
            "UpdateItem Attempts",
            "SendMessage Mails",
            "ReceiveMessage NotifyQueue",
            "DeleteMessage NotifyQueue",
            "GetQueueAttributes NotifyQueue",
        ]],
    ),
    ("MarkReturnedMails", &[&["UpdateItem Notices.returned_at"]]),
    (
        "PauseMails",
        &[&["PutConfigurationSetSendingOptions UnprovenMails"]],
    ),
    (
        "PublishRevocations",
        &[&[
            "Publish Events",
            "SendMessage Unpublished",
            "ListBucket UnpublishedBatches",
            "PutObject UnpublishedBatches",
        ]],
    ),
    (
        "PushRevocations",
        &[&[
            "BatchGetItem Accounts",
            "BatchGetItem Devices",
            "UpdateItem Receipts",
            "BatchGetItem Receipts",
            "Query Connections",
            "GetItem Connections",
            "DeleteItem Connections",
            "SendMessage PushQueue",
            "ReceiveMessage PushQueue",
            "DeleteMessage PushQueue",
            "GetQueueAttributes PushQueue",
            "PostToConnection",
            "DeleteConnection",
        ]],
    ),
    ("RenameDevice", &[CHECK]),
    (
        "SendMail",
        &[&[
            "BatchGetItem Accounts",
            "GetItem Identities",
            "UpdateItem Attempts",
            "ReceiveMessage Confirmations",
            "DeleteMessage Confirmations",
            "GetQueueAttributes Confirmations",
            "ReceiveMessage Codes",
            "DeleteMessage Codes",
            "GetQueueAttributes Codes",
            "ReceiveMessage Mails",
            "DeleteMessage Mails",
            "GetQueueAttributes Mails",
            "SendEmail from MailFrom",
        ]],
    ),
    (
        "Register",
        &[
            ASK_FOR_A_CODE,
            &[
                "PutItem Accounts",
                "PutItem Identities",
                "SendMessage Confirmations",
                "GetSecretValue of the peppers",
            ],
        ],
    ),
    (
        "RequestCodes",
        &[
            ASK_FOR_A_CODE,
            &[
                "SendMessage Codes",
                "GetItem Identities",
                "BatchGetItem Accounts",
                "BatchGetItem Devices",
            ],
        ],
    ),
    (
        "Session",
        &[
            CHECK,
            MARK,
            &["PutItem Receipts", "GetSecretValue of the distribution"],
        ],
    ),
    ("SignOutAll", &[CHECK, MARK, MOVE_THE_EPOCH]),
    (
        "SignOutDevice",
        &[
            CHECK,
            MARK,
            &["ConditionCheckItem Accounts", "PutItem Receipts"],
        ],
    ),
    (
        "SignOutReceipts",
        &[CHECK, &["Query Devices/by_signed_in", "Query Receipts"]],
    ),
    (
        "Socket",
        &[
            CHECK,
            &[
                "PutItem Connections",
                "GetItem Connections",
                "DeleteItem Connections",
                "Query Connections/by_connection",
                "Query Connections/by_opened",
                "DeleteItem Tickets",
                "SendMessage PushQueue",
                "PostToConnection",
                "DeleteConnection",
            ],
        ],
    ),
    (
        "SocketTickets",
        &[
            CHECK,
            &["PutItem Tickets", "Query Tickets", "DeleteItem Tickets"],
        ],
    ),
    (
        "Sweep",
        &[
            MARK,
            &[
                "Query Devices/by_signed_in",
                "BatchGetItem Devices",
                "UpdateItem Devices",
                "BatchGetItem Receipts",
                "UpdateItem Receipts",
                "Publish Events",
                "SendMessage SweepQueue",
                "ReceiveMessage SweepQueue",
                "DeleteMessage SweepQueue",
                "GetQueueAttributes SweepQueue",
            ],
        ],
    ),
];

#[test]
fn every_function_of_the_template_has_its_allowed_calls_here() {
    let template = template::read().unwrap();
    let functions = template::resources(&template, "AWS::Serverless::Function");
    let functions: BTreeSet<&str> = functions.into_iter().map(|(name, _)| name).collect();
    let known: BTreeSet<&str> = ALLOWED.iter().map(|(function, _)| *function).collect();

    assert_eq!(known, functions);
}

#[tokio::test]
async fn the_root_user_is_denied_nothing() {
    let root = Principal::root();

    for (name, call) in attempts() {
        let outcome = root.call(&call).await.unwrap();

        assert!(!outcome.is_denied(), "{name}: {}", outcome.text);
    }
}

/// Makes every attempt in the role of a function. Exactly the allowed ones succeed.
async fn check_role(function: &str, groups: &[&[&str]]) {
    let role = Principal::of(function).await.unwrap();
    let mut allowed = BTreeSet::new();
    for (name, call) in attempts() {
        let outcome = role.call(&call).await.unwrap();
        let seen = format!("{function}, {name}: {} {}", outcome.status, outcome.text);
        assert!(outcome.status < 500, "{seen}");
        if !outcome.is_denied() {
            allowed.insert(name);
        }
    }

    let expected = groups.iter().copied().flatten();
    let expected: BTreeSet<String> = expected.map(|&name| name.to_owned()).collect();
    assert_eq!(allowed, expected, "{function}");
}

#[tokio::test]
async fn each_function_may_make_the_calls_in_the_table_and_no_others() {
    let roles = ALLOWED.map(|(function, groups)| check_role(function, groups));
    join_all(roles).await;
}
