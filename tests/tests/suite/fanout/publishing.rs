//! What `publish-revocations` makes of a batch, and of everything that can go
//! wrong with it.

use std::collections::BTreeMap;

use curfew_tests::tables;
use curfew_tests::wire::Fate;
use domain::receipt::Step;
use domain::{EndedSession, Scope};
use serde_json::{Value, json};

use super::household::{Household, UNPUBLISHED_QUEUE, at, record, sign_out};
use super::network::{Published, Verdict, sns_error};

/// A household with two devices, and the records of both sign-ins.
async fn two_sign_ins() -> (Household, Vec<Value>) {
    let household = Household::new(25).await;
    household.sign_in(1, 1).await;
    household.sign_in(2, 2).await;
    let rows = household.rows(tables::DEVICES);
    let records = rows
        .iter()
        .enumerate()
        .map(|(n, row)| record(&format!("event-{n}"), "INSERT", row, None))
        .collect();
    (household, records)
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
    let mut household = Household::new(25).await;
    let laptop = household.sign_in(1, 1).await;
    let sign_out = household.sign_out_all(&laptop, Scope::Others, 1).await;

    let published = household.announce(&sign_out).await;

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
    let household = Household::new(25).await;
    let laptop = household.sign_in(1, 1).await;
    let sign_out = sign_out(&laptop, Scope::Local, 1);
    household
        .store
        .sign_out_this(&household.caller(&laptop), &sign_out, &household.limits)
        .await
        .unwrap();

    let published = household.announce(&sign_out).await;

    assert!(published.body.contains(&laptop.session.to_string()));
    assert_eq!(published.attributes["scope"], "local");
}

#[tokio::test]
async fn a_device_that_signs_in_again_is_published_with_what_it_replaced() {
    let household = Household::new(25).await;
    household.sign_in(1, 1).await;
    let old = household.rows(tables::DEVICES).remove(0);
    household.sign_in(1, 2).await;
    let new = household.rows(tables::DEVICES).remove(0);

    assert!(
        household
            .publish(vec![record("e", "MODIFY", &new, Some(&old))])
            .await
            .is_empty()
    );

    let published = household.network.published();
    assert_eq!(
        jtis(&published),
        ["e:session-revoked", "e:session-established"]
    );
}

#[tokio::test]
async fn a_record_that_nobody_must_hear_of_gives_no_message() {
    let mut household = Household::new(25).await;
    let laptop = household.sign_in(1, 1).await;
    household
        .store
        .touch(laptop.account, laptop.id, laptop.session, at(900))
        .await
        .unwrap();
    let row = household.rows(tables::DEVICES).remove(0);
    let sign_out = household.sign_out_all(&laptop, Scope::Global, 1).await;
    let phone = household.sign_in(2, 2).await;
    household.sign_in_over(&sign_out, 1, 3).await;
    let ended = EndedSession::from(&laptop);
    let limits = household.limits;
    let part = household.part(&sign_out, 1);
    household
        .store
        .record_step(
            phone.account,
            &sign_out.end_info(),
            &ended,
            Step::Contacted,
            at(2_000),
            &limits,
        )
        .await
        .unwrap();
    let marked = household.part(&sign_out, 1);
    let calls = household.network.operations().len();

    let failures = household
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
    assert_eq!(household.network.operations().len(), calls);
}

#[tokio::test]
async fn a_batch_that_comes_again_gives_the_same_messages() {
    let (household, records) = two_sign_ins().await;
    household.publish(records.clone()).await;
    household.publish(records).await;
    let published = household.network.published();
    assert_eq!(published[..2], published[2..]);
}

#[tokio::test]
async fn many_messages_go_ten_at_a_time_and_in_their_order() {
    let household = Household::new(25).await;
    household.sign_in(1, 1).await;
    let row = household.rows(tables::DEVICES).remove(0);
    let records = (0..23)
        .map(|n| record(&format!("{n}"), "INSERT", &row, None))
        .collect();

    assert!(household.publish(records).await.is_empty());

    let expected: Vec<_> = (0..23)
        .map(|n| format!("{n}:session-established"))
        .collect();
    assert_eq!(jtis(&household.network.published()), expected);
    let calls = household.network.operations();
    assert_eq!(
        calls.iter().filter(|call| *call == "PublishBatch").count(),
        3
    );
}

