//! Conflicts, unprocessed keys, timeouts and retries.

use std::time::Duration;

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use curfew_tests::tables::{ACCOUNTS, DEVICES, RECEIPTS};
use curfew_tests::wire::Call;

use super::{
    Fault, Plan, REQUESTS, Request, Setting, Setup, calls_of, is, is_change, is_unavailable,
};

#[tokio::test]
async fn a_conflict_is_retried_a_bounded_number_of_times() {
    for request in REQUESTS {
        let calls = calls_of(request).await;
        let Some(write) = calls.iter().position(is_change) else {
            continue;
        };
        let setup = Setup::of(request).await;
        let answer = setup
            .send(request, Plan::once(Fault::Conflict, write))
            .await;
        assert!(is(&answer, request.when_well()), "{request:?} {answer:?}");

        let setup = Setup::of(request).await;
        let records = setup.count(RECEIPTS);
        let answer = setup
            .send(request, Plan::from_then_on(Fault::Conflict, write))
            .await;
        let writes = setup.calls().iter().filter(|call| is_change(call)).count();
        if request.is_record(write, &calls[write]) {
            // The next touch or contact makes up for it.
            assert!(is(&answer, request.when_well()), "{answer:?}");
            assert_eq!(writes, if request == Request::Touch { 1 } else { 5 });
        } else {
            assert!(is_unavailable(&answer), "{request:?} {answer:?}");
            assert_eq!(writes, 5, "{request:?}");
        }
        assert_eq!(setup.count(RECEIPTS), records, "{request:?}");
    }
}

/// Counts the calls that may come back in part.
fn reads(calls: &[Call]) -> usize {
    let batches = calls.iter().filter(|call| call.operation == "BatchGetItem");
    batches.count()
}

#[tokio::test]
async fn unprocessed_keys_are_retried_a_bounded_number_of_times() {
    for request in REQUESTS {
        let calls = calls_of(request).await;
        let Some(batch) = calls
            .iter()
            .position(|call| call.operation == "BatchGetItem")
        else {
            continue;
        };
        let setup = Setup::of(request).await;
        let answer = setup
            .send(request, Plan::once(Fault::Unprocessed, batch))
            .await;
        assert!(is(&answer, request.when_well()), "{request:?} {answer:?}");
        assert_eq!(reads(&setup.calls()), reads(&calls) + 1, "{request:?}");

        let setup = Setup::of(request).await;
        let answer = setup
            .send(request, Plan::from_then_on(Fault::Unprocessed, batch))
            .await;
        assert!(is_unavailable(&answer), "{request:?} {answer:?}");
        assert_eq!(reads(&setup.calls()), 5, "{request:?}");
    }
}

#[tokio::test]
async fn a_table_that_never_answers_gives_unavailable() {
    let impatient: Setting = |config| {
        let attempt = Duration::from_millis(20);
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(attempt);
        config.timeout_config(timeouts.build())
    };
    for request in REQUESTS {
        let setup = Setup::with(request, impatient).await;
        let answer = setup
            .send(request, Plan::from_then_on(Fault::Silent, 0))
            .await;
        assert!(is_unavailable(&answer), "{request:?} {answer:?}");
        let again = setup.send(request, None).await;
        assert!(is(&again, request.when_well()), "{request:?} {again:?}");
    }
}

#[tokio::test]
async fn a_write_that_the_sdk_retries_takes_effect_once() {
    let patient: Setting = |config| {
        let retries = RetryConfig::standard().with_initial_backoff(Duration::from_millis(1));
        config.retry_config(retries)
    };
    for request in REQUESTS {
        let calls = calls_of(request).await;
        let Some(write) = calls.iter().position(is_change) else {
            continue;
        };
        let well = Setup::with(request, patient).await;
        well.send(request, None).await;
        let setup = Setup::with(request, patient).await;
        let answer = setup
            .send(request, Plan::once(Fault::ErrorAfter, write))
            .await;

        assert!(is(&answer, request.when_well()), "{request:?} {answer:?}");
        assert_eq!(setup.count(RECEIPTS), well.count(RECEIPTS), "{request:?}");
        assert_eq!(setup.count(ACCOUNTS), well.count(ACCOUNTS), "{request:?}");
        assert_eq!(setup.count(DEVICES), well.count(DEVICES), "{request:?}");
    }
}
