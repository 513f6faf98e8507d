//! `publish-revocations`: the messages of a batch of records, and its failures.

use std::collections::BTreeMap;

use curfew_tests::background::UNPUBLISHED_QUEUE;
use curfew_tests::delivery::{Published, sns_error};
use curfew_tests::fake_aws::Intercept;
use curfew_tests::tables;
use curfew_tests::wire::CallResult;
use domain::receipt::Step;
use domain::{EndedSession, Scope};
use serde_json::{Value, json};

use super::fixture::{FanOut, at, record, sign_out};

/// Returns an account with two devices, and the records of both sign-ins.
async fn two_sign_ins() -> (FanOut, Vec<Value>) {
    let fan_out = FanOut::new(25).await;
    fan_out.sign_in(1, 1).await;
    fan_out.sign_in(2, 2).await;
    let rows = fan_out.rows(tables::DEVICES);
    let records = rows
        .iter()
        .enumerate()
        .map(|(n, row)| record(&format!("event-{n}"), "INSERT", row, None))
        .collect();
    (fan_out, records)
}

/// Returns an account with a device, and the record of its sign-in under many ids.
async fn sign_ins(number: usize) -> (FanOut, Vec<Value>) {
    let fan_out = FanOut::new(25).await;
    fan_out.sign_in(1, 1).await;
    let row = fan_out.rows(tables::DEVICES).remove(0);
    let records = (0..number).map(|n| record(&n.to_string(), "INSERT", &row, None));
    (fan_out, records.collect())
}