#[tokio::test]
async fn records_without_what_the_local_stream_leaves_out_are_read() {
    let (household, mut records) = two_sign_ins().await;
    for record in &mut records {
        let record = record.as_object_mut().unwrap();
        record.remove("eventID");
        record.remove("awsRegion");
        let dynamodb = record["dynamodb"].as_object_mut().unwrap();
        dynamodb.remove("ApproximateCreationDateTime");
        dynamodb.remove("SizeBytes");
    }

    assert!(household.publish(records.clone()).await.is_empty());
    assert!(household.publish(records).await.is_empty());

    let published = household.network.published();
    assert_eq!(published[..2], published[2..]);
    assert_ne!(published[0], published[1]);
    let claims: Value = serde_json::from_str(&published[0].body).unwrap();
    assert_eq!(claims["iat"], json!(at(100).as_second()));
}

#[tokio::test]
async fn one_bad_record_holds_nobody_up_and_is_kept_whole() {
    let (household, mut records) = two_sign_ins().await;
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

    assert!(household.publish(records.clone()).await.is_empty());

    assert_eq!(household.network.published().len(), 2);
    let kept = household.network.take_queued();
    assert_eq!(kept.len(), odd.len());
    for message in &kept {
        assert_eq!(message.queue, UNPUBLISHED_QUEUE);
        // Nothing that a blind redrive to the topic could be filtered in by.
        let attributes = BTreeMap::from([("content".to_owned(), "stream-record".to_owned())]);
        assert_eq!(message.attributes, attributes);
        let event: Value = serde_json::from_str(&message.body).unwrap();
        assert!(odd.contains(&event["Records"][0]), "{event}");
    }
}

#[tokio::test]
async fn a_record_that_was_kept_is_redriven_by_calling_the_function_with_it() {
    let (household, records) = two_sign_ins().await;
    let body = json!({ "Records": [records[0]] });
    let event: publish_revocations::StreamEvent = serde_json::from_value(body).unwrap();
    assert!(household.publish(event.records).await.is_empty());
    assert_eq!(household.network.published().len(), 1);
}

#[tokio::test]
async fn while_sns_is_down_the_batch_comes_again_from_its_first_record() {
    let faults: [fn() -> Verdict; 5] = [
        || Verdict::Instead(Fate::Broken),
        || Verdict::Instead(Fate::TimedOut),
        || Verdict::Instead(sns_error(500, "InternalFailure")),
        || Verdict::Instead(sns_error(400, "Throttling")),
        || Verdict::Instead(sns_error(403, "AuthorizationError")),
    ];
    for fault in faults {
        let (household, records) = two_sign_ins().await;
        household.network.judge(move |operation| match operation {
            "PublishBatch" => fault(),
            _ => Verdict::Made,
        });

        assert_eq!(household.publish(records.clone()).await, ["seq-event-0"]);

        assert!(household.network.take_queued().is_empty());
        household.network.mend();
        assert!(household.publish(records).await.is_empty());
        assert_eq!(household.network.published().len(), 2);
    }
}

#[tokio::test]
async fn a_function_that_waits_for_sns_gives_up_at_once() {
    let household = Household::new(25).await;
    household.sign_in(1, 1).await;
    let row = household.rows(tables::DEVICES).remove(0);
    let records = (0..40)
        .map(|n| record(&format!("{n}"), "INSERT", &row, None))
        .collect();
    let calls = household.network.operations().len();
    household
        .network
        .judge(|_| Verdict::Instead(Fate::TimedOut));

    assert_eq!(household.publish(records).await, ["seq-0"]);

    assert_eq!(household.network.operations().len(), calls + 1);
}

