//! Counters of attempts, as the tables count them.

use std::time::Duration;

use curfew_tests::app::TestApp;
use curfew_tests::tables::ATTEMPTS;
use domain::attempts::{Budget, CounterKey};
use futures_util::future::join_all;
use jiff::SignedDuration;
use serde_json::json;
use store::{Charge, Charged, StoreError};

const BUDGET: Budget = Budget::new(10, SignedDuration::from_mins(5));

struct Counting {
    app: TestApp,
    key: CounterKey,
    budget: Budget,
}

impl Counting {
    fn new(budget: Budget) -> Self {
        Self {
            app: TestApp::without_account(|config| config),
            key: CounterKey::new("test", &[]),
            budget,
        }
    }

    async fn charge(&self) -> Charge {
        let (store, now) = (&self.app.bundle.store, self.app.clock.now());
        let charge = store.charge(self.key, &self.budget, now).await;
        charge.expect("the tables answer")
    }

    async fn admitted(&self) -> Charged {
        let charge = self.charge().await;
        let Charge::Admitted(charged) = charge else {
            panic!("{charge:?}");
        };
        charged
    }

    async fn refused(&self) -> Duration {
        let charge = self.charge().await;
        let Charge::Refused(wait) = charge else {
            panic!("{charge:?}");
        };
        wait
    }

    async fn give_back(&self, charged: &Charged) {
        let given = self.app.bundle.store.give_back(charged).await;
        given.expect("the tables answer");
    }

    /// Returns the number of calls that a charge makes.
    async fn calls(&self) -> usize {
        let before = self.app.aws.calls().len();
        self.charge().await;
        self.app.aws.calls().len() - before
    }
}

#[tokio::test]
async fn of_any_attempts_in_parallel_exactly_the_burst_is_admitted() {
    let counting = Counting::new(BUDGET.with_in_a_row(100, None));
    let charges = join_all((0..200).map(|_| counting.charge())).await;
    let admitted = charges
        .iter()
        .filter(|it| matches!(it, Charge::Admitted(_)));
    assert_eq!(admitted.count(), 10);
    assert_eq!(counting.refused().await, Duration::from_mins(5));
}

#[tokio::test]
async fn a_charge_is_one_write_as_a_rule_two_in_a_burst_and_one_for_a_refusal() {
    let counting = Counting::new(Budget { burst: 2, ..BUDGET });
    assert_eq!(counting.calls().await, 1);
    assert_eq!(counting.calls().await, 2);
    assert_eq!(counting.calls().await, 1);
    counting.app.advance(BUDGET.interval * 2);
    assert_eq!(counting.calls().await, 1);
}

#[tokio::test]
async fn the_next_attempt_is_admitted_exactly_after_the_time_that_a_refusal_says() {
    let counting = Counting::new(Budget { burst: 1, ..BUDGET });
    counting.admitted().await;
    counting.app.advance(SignedDuration::from_secs(100));
    let wait = counting.refused().await;
    assert_eq!(wait, Duration::from_secs(200));
    counting.app.advance(SignedDuration::from_millis(199_999));
    assert_eq!(counting.refused().await, Duration::from_millis(1));
    counting.app.advance(SignedDuration::from_millis(1));
    counting.admitted().await;
}

#[tokio::test]
async fn an_attempt_that_is_given_back_leaves_the_budget_as_it_was() {
    let counting = Counting::new(Budget { burst: 2, ..BUDGET }.with_in_a_row(3, None));
    counting.admitted().await;
    for _ in 0..20 {
        let charged = counting.admitted().await;
        assert!(charged.in_a_row.count <= 2);
        counting.give_back(&charged).await;
    }
    counting.admitted().await;
    counting.refused().await;
}

#[tokio::test]
async fn after_too_many_failures_in_a_row_the_counter_is_spent_until_a_success() {
    let counting = Counting::new(BUDGET.with_in_a_row(3, None));
    let charges = join_all((0..20).map(|_| counting.charge())).await;
    let admitted = charges
        .iter()
        .filter(|it| matches!(it, Charge::Admitted(_)));
    assert_eq!(admitted.count(), 3);
    counting.app.advance(SignedDuration::from_hours(99 * 24));
    assert_eq!(counting.charge().await, Charge::Spent);

    let Charge::Admitted(first) = &charges[0] else {
        panic!("{:?}", charges[0]);
    };
    counting.give_back(first).await;
    assert_eq!(counting.admitted().await.in_a_row.count, 1);
}

#[tokio::test]
async fn after_too_many_failures_in_a_row_one_attempt_in_a_pause_is_admitted() {
    let hour = SignedDuration::from_hours(1);
    let counting = Counting::new(BUDGET.with_in_a_row(2, Some(hour)));
    counting.admitted().await;
    counting.admitted().await;
    assert_eq!(counting.refused().await, Duration::from_mins(10));
    counting.app.advance(BUDGET.interval * 2);
    for _ in 0..3 {
        let charged = counting.admitted().await;
        assert_eq!(counting.refused().await, Duration::from_hours(1));
        counting.app.advance(hour);
        assert!(charged.in_a_row.count > 2);
    }
}

#[tokio::test]
async fn failures_in_a_row_have_the_time_of_the_first_and_every_country_until_a_success() {
    let counting = Counting::new(BUDGET.with_in_a_row(100, None));
    let began = counting.app.clock.now();
    let from = async |country| {
        let (store, now) = (&counting.app.bundle.store, counting.app.clock.now());
        let charge = store.charge_from(counting.key, &counting.budget, country, now);
        let Charge::Admitted(charged) = charge.await.unwrap() else {
            panic!("refused");
        };
        counting.app.advance(SignedDuration::from_secs(1));
        charged
    };
    let mut last = from(Some("PT")).await;
    for country in [Some("ES"), None, Some("PT")] {
        last = from(country).await;
    }
    let failures = &last.in_a_row;
    assert_eq!((failures.count, failures.since), (4, began));
    assert_eq!(failures.places, ["ES", "PT"]);

    counting.give_back(&last).await;

    let next = from(Some("DE")).await.in_a_row;
    assert_eq!((next.count, next.places), (1, vec!["DE".to_owned()]));
    assert!(next.since > began);
}

#[tokio::test]
async fn a_counter_that_is_not_as_it_was_written_refuses_the_attempt() {
    let counting = Counting::new(BUDGET);
    counting.admitted().await;
    let aws = &counting.app.aws;
    let mut row = aws.rows(ATTEMPTS).remove(0);
    row["tat"] = json!({ "S": "soon" });
    aws.engine.put(ATTEMPTS, &row);
    let (store, now) = (&counting.app.bundle.store, counting.app.clock.now());
    let charge = store.charge(counting.key, &counting.budget, now).await;
    assert!(
        matches!(charge, Err(StoreError::Corrupt { .. })),
        "{charge:?}"
    );
}
