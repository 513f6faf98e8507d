//! The streams, the topic, the queues and their alarms.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{events, functions, referred, resources, setting, walk, whole};

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
        let patterns = patterns.iter().map(|pattern| {
            let pattern = pattern["Pattern"].as_str().unwrap();
            serde_json::from_str::<Value>(pattern).unwrap()
        });
        filters.insert(referred(&mapping["Stream"]), patterns.collect::<Vec<_>>());
    }

    assert_eq!(
        filters["Receipts"],
        [
            json!({
                "eventName": ["INSERT"],
                "dynamodb": { "NewImage": { "scope": { "S": [{ "exists": true }] } } },
            }),
            json!({
                "eventName": ["INSERT"],
                "dynamodb": { "NewImage": { "kind": { "S": ["address_changed"] } } },
            }),
        ]
    );
    assert_eq!(
        filters["Devices"],
        [json!({
            "eventName": ["INSERT", "MODIFY"],
            "dynamodb": { "NewImage": { "last_write": { "S": ["sign_in"] } } },
        })]
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
        let most = &mapping["ScalingConfig"]["MaximumConcurrency"];
        assert!(most.is_u64() || most["Ref"] == "PushConcurrency", "{name}");
        let queue = resources("AWS::SQS::Queue")[referred(&mapping["Queue"])];
        let hidden_s = queue["Properties"]["VisibilityTimeout"].as_u64().unwrap();
        let timeout_s = setting(functions()[name], "Timeout").as_u64().unwrap();
        // Lambda's guide asks for six times the timeout. Less would make throttled messages
        // dead letters.
        assert!(hidden_s >= 6 * timeout_s, "{name}");
        assert!(alarms("Throttles").contains_key(name), "{name}");
    }
}

#[test]
fn a_background_function_ends_its_work_before_its_timeout() {
    // Lambda returns the whole batch of a function that times out, also what was done.
    let call = runtime::CALL_TIMEOUT;
    for (name, longest) in [
        ("SendMail", send_mail::TIME_TO_CHOOSE + call),
        ("NotifyOwner", notify_owner::TIME_BUDGET),
        ("Sweep", sweep::TIME_BUDGET + call),
        ("PushRevocations", push_revocations::TIME_BUDGET + call),
    ] {
        let timeout = setting(functions()[name], "Timeout").as_u64().unwrap();
        assert!(longest.as_secs() < timeout, "{name}");
    }
}

#[test]
fn a_lease_on_a_mail_outlives_its_attempt_and_ends_before_the_next_delivery() {
    let lease_s = notify_owner::LEASE.as_secs();
    let timeout_s = setting(functions()["NotifyOwner"], "Timeout").as_u64();
    assert!(lease_s >= timeout_s.unwrap());
    let queue = resources("AWS::SQS::Queue")["NotifyQueue"];
    let hidden_s = queue["Properties"]["VisibilityTimeout"].as_u64().unwrap();
    assert!(lease_s + timeout_s.unwrap() < hidden_s);
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
            "NotifyQueue",
            json!({ "$or": [
                { "event_type": ["session-established", "address-changed"] },
                { "scope": ["device", "others", "global"] },
            ] }),
        ),
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
        "NotifyDeadLetters",
        "NotifyQueue",
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
        if ["Confirmations", "Codes"].contains(&name) {
            // A code is worthless after some minutes, and must not wait in any queue.
            assert_eq!(properties["MessageRetentionPeriod"], 900);
            assert!(properties.get("RedrivePolicy").is_none());
            continue;
        }
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
            // Queues and event sources without traffic report no data.
            let keeps_state = ["ApproximateNumberOfMessagesVisible"].contains(&metric)
                || metric.ends_with("EventCount");
            let missing = if keeps_state {
                "ignore"
            } else {
                "notBreaching"
            };
            assert_eq!(alarm["TreatMissingData"], missing, "{metric}");
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
fn a_batch_that_goes_to_the_bucket_or_is_dropped_raises_an_alarm() {
    let sources = ["PublishRevocationsSignIns", "PublishRevocationsSignOuts"];
    for metric in [
        "OnFailureDestinationDeliveredEventCount",
        "DroppedEventCount",
    ] {
        let alarms = alarms(metric);
        assert!(alarms.keys().eq(sources), "{alarms:?}");
        assert!(
            alarms
                .values()
                .all(|threshold| threshold.abs() < f64::EPSILON)
        );
    }
    for (name, mapping) in events("DynamoDB") {
        assert_eq!(
            mapping["MetricsConfig"]["Metrics"],
            json!(["EventCount"]),
            "{name}"
        );
    }
}

