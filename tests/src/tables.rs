//! The tables of `template.yaml`, for the embedded `DynamoDB`.

use serde_json::{Value, json};

/// Returns the names of the tables.
#[must_use]
pub fn names() -> store::Tables {
    store::Tables {
        accounts: ACCOUNTS.to_owned(),
        identities: IDENTITIES.to_owned(),
        devices: DEVICES.to_owned(),
        receipts: RECEIPTS.to_owned(),
        connections: CONNECTIONS.to_owned(),
        tickets: TICKETS.to_owned(),
        attempts: ATTEMPTS.to_owned(),
        notices: NOTICES.to_owned(),
        challenges: CHALLENGES.to_owned(),
        factors: FACTORS.to_owned(),
    }
}

/// The accounts.
pub const ACCOUNTS: &str = "Accounts";
/// The addresses and their accounts.
pub const IDENTITIES: &str = "Identities";
/// The devices and their sessions.
pub const DEVICES: &str = "Devices";
/// The records of sign-outs, and the entries of their receipts.
pub const RECEIPTS: &str = "Receipts";
/// The open sockets.
pub const CONNECTIONS: &str = "Connections";
/// The socket tickets.
pub const TICKETS: &str = "Tickets";
/// The counters of attempts.
pub const ATTEMPTS: &str = "Attempts";
/// The notices to owners.
pub const NOTICES: &str = "Notices";
/// The challenges.
pub const CHALLENGES: &str = "Challenges";
/// The factors.
pub const FACTORS: &str = "Factors";

/// Returns the bodies of `CreateTable`, with the keys, streams and indexes of the
/// template.
#[must_use]
pub fn definitions() -> [Value; 10] {
    let hash = |name: &str| json!({ "AttributeName": name, "KeyType": "HASH" });
    let range = |name: &str| json!({ "AttributeName": name, "KeyType": "RANGE" });
    let text = |name: &str| json!({ "AttributeName": name, "AttributeType": "S" });
    let binary = |name: &str| json!({ "AttributeName": name, "AttributeType": "B" });
    [
        json!({
            "TableName": ACCOUNTS,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [text("account_id")],
            "KeySchema": [hash("account_id")],
        }),
        json!({
            "TableName": IDENTITIES,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [text("email")],
            "KeySchema": [hash("email")],
        }),
        json!({
            "TableName": DEVICES,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [
                text("account_id"), text("device_id"), text("signed_in_key"),
            ],
            "KeySchema": [hash("account_id"), range("device_id")],
            "LocalSecondaryIndexes": [{
                "IndexName": store::BY_SIGNED_IN,
                "KeySchema": [hash("account_id"), range("signed_in_key")],
                "Projection": { "ProjectionType": "KEYS_ONLY" },
            }],
            "StreamSpecification": {
                "StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES",
            },
        }),
        json!({
            "TableName": RECEIPTS,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [text("account_id"), text("sign_out_id")],
            "KeySchema": [hash("account_id"), range("sign_out_id")],
            "StreamSpecification": { "StreamEnabled": true, "StreamViewType": "NEW_IMAGE" },
        }),
        json!({
            "TableName": CONNECTIONS,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [
                text("account_id"), text("connection_id"), text("opened_key"),
            ],
            "KeySchema": [hash("account_id"), range("connection_id")],
            "LocalSecondaryIndexes": [{
                "IndexName": store::BY_OPENED,
                "KeySchema": [hash("account_id"), range("opened_key")],
                "Projection": {
                    "ProjectionType": "INCLUDE",
                    "NonKeyAttributes": ["connected_at", "device_id"],
                },
            }],
            "GlobalSecondaryIndexes": [{
                "IndexName": store::BY_CONNECTION,
                "KeySchema": [hash("connection_id")],
                "Projection": { "ProjectionType": "KEYS_ONLY" },
            }],
        }),
        json!({
            "TableName": TICKETS,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [text("session_id"), binary("ticket_hash")],
            "KeySchema": [hash("session_id"), range("ticket_hash")],
        }),
        json!({
            "TableName": ATTEMPTS,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [binary("counter")],
            "KeySchema": [hash("counter")],
        }),
        json!({
            "TableName": NOTICES,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [text("account_id"), text("notice_id")],
            "KeySchema": [hash("account_id"), range("notice_id")],
        }),
        json!({
            "TableName": CHALLENGES,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [text("challenge_id")],
            "KeySchema": [hash("challenge_id")],
        }),
        json!({
            "TableName": FACTORS,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [text("account_id"), text("factor_id")],
            "KeySchema": [hash("account_id"), range("factor_id")],
        }),
    ]
}