#[tokio::test]
async fn what_was_published_before_sns_failed_is_not_published_again() {
    let household = Household::new(25).await;
    household.sign_in(1, 1).await;
    let row = household.rows(tables::DEVICES).remove(0);
    let records = (0..15)
        .map(|n| record(&format!("{n}"), "INSERT", &row, None))
        .collect();
    let mut batches = 0;
    household.network.judge(move |_| {
        batches += 1;
        if batches == 1 {
            Verdict::Made
        } else {
            Verdict::Instead(Fate::Broken)
        }
    });

    assert_eq!(household.publish(records).await, ["seq-10"]);

    assert_eq!(household.network.published().len(), 10);
}

#[tokio::test]
async fn an_answer_of_sns_that_is_lost_means_once_more() {
    let (household, records) = two_sign_ins().await;
    household.network.judge(|_| Verdict::AnswerLost);
    assert_eq!(household.publish(records.clone()).await, ["seq-event-0"]);
    household.network.mend();
    assert!(household.publish(records).await.is_empty());
    let published = household.network.published();
    assert_eq!(published[..2], published[2..]);
}

#[tokio::test]
async fn a_message_that_sns_can_not_take_now_comes_again_and_the_others_are_published() {
    let (household, records) = two_sign_ins().await;
    let second = records[1]["dynamodb"]["NewImage"]["session_id"]["S"].clone();
    let second = second.as_str().unwrap().to_owned();
    household
        .network
        .refuse(move |message| message.body.contains(&second).then_some("InternalError"));

    assert_eq!(household.publish(records).await, ["seq-event-1"]);

    assert_eq!(household.network.published().len(), 1);
    assert!(household.network.take_queued().is_empty());
}

#[tokio::test]
async fn a_message_that_sns_will_never_take_is_kept_finished() {
    let (household, records) = two_sign_ins().await;
    household.network.refuse(|message| {
        message
            .body
            .contains("event-0")
            .then_some("InvalidParameter")
    });

    assert!(household.publish(records.clone()).await.is_empty());

    assert_eq!(household.network.published().len(), 1);
    let kept = household.network.take_queued();
    household.network.mend();
    household.publish(vec![records[0].clone()]).await;
    let same = household.network.published().pop().unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(
        (&kept[0].body, &kept[0].attributes),
        (&same.body, &same.attributes)
    );
    assert_eq!(kept[0].queue, UNPUBLISHED_QUEUE);
}

#[tokio::test]
async fn a_call_that_sns_refuses_as_a_whole_is_made_for_each_message() {
    for code in [
        "BatchRequestTooLong",
        "InvalidParameter",
        "ParameterValueInvalid",
    ] {
        let (household, records) = two_sign_ins().await;
        let mut calls = 0;
        household.network.judge(move |_| {
            calls += 1;
            if calls == 1 {
                Verdict::Instead(sns_error(400, code))
            } else {
                Verdict::Made
            }
        });

        assert!(household.publish(records).await.is_empty());

        assert_eq!(household.network.published().len(), 2);
        assert!(household.network.take_queued().is_empty());
    }
}

#[tokio::test]
async fn messages_that_sns_refuses_one_by_one_are_all_kept() {
    let (household, records) = two_sign_ins().await;
    household.network.judge(|operation| match operation {
        "PublishBatch" => Verdict::Instead(sns_error(400, "InvalidParameter")),
        _ => Verdict::Made,
    });

    assert!(household.publish(records).await.is_empty());

    assert_eq!(household.network.take_queued().len(), 2);
}

#[tokio::test]
async fn what_can_neither_be_published_nor_kept_comes_again() {
    let (household, mut records) = two_sign_ins().await;
    records[1]["dynamodb"]["NewImage"]["session_id"] = json!({ "S": "none" });
    household.network.judge(|operation| match operation {
        "SendMessage" => Verdict::Instead(Fate::Broken),
        _ => Verdict::Made,
    });
    assert_eq!(household.publish(records.clone()).await, ["seq-event-1"]);

    household.network.refuse(|_| Some("InvalidParameter"));
    assert_eq!(household.publish(records.clone()).await, ["seq-event-0"]);

    // A record without a number can't be named: the whole batch comes again.
    household.network.refuse(|_| None);
    records[1]["dynamodb"]
        .as_object_mut()
        .unwrap()
        .remove("SequenceNumber");
    assert_eq!(household.publish(records).await, [""]);
}
