//! Stacks of a test's own on the local AWS.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::aws::{AwsResponse, Call, Principal};

const PATIENCE: Duration = Duration::from_mins(1);

/// A change of a stack.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// Creates it from a template.
    Create(&'a Value),
    /// Updates it to a template.
    Update(&'a Value),
    /// Deletes it.
    Delete,
}

async fn call(fields: &[(&str, &str)]) -> AwsResponse {
    let call = Call::form("cloudformation", "2010-05-15", fields);
    Principal::root().call(&call).await.unwrap()
}

/// Changes a stack, with parameters, and waits until that is done.
pub async fn change(stack: &str, change: Change<'_>, parameters: &[(&str, &str)]) {
    let (action, template) = match change {
        Change::Create(template) => ("CreateStack", Some(template)),
        Change::Update(template) => ("UpdateStack", Some(template)),
        Change::Delete => ("DeleteStack", None),
    };
    let body = template.map(ToString::to_string);
    let mut fields = vec![("Action", action), ("StackName", stack)];
    fields.extend(body.as_deref().map(|body| ("TemplateBody", body)));
    let names: Vec<[String; 2]> = (1..=parameters.len())
        .map(|at| ["Key", "Value"].map(|part| format!("Parameters.member.{at}.Parameter{part}")))
        .collect();
    for ([key, value], (name, given)) in names.iter().zip(parameters) {
        fields.extend([(&**key, *name), (&**value, *given)]);
    }
    let answer = call(&fields).await;
    assert_eq!(answer.status, 200, "{action} of {stack}: {}", answer.text);

    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "{action} of {stack} takes long");
        let Ok(status) = described(stack).await.element("StackStatus") else {
            assert!(template.is_none(), "{stack} is missing");
            return;
        };
        let failed = ["ROLLBACK", "FAILED"]
            .iter()
            .any(|word| status.contains(word));
        assert!(!failed, "{action} of {stack}: {}", events(stack).await.text);
        if status.ends_with("_COMPLETE") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Returns the description of a stack.
pub async fn described(stack: &str) -> AwsResponse {
    call(&[("Action", "DescribeStacks"), ("StackName", stack)]).await
}

async fn events(stack: &str) -> AwsResponse {
    call(&[("Action", "DescribeStackEvents"), ("StackName", stack)]).await
}

/// Returns the template of a stack.
pub async fn template_of(stack: &str) -> String {
    let answer = call(&[("Action", "GetTemplate"), ("StackName", stack)]).await;
    answer.element("TemplateBody").unwrap()
}

/// Returns the physical id of a resource.
pub async fn physical_id(stack: &str, resource: &str) -> String {
    let fields = [
        ("Action", "DescribeStackResource"),
        ("StackName", stack),
        ("LogicalResourceId", resource),
    ];
    let answer = call(&fields).await;
    answer.element("PhysicalResourceId").unwrap()
}