fn jtis(published: &[Published]) -> Vec<String> {
    published
        .iter()
        .map(|message| serde_json::from_str::<Value>(&message.body).unwrap()["jti"].clone())
        .map(|jti| jti.as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn the_row_of_a_sign_out_is_published_as_its_event() {
    let mut fan_out = FanOut::new(25).await;
    let laptop = fan_out.sign_in(1, 1).await;
    let sign_out = fan_out.sign_out_scope(&laptop, Scope::Others, 1).await;

    let published = fan_out.announce(&sign_out).await;

    let claims: Value = serde_json::from_str(&published.body).unwrap();
    assert_eq!(claims["txn"], json!(sign_out.id));
    assert_eq!(
        claims["jti"],
        format!("{}:other-sessions-revoked", sign_out.id)
    );
    assert_eq!(claims["iat"], json!(1_800_002_000));
    let event = &claims["events"]["urn:curfew:secevent:other-sessions-revoked"];
    assert_eq!(event["kept_session"], json!(laptop.session));
    assert_eq!(event["ended_epoch"], json!(1));
    assert_eq!(event["event_timestamp"], json!(at(1_001).as_second()));
    assert_eq!(published.attributes["event_type"], "other-sessions-revoked");
    assert_eq!(
        published.attributes["account_id"],
        laptop.account.to_string()
    );
    assert_eq!(published.attributes["scope"], "others");
}

#[tokio::test]
async fn the_row_of_one_signed_out_device_is_published_as_its_event() {
    let fan_out = FanOut::new(25).await;
    let laptop = fan_out.sign_in(1, 1).await;
    let sign_out = sign_out(&laptop, Scope::Local, 1);
    fan_out
        .store
        .sign_out_this(&fan_out.caller(&laptop), &sign_out, &fan_out.limits)
        .await
        .unwrap();

    let published = fan_out.announce(&sign_out).await;

    assert!(published.body.contains(&laptop.session.to_string()));
    assert_eq!(published.attributes["scope"], "local");
}

#[tokio::test]
async fn a_device_that_signs_in_again_is_published_with_what_it_replaced() {
    let fan_out = FanOut::new(25).await;
    fan_out.sign_in(1, 1).await;
    let old = fan_out.rows(tables::DEVICES).remove(0);
    fan_out.sign_in(1, 2).await;
    let new = fan_out.rows(tables::DEVICES).remove(0);

    assert!(
        fan_out
            .publish(vec![record("e", "MODIFY", &new, Some(&old))])
            .await
            .is_empty()
    );

    let published = fan_out.aws.published();
    assert_eq!(
        jtis(&published),
        ["e:session-revoked", "e:session-established"]
    );
}

#[tokio::test]
async fn a_record_that_ends_or_begins_no_session_gives_no_message() {
    let mut fan_out = FanOut::new(25).await;
    let laptop = fan_out.sign_in(1, 1).await;
    fan_out
        .store
        .touch(laptop.account, laptop.id, laptop.session, None, at(900))
        .await
        .unwrap();
    let row = fan_out.rows(tables::DEVICES).remove(0);
    let sign_out = fan_out.sign_out_scope(&laptop, Scope::Global, 1).await;
    let phone = fan_out.sign_in(2, 2).await;
    fan_out.sign_in_over(&sign_out, 1, 3).await;
    let ended = EndedSession::from(&laptop);
    let limits = fan_out.limits;
    let part = fan_out.part(&sign_out, 1);
    fan_out
        .store
        .record_step(
            phone.account,
            &sign_out.end_info(),
            &ended,
            Step::Seen,
            at(2_000),
            &limits,
        )
        .await
        .unwrap();
    let marked = fan_out.part(&sign_out, 1);
    let calls = fan_out.aws.operations().len();

    let failures = fan_out
        .publish(vec![
            record("a", "MODIFY", &row, None),
            record("c", "INSERT", &part, None),
            record("d", "MODIFY", &marked, Some(&part)),
            json!({
                "eventName": "REMOVE",
                "dynamodb": { "OldImage": row, "SequenceNumber": "b" },
            }),
        ])
        .await;

    assert!(failures.is_empty());
    assert_eq!(fan_out.aws.operations().len(), calls);
}

#[tokio::test]
async fn a_batch_that_is_delivered_again_gives_the_same_messages() {
    let (fan_out, records) = two_sign_ins().await;
    fan_out.publish(records.clone()).await;
    fan_out.publish(records).await;
    let published = fan_out.aws.published();
    assert_eq!(published[..2], published[2..]);
}

#[tokio::test]
async fn many_messages_are_published_ten_at_a_time_and_in_order() {
    let (fan_out, records) = sign_ins(23).await;

    assert!(fan_out.publish(records).await.is_empty());

    let expected: Vec<_> = (0..23)
        .map(|n| format!("{n}:session-established"))
        .collect();
    assert_eq!(jtis(&fan_out.aws.published()), expected);
    let calls = fan_out.aws.operations();
    assert_eq!(
        calls.iter().filter(|call| *call == "PublishBatch").count(),
        3
    );
}

#[tokio::test]
async fn records_without_the_fields_that_the_local_stream_omits_are_read() {
    let (fan_out, mut records) = two_sign_ins().await;
    for record in &mut records {
        let record = record.as_object_mut().unwrap();
        record.remove("eventID");
        record.remove("awsRegion");
        let dynamodb = record["dynamodb"].as_object_mut().unwrap();
        dynamodb.remove("ApproximateCreationDateTime");
        dynamodb.remove("SizeBytes");
    }

    assert!(fan_out.publish(records.clone()).await.is_empty());
    assert!(fan_out.publish(records).await.is_empty());

    let published = fan_out.aws.published();
    assert_eq!(published[..2], published[2..]);
    assert_ne!(published[0], published[1]);
    let claims: Value = serde_json::from_str(&published[0].body).unwrap();
    assert_eq!(claims["iat"], json!(at(100).as_second()));
}

#[tokio::test]
async fn a_malformed_record_delays_no_other_and_is_set_aside_whole() {
    let (fan_out, mut records) = two_sign_ins().await;
    let corrupt = {
        let mut record = records[0].clone();
        record["dynamodb"]["NewImage"]["session_id"] = json!({ "S": "none" });
        record["dynamodb"]["SequenceNumber"] = json!("seq-corrupt");
        record
    };
    let odd = [
        corrupt,
        json!({ "eventName": "INSERT", "dynamodb": { "NewImage": { "scope": { "S": 7 } } } }),
        json!({ "eventName": "INSERT" }),
        json!("no record"),
        Value::Null,
        json!({ "eventName": "INSERT", "dynamodb": { "ApproximateCreationDateTime": "soon" } }),
    ];
    for (n, record) in odd.iter().enumerate() {
        records.insert(n.min(1), record.clone());
    }

    assert!(fan_out.publish(records.clone()).await.is_empty());

    assert_eq!(fan_out.aws.published().len(), 2);
    let kept = fan_out.aws.take_queued();
    assert_eq!(kept.len(), odd.len());
    for message in &kept {
        assert_eq!(message.queue, UNPUBLISHED_QUEUE);
        // No attribute that a filter would accept if it were redriven to the topic.
        let attributes = BTreeMap::from([("content".to_owned(), "stream-record".to_owned())]);
        assert_eq!(message.attributes, attributes);
        let event: Value = serde_json::from_str(&message.body).unwrap();
        assert!(odd.contains(&event["Records"][0]), "{event}");
    }
}

#[tokio::test]
async fn a_record_that_was_set_aside_is_redriven_by_calling_the_function_with_it() {
    let (fan_out, records) = two_sign_ins().await;
    let body = json!({ "Records": [records[0]] });
    let event: publish_revocations::StreamEvent = serde_json::from_value(body).unwrap();
    assert!(fan_out.publish(event.records).await.is_empty());
    assert_eq!(fan_out.aws.published().len(), 1);
}

#[tokio::test]
async fn while_sns_fails_the_batch_is_retried_from_its_first_record() {
    let faults: [fn() -> CallResult; 5] = [
        || CallResult::Broken,
        || CallResult::TimedOut,
        || sns_error(500, "InternalFailure"),
        || sns_error(400, "Throttling"),
        || sns_error(403, "AuthorizationError"),
    ];
    for fault in faults {
        let (fan_out, records) = two_sign_ins().await;
        fan_out.aws.fail("PublishBatch", fault);

        assert_eq!(fan_out.publish(records.clone()).await, ["seq-event-0"]);

        assert!(fan_out.aws.take_queued().is_empty());
        fan_out.aws.restore();
        assert!(fan_out.publish(records).await.is_empty());
        assert_eq!(fan_out.aws.published().len(), 2);
    }
}

#[tokio::test]
async fn a_call_to_sns_that_times_out_is_not_repeated_by_the_function() {
    let (fan_out, records) = sign_ins(40).await;
    let calls = fan_out.aws.operations().len();
    fan_out
        .aws
        .intercept(|_| Intercept::Replace(CallResult::TimedOut));

    assert_eq!(fan_out.publish(records).await, ["seq-0"]);

    assert_eq!(fan_out.aws.operations().len(), calls + 1);
}

#[tokio::test]
async fn messages_that_were_published_before_sns_failed_are_not_retried() {
    let (fan_out, records) = sign_ins(15).await;
    let mut batches = 0;
    fan_out.aws.intercept(move |_| {
        batches += 1;
        if batches == 1 {
            Intercept::Make
        } else {
            Intercept::Replace(CallResult::Broken)
        }
    });

    assert_eq!(fan_out.publish(records).await, ["seq-10"]);

    assert_eq!(fan_out.aws.published().len(), 10);
}

#[tokio::test]
async fn a_lost_answer_of_sns_is_retried() {
    let (fan_out, records) = two_sign_ins().await;
    fan_out.aws.intercept(|_| Intercept::LoseAnswer);
    assert_eq!(fan_out.publish(records.clone()).await, ["seq-event-0"]);
    fan_out.aws.restore();
    assert!(fan_out.publish(records).await.is_empty());
    let published = fan_out.aws.published();
    assert_eq!(published[..2], published[2..]);
}

#[tokio::test]
async fn a_message_that_sns_can_not_accept_now_is_retried_and_the_others_are_published() {
    let (fan_out, records) = two_sign_ins().await;
    let second = records[1]["dynamodb"]["NewImage"]["session_id"]["S"].clone();
    let second = second.as_str().unwrap().to_owned();
    fan_out
        .aws
        .reject(move |message| message.body.contains(&second).then_some("InternalError"));

    assert_eq!(fan_out.publish(records).await, ["seq-event-1"]);

    assert_eq!(fan_out.aws.published().len(), 1);
    assert!(fan_out.aws.take_queued().is_empty());
}

#[tokio::test]
async fn a_message_that_sns_will_never_accept_is_set_aside_as_it_is() {
    let (fan_out, records) = two_sign_ins().await;
    fan_out.aws.reject(|message| {
        message
            .body
            .contains("event-0")
            .then_some("InvalidParameter")
    });

    assert!(fan_out.publish(records.clone()).await.is_empty());

    assert_eq!(fan_out.aws.published().len(), 1);
    let kept = fan_out.aws.take_queued();
    fan_out.aws.restore();
    fan_out.publish(vec![records[0].clone()]).await;
    let same = fan_out.aws.published().pop().unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(
        (&kept[0].body, &kept[0].attributes),
        (&same.body, &same.attributes)
    );
    assert_eq!(kept[0].queue, UNPUBLISHED_QUEUE);
}

#[tokio::test]
async fn a_batch_that_sns_refuses_is_published_message_by_message() {
    for code in [
        "BatchRequestTooLong",
        "InvalidParameter",
        "ParameterValueInvalid",
    ] {
        let (fan_out, records) = two_sign_ins().await;
        let mut calls = 0;
        fan_out.aws.intercept(move |_| {
            calls += 1;
            if calls == 1 {
                Intercept::Replace(sns_error(400, code))
            } else {
                Intercept::Make
            }
        });

        assert!(fan_out.publish(records).await.is_empty());

        assert_eq!(fan_out.aws.published().len(), 2);
        assert!(fan_out.aws.take_queued().is_empty());
    }
}

#[tokio::test]
async fn messages_that_sns_refuses_one_by_one_are_all_set_aside() {
    let (fan_out, records) = two_sign_ins().await;
    let refusal = || sns_error(400, "InvalidParameter");
    fan_out.aws.fail("PublishBatch", refusal);

    assert!(fan_out.publish(records).await.is_empty());

    assert_eq!(fan_out.aws.take_queued().len(), 2);
}

#[tokio::test]
async fn a_record_that_can_be_neither_published_nor_set_aside_is_retried() {
    let (fan_out, mut records) = two_sign_ins().await;
    records[1]["dynamodb"]["NewImage"]["session_id"] = json!({ "S": "none" });
    fan_out.aws.fail("SendMessage", || CallResult::Broken);
    assert_eq!(fan_out.publish(records.clone()).await, ["seq-event-1"]);

    fan_out.aws.reject(|_| Some("InvalidParameter"));
    assert_eq!(fan_out.publish(records.clone()).await, ["seq-event-0"]);

    // A record without a number can not be named, so the whole batch is retried.
    fan_out.aws.reject(|_| None);
    records[1]["dynamodb"]
        .as_object_mut()
        .unwrap()
        .remove("SequenceNumber");
    assert_eq!(fan_out.publish(records).await, [""]);
}
