//! `infra/adopt.py`: puts restored and retained tables into a stack.

use std::time::{Duration, Instant};

use curfew_tests::aws::{Call, Principal};
use curfew_tests::client::unique;
use curfew_tests::cloudformation::{Change, change, physical_id as id, template_of};
use curfew_tests::{scripts, template};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_mins(1);

/// Returns a template with two tables of `template.yaml`, and a parameter that refers
/// to one of them in every way.
fn template() -> Value {
    let whole = template::read().unwrap();
    let text = json!({ "Fn::Sub": "${Receipts} ${Receipts.Arn}/index" });
    let parameter = |value: Value| {
        json!({
            "Type": "AWS::SSM::Parameter",
            "DependsOn": "Receipts",
            "Properties": { "Type": "String", "Value": value },
        })
    };
    json!({
        "Parameters": { "ProtectTables": whole["Parameters"]["ProtectTables"] },
        "Conditions": { "ProtectsTables": whole["Conditions"]["ProtectsTables"] },
        "Resources": {
            "Accounts": whole["Resources"]["Accounts"],
            "Receipts": whole["Resources"]["Receipts"],
            "Names": parameter(text),
            "Name": parameter(json!({ "Ref": "Receipts" })),
            "Stream": parameter(json!({ "Fn::GetAtt": ["Receipts", "StreamArn"] })),
        },
    })
}

/// Returns the value of a parameter of the stack.
async fn value(stack: &str, parameter: &str) -> String {
    let name = json!({ "Name": id(stack, parameter).await });
    let answer = Principal::root()
        .call(&Call::ssm("GetParameter", &name))
        .await;
    let found = answer.unwrap().success().unwrap();
    found["Parameter"]["Value"].as_str().unwrap().to_owned()
}

/// Returns the description of a table, if there is one.
async fn table(name: &str) -> Option<Value> {
    let call = Call::dynamodb("DescribeTable", &json!({ "TableName": name }));
    let answer = Principal::root().call(&call).await.unwrap();
    answer.success().ok().map(|found| found["Table"].clone())
}

/// Restores a table as point-in-time recovery does: under another name, without stream.
async fn restore(source: &str) -> String {
    let target = format!("restored-{}", unique());
    let restore = json!({
        "SourceTableName": source,
        "TargetTableName": target,
        "UseLatestRestorableTime": true,
    });
    let call = Call::dynamodb("RestoreTableToPointInTime", &restore);
    let _ = Principal::root()
        .call(&call)
        .await
        .unwrap()
        .success()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    while table(&target).await.unwrap()["TableStatus"] != "ACTIVE" {
        assert!(Instant::now() < deadline, "{target} is not active");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    target
}

/// Runs the script. Returns its exit code, and all that it printed.
async fn adopt(stack: &str, options: &[&str]) -> (i32, String) {
    let options = [&["--stack", stack], options].concat();
    let (code, output, errors) = scripts::run("adopt.py", &options, &[]).await;
    (code, output + &errors)
}

#[tokio::test]
async fn a_restored_table_takes_the_place_of_the_stacks_own() {
    let stack = &format!("restored-{}", unique());
    change(stack, Change::Create(&template()), &[]).await;
    let own = id(stack, "Receipts").await;
    let restored = restore(&own).await;
    let pair = &format!("Receipts={restored}");

    let (code, printed) = adopt(stack, &["--dry-run", pair]).await;
    assert_eq!(code, 0, "{printed}");
    assert_eq!(id(stack, "Receipts").await, own, "nothing has changed");
    let (code, printed) = adopt(stack, &[pair]).await;

    assert_eq!(code, 0, "{printed}");
    let described = table(&restored).await.unwrap();
    let (arn, stream) = (&described["TableArn"], &described["LatestStreamArn"]);
    let names = format!("{restored} {}/index", arn.as_str().unwrap());
    assert_eq!(id(stack, "Receipts").await, restored);
    assert_eq!(value(stack, "Name").await, restored);
    assert_eq!(value(stack, "Names").await, names);
    assert_eq!(json!(value(stack, "Stream").await), *stream);
    // With a name, the next deployment would replace the table. (The local
    // CloudFormation does so for every name that it has not chosen itself.)
    let current = template_of(stack).await;
    assert!(!current.contains("TableName"), "{current}");
    assert!(table(&own).await.is_some(), "the former table is kept");
}

#[tokio::test]
async fn a_new_stack_begins_with_the_tables_that_a_deleted_one_has_kept() {
    let stack = &format!("deleted-{}", unique());
    change(stack, Change::Create(&template()), &[]).await;
    let (accounts, receipts) = (id(stack, "Accounts").await, id(stack, "Receipts").await);
    change(stack, Change::Delete, &[]).await;

    let pairs = [
        format!("Accounts={accounts}"),
        format!("Receipts={receipts}"),
    ];
    let (code, printed) = adopt(stack, &[&pairs[0], &pairs[1]]).await;
    assert_eq!(code, 0, "{printed}");
    change(stack, Change::Update(&template()), &[]).await;

    assert_eq!(id(stack, "Accounts").await, accounts);
    assert_eq!(id(stack, "Receipts").await, receipts);
    assert_eq!(value(stack, "Name").await, receipts);
}

#[tokio::test]
async fn a_table_with_other_keys_is_not_adopted() {
    let stack = &format!("other-{}", unique());
    change(stack, Change::Create(&template()), &[]).await;
    let (accounts, receipts) = (id(stack, "Accounts").await, id(stack, "Receipts").await);

    for pair in [
        format!("Receipts={accounts}"),
        format!("Nothing={accounts}"),
        format!("Name={accounts}"),
        "Receipts=missing".to_owned(),
        "Receipts".to_owned(),
    ] {
        let (code, printed) = adopt(stack, &[&pair]).await;
        assert_ne!(code, 0, "{pair}: {printed}");
    }
    assert_eq!(id(stack, "Receipts").await, receipts);
}
