//! The tables.

use serde_json::json;

use super::resources;

/// The tables with temporary rows only.
const TEMPORARY: [&str; 5] = [
    "Attempts",
    "Challenges",
    "Connections",
    "Notices",
    "Tickets",
];

#[test]
fn every_lasting_table_is_retained_recoverable_and_protected() {
    let mut tables = resources("AWS::DynamoDB::Table");
    tables.retain(|name, _| !TEMPORARY.contains(name));
    let names: Vec<&str> = tables.keys().copied().collect();
    assert_eq!(
        names,
        ["Accounts", "Devices", "Factors", "Identities", "Receipts"]
    );

    for (name, table) in tables {
        let properties = &table["Properties"];
        assert_eq!(
            properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"], true,
            "{name}"
        );
        assert_eq!(
            properties["DeletionProtectionEnabled"],
            json!({ "Fn::If": ["ProtectsTables", true, false] }),
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
    assert_eq!(facts("Identities"), json!([true, "delete_at", null]));
}
