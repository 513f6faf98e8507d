//! Calls and units of each operation, compared with `infra/bench/operations.toml`.

mod background;
mod growth;
mod requests;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use curfew_tests::cost::Cost;
use curfew_tests::metered::Metered;
use serde::Deserialize;

const OTHER_PASSWORD: &str = "nine lanterns drift past the harbour";

/// `infra/bench/operations.toml`.
#[derive(Deserialize)]
struct Published {
    measured: Vec<Measured>,
    receipts: Vec<growth::Receipt>,
}

#[derive(Deserialize)]
struct Measured {
    key: String,
    #[serde(flatten)]
    cost: Cost,
}

impl Published {
    fn read() -> Self {
        let file = curfew::root().join("infra/bench/operations.toml");
        toml::from_str(&fs::read_to_string(file).unwrap()).unwrap()
    }
}

/// An operation by its key in `operations.toml`, with what it used.
type Named = (&'static str, Cost);

#[tokio::test]
async fn every_operation_costs_what_is_published() {
    let mut found = Box::pin(requests::measure()).await;
    found.extend(Box::pin(requests::of_ended_sessions()).await);
    found.extend(Box::pin(background::of_sockets()).await);
    found.extend(Box::pin(background::of_pushes()).await);
    for (name, scope) in [("sweep-global", "global"), ("sweep-others", "others")] {
        found.push((name, Box::pin(background::of_sweep(scope)).await));
    }
    let published = Published::read().measured.into_iter();
    let mut published: BTreeMap<_, _> = published.map(|it| (it.key, it.cost)).collect();
    let mut drift = String::new();
    for (name, mut cost) in found {
        cost.calls = cost.counted_calls();
        if published.remove(name).as_ref() != Some(&cost) {
            writeln!(drift, "\n{name}\n{}", lines(&cost)).unwrap();
        }
    }
    assert!(
        drift.is_empty(),
        "infra/bench/operations.toml should have:\n{drift}"
    );
    let unmeasured: Vec<_> = published.keys().collect();
    assert!(unmeasured.is_empty(), "{unmeasured:?}");
}

/// The cost as `operations.toml` has it.
fn lines(cost: &Cost) -> String {
    let mut lines = format!("calls = {:?}", cost.calls);
    for (name, units) in [("reads", &cost.reads), ("writes", &cost.writes)] {
        let units: Vec<_> = units
            .iter()
            .map(|(of, it)| format!("{of} = {it}"))
            .collect();
        if !units.is_empty() {
            write!(lines, "\n{name} = {{ {} }}", units.join(", ")).unwrap();
        }
    }
    lines
}

#[tokio::test]
async fn a_check_is_one_round_trip_of_two_rows() {
    let m = Metered::with_account().await;
    let (token, _) = m.device().await;

    let cost = m.cost(m.bundle().who_am_i(&token)).await;

    let unit = |table: &str| (table.to_owned(), 1.0);
    let check = Cost {
        calls: vec!["BatchGetItem".to_owned()],
        reads: BTreeMap::from([unit("Accounts"), unit("Devices")]),
        writes: BTreeMap::new(),
    };
    assert_eq!(cost, check);
    assert_eq!(m.checked(&token, true).await, check, "the authorizer");
    let introspection = m.cost(m.bundle().introspect(&token)).await;
    assert_eq!(introspection, check, "introspection");
}