#[test]
fn refused_sign_ins_and_guesses_are_counted_in_the_logs_and_have_an_alarm() {
    let filters = resources("AWS::Logs::MetricFilter");
    for (metric, log) in [("RefusedSignIns", "HttpApiLog"), ("Guesses", "LoginLog")] {
        let properties = &filters[metric]["Properties"];
        assert_eq!(referred(&properties["LogGroupName"]), log);
        let counted = &properties["MetricTransformations"][0];
        assert_eq!(counted["MetricName"], metric);
        let alarm = &resources("AWS::CloudWatch::Alarm")[format!("{metric}Alarm").as_str()];
        let alarm = &alarm["Properties"];
        assert_eq!(alarm["MetricName"], metric);
        assert_eq!(alarm["Namespace"], counted["MetricNamespace"]);
    }
}

#[test]
fn background_functions_and_the_authorizer_have_an_alarm_on_errors() {
    let errors = alarms("Errors");

    for function in [
        "Authorizer",
        "MarkReturnedMails",
        "NotifyOwner",
        "PauseMails",
        "PublishRevocations",
        "PushRevocations",
        "SendMail",
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

    let pause = json!({ "Fn::GetAtt": ["PauseMails", "Arn"] });
    let and_pauses = json!({
        "Fn::If": ["HasAlarmTopic", [{ "Ref": "AlarmTopicArn" }, pause], [pause]],
    });

    for (name, alarm) in resources("AWS::CloudWatch::Alarm") {
        let actions = &alarm["Properties"]["AlarmActions"];
        let pauses = name.starts_with("Unproven");
        assert_eq!(
            actions,
            if pauses { &and_pauses } else { &expected },
            "{name}"
        );
        assert!(
            alarm["Properties"]["AlarmDescription"].is_string(),
            "{name}"
        );
    }
}

#[test]
fn mails_to_unproven_addresses_stop_at_half_of_the_rates_that_ses_reviews() {
    let alarms = resources("AWS::CloudWatch::Alarm");
    let mut callers = BTreeSet::new();
    for (name, metric, threshold) in [
        ("UnprovenBouncesAlarm", "Reputation.BounceRate", 0.05 / 2.0),
        (
            "UnprovenComplaintsAlarm",
            "Reputation.ComplaintRate",
            0.001 / 2.0,
        ),
    ] {
        let alarm = &alarms[name]["Properties"];
        assert_eq!(alarm["Namespace"], "AWS/SES");
        assert_eq!(alarm["MetricName"], metric);
        let set = json!([{ "Name": "ses:configuration-set", "Value": { "Ref": "UnprovenMails" } }]);
        assert_eq!(alarm["Dimensions"], set);
        let difference = alarm["Threshold"].as_f64().unwrap() - threshold;
        assert!(difference.abs() < 1e-9, "{name}");
        callers.insert(name);
    }
    for (name, permission) in resources("AWS::Lambda::Permission") {
        let properties = &permission["Properties"];
        assert_eq!(
            referred(&properties["FunctionName"]),
            "PauseMails",
            "{name}"
        );
        let principal = "lambda.alarms.cloudwatch.amazonaws.com";
        assert_eq!(properties["Principal"], principal);
        assert!(callers.remove(referred(&properties["SourceArn"])), "{name}");
    }
    assert!(callers.is_empty(), "{callers:?} can't call it");
    for set in ["ProvenMails", "UnprovenMails"] {
        let set = &resources("AWS::SES::ConfigurationSet")[set]["Properties"];
        assert_eq!(set["ReputationOptions"]["ReputationMetricsEnabled"], true);
    }
}

#[test]
fn mails_to_owners_that_come_back_reach_the_function_that_marks_them() {
    let destination = resources("AWS::SES::ConfigurationSetEventDestination")["ReturnedMails"];
    let properties = &destination["Properties"];
    assert_eq!(referred(&properties["ConfigurationSetName"]), "ProvenMails");
    let of_set = &properties["EventDestination"];
    assert_eq!(of_set["Enabled"], true);
    // Neither openings nor clicks.
    assert_eq!(of_set["MatchingEventTypes"], json!(["bounce"]));
    assert!(of_set["EventBridgeDestination"]["EventBusArn"].is_object());
    let [(function, rule)] = <[_; 1]>::try_from(events("EventBridgeRule")).unwrap();
    assert_eq!(function, "MarkReturnedMails");
    let pattern = json!({
        "source": ["aws.ses"],
        "detail": {
            "eventType": ["Bounce"],
            "bounce": { "bounceType": ["Permanent"] },
            "mail": { "tags": { "ses:configuration-set": [{ "Ref": "ProvenMails" }] } },
        },
    });
    assert_eq!(rule["Pattern"], pattern);
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
