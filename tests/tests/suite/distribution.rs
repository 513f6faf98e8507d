//! The proof of a distribution, against a Secrets Manager whose versions and failures
//! the test decides; and the functions that require it.

use std::sync::{Arc, Mutex};

use curfew_tests::app::Boxed;
use curfew_tests::bundle::{Bundle, by_iam, event, introspection, problem_of};
use curfew_tests::engine::ServiceResponse;
use curfew_tests::fake_aws::FakeAws;
use curfew_tests::routes::{Guard, routes};
use curfew_tests::wire::{self, CallResult};
use domain::Timestamp;
use http_api::{Event, Reply};
use jiff::SignedDuration;
use origin_policy::{Distribution, OriginPolicy, Proof};
use runtime::{Clock, lock};
use serde_json::{Value, json};

const FIRST: &str = "first-0123456789abcdef0123456789";
const SECOND: &str = "second-0123456789abcdef012345678";
const THIRD: &str = "third-0123456789abcdef0123456789";

/// An id for the paths of routes.
const SIGN_OUT: &str = "0192f0c2-0b1d-7a40-8f6e-2d1c9b7a5e33";

/// Time after which a value that does not match is read again.
const SOON: SignedDuration = SignedDuration::from_secs(10);
/// Time after which every value is read again.
const LATER: SignedDuration = SignedDuration::from_mins(5);

/// The versions of the secret.
#[derive(Default)]
struct Versions {
    current: Option<&'static str>,
    previous: Option<&'static str>,
    is_failing: bool,
    reads: usize,
}

/// A policy over a secret, at a time that the test moves.
struct Edge {
    versions: Arc<Mutex<Versions>>,
    policy: OriginPolicy,
    now: Timestamp,
}

impl Edge {
    fn new(current: Option<&'static str>) -> Self {
        let versions = Arc::new(Mutex::new(Versions {
            current,
            ..Versions::default()
        }));
        let secret = versions.clone();
        let clients = wire::clients(move |call| {
            assert_eq!(call.operation, "GetSecretValue");
            read(&mut lock(&secret), &call.body)
        });
        let distribution = Distribution::new(clients.secrets(), "curfew/edge".to_owned());
        Self {
            versions,
            policy: OriginPolicy::new(None).with_distribution(distribution, true),
            now: "2026-11-20T12:00:00Z".parse().unwrap(),
        }
    }

    fn rotate(&self, new: &'static str) {
        let mut versions = lock(&self.versions);
        versions.previous = versions.current.replace(new);
    }

    fn fail(&self, is_failing: bool) {
        lock(&self.versions).is_failing = is_failing;
    }

    /// Returns how often the secret was read. Each time, both versions are.
    fn reads(&self) -> usize {
        lock(&self.versions).reads / 2
    }

    fn advance(&mut self, by: SignedDuration) {
        self.now += by;
    }

    async fn prove(&self, presented: &str) -> Proof {
        let presented = Some(presented);
        self.policy.prove_distribution(presented, self.now).await
    }
}

/// Answers a call as Secrets Manager does.
fn read(versions: &mut Versions, body: &str) -> CallResult {
    let request: Value = serde_json::from_str(body).unwrap();
    assert_eq!(request["SecretId"], "curfew/edge");
    versions.reads += 1;
    if versions.is_failing {
        return CallResult::TimedOut;
    }
    let value = match request["VersionStage"].as_str() {
        Some("AWSCURRENT") => versions.current,
        Some("AWSPREVIOUS") => versions.previous,
        stage => panic!("{stage:?} is no stage"),
    };
    let (status, body) = match value {
        Some(value) => (200, json!({ "Name": "curfew/edge", "SecretString": value })),
        None => (400, json!({ "__type": "ResourceNotFoundException" })),
    };
    let body = body.to_string();
    CallResult::Answered(ServiceResponse { status, body })
}

#[tokio::test]
async fn a_secret_that_was_never_rotated_proves_the_distribution() {
    let edge = Edge::new(Some(FIRST));

    assert_eq!(edge.prove(FIRST).await, Proof::Valid);
    let nearly = FIRST.replace("first-", "First-");
    for wrong in ["", "first", SECOND, &nearly, &FIRST[1..]] {
        assert_eq!(edge.prove(wrong).await, Proof::None, "{wrong}");
    }
    assert_eq!(edge.reads(), 1);
}

#[tokio::test]
async fn a_rotation_leaves_no_gap() {
    let mut edge = Edge::new(Some(FIRST));
    assert_eq!(edge.prove(FIRST).await, Proof::Valid);
    edge.advance(SOON);

    edge.rotate(SECOND);

    // One edge location sends the old value still, another the new one already.
    assert_eq!(edge.prove(FIRST).await, Proof::Valid);
    assert_eq!(edge.prove(SECOND).await, Proof::Valid);
    assert_eq!(edge.prove(FIRST).await, Proof::Valid);
    edge.advance(LATER);
    assert_eq!(edge.prove(FIRST).await, Proof::Valid);
    assert_eq!(edge.prove(SECOND).await, Proof::Valid);
}

#[tokio::test]
async fn a_value_that_was_rotated_out_proves_nothing_after_five_minutes() {
    let mut edge = Edge::new(Some(FIRST));
    assert_eq!(edge.prove(FIRST).await, Proof::Valid);

    edge.rotate(SECOND);
    edge.rotate(THIRD);
    edge.advance(LATER);

    assert_eq!(edge.prove(FIRST).await, Proof::None);
    assert_eq!(edge.prove(SECOND).await, Proof::Valid);
    assert_eq!(edge.prove(THIRD).await, Proof::Valid);
}

#[tokio::test]
async fn while_the_secret_can_not_be_read_the_last_values_stay_valid() {
    let mut edge = Edge::new(Some(FIRST));
    edge.rotate(SECOND);
    assert_eq!(edge.prove(SECOND).await, Proof::Valid);

    edge.fail(true);
    for _ in 0..3 {
        edge.advance(LATER);
        assert_eq!(edge.prove(FIRST).await, Proof::Valid);
        assert_eq!(edge.prove(SECOND).await, Proof::Valid);
        assert_eq!(edge.prove(THIRD).await, Proof::Unknown);
    }
    assert_eq!(edge.reads(), 4, "one a round, and no more");

    edge.fail(false);
    edge.advance(SOON);
    assert_eq!(edge.prove(THIRD).await, Proof::None);
}

#[tokio::test]
async fn until_the_secret_was_read_nothing_is_proven() {
    let mut edge = Edge::new(Some(FIRST));
    edge.fail(true);
    assert_eq!(edge.prove(FIRST).await, Proof::Unknown);
    assert_eq!(edge.prove(SECOND).await, Proof::Unknown);

    edge.fail(false);
    assert_eq!(edge.prove(FIRST).await, Proof::Unknown, "it reads later");
    edge.advance(SOON);
    assert_eq!(edge.prove(FIRST).await, Proof::Valid);
}

#[tokio::test]
async fn a_value_that_can_be_guessed_proves_nothing() {
    for value in ["", "short", "0123456789abcdef 0123456789abcdef"] {
        let edge = Edge::new(Some(value));
        assert_eq!(edge.prove(value).await, Proof::Unknown, "{value:?}");

        edge.rotate(FIRST);
        let mut edge = edge;
        edge.advance(SOON);
        assert_eq!(edge.prove(FIRST).await, Proof::Valid);
        assert_eq!(edge.prove(value).await, Proof::None, "{value:?}");
    }
    assert_eq!(Edge::new(None).prove("").await, Proof::Unknown);
}

#[tokio::test]
async fn forged_values_do_not_read_the_secret_again_and_again() {
    let mut edge = Edge::new(Some(FIRST));
    for _ in 0..3 {
        for _ in 0..100 {
            assert_eq!(edge.prove(THIRD).await, Proof::None);
        }
        edge.advance(SOON);
    }
    assert_eq!(edge.reads(), 3);
}

#[tokio::test]
async fn a_request_without_a_value_reads_nothing() {
    let edge = Edge::new(Some(FIRST));

    let proof = edge.policy.prove_distribution(None, edge.now).await;

    assert_eq!((proof, edge.reads()), (Proof::None, 0));
    let none = OriginPolicy::new(None);
    let proof = none.prove_distribution(Some(FIRST), edge.now).await;
    assert_eq!(proof, Proof::None);
}

#[tokio::test]
async fn the_values_are_not_in_a_debug_text() {
    let edge = Edge::new(Some(FIRST));
    assert_eq!(edge.prove(FIRST).await, Proof::Valid);

    let text = format!("{:?}", edge.policy);

    assert!(text.contains("curfew/edge"), "{text}");
    assert!(!text.contains(FIRST), "{text}");
}

/// Sends a request to its function, where every request must come through the
/// distribution.
fn send<'a>(edge: &'a Edge, mut event: Event, presented: Option<&str>) -> Boxed<'a, Reply> {
    if let Some(presented) = presented {
        let value = presented.parse().unwrap();
        event.headers.insert("x-curfew-distribution", value);
    }
    Box::pin(async move {
        let clock = Clock::fixed(edge.now);
        let documents = ["/v1/openapi.json", "/v1/asyncapi.json"];
        if documents.contains(&event.raw_path.as_deref().unwrap()) {
            let deps = api::Deps {
                origin_policy: edge.policy.clone(),
                allowed_headers: String::new(),
                clock,
            };
            return api::handle(&deps, event).await;
        }
        let client = FakeAws::new().clients().dynamodb();
        let bundle = Bundle::with_policy(client, clock, &edge.policy);
        bundle.send(event).await
    })
}

#[tokio::test]
async fn every_route_rejects_what_did_not_come_through_a_required_distribution() {
    let edge = Edge::new(Some(FIRST));
    let routes = routes();
    let public = routes.iter().filter(|route| route.guard != Guard::Iam);
    let mut tried = 0;
    for route in public {
        for presented in [None, Some(""), Some(SECOND)] {
            let reply = send(&edge, route.event(None, SIGN_OUT), presented).await;
            let problem = (403, "distribution-required".to_owned());
            assert_eq!(problem_of(&reply), problem, "{} {presented:?}", route.id);
        }
        let reply = send(&edge, route.event(None, SIGN_OUT), Some(FIRST)).await;
        assert_ne!(reply.status_code, 403, "{}", route.id);
        tried += 1;
    }
    assert!(tried >= 13, "{tried}");
}

#[tokio::test]
async fn a_service_introspects_beside_the_distribution() {
    let edge = Edge::new(Some(FIRST));

    let reply = send(&edge, introspection("token=nonsense"), None).await;

    assert_eq!(reply.status_code, 200);
    assert_eq!(edge.reads(), 0);
}

#[tokio::test]
async fn a_backend_signs_people_in_beside_the_distribution() {
    let edge = Edge::new(Some(FIRST));
    let body = json!({
        "person": { "ip": "203.0.113.7" },
        "sign_in": { "email": "noa@example.com", "password": "eleven lanterns" },
    });
    let event = by_iam(event("POST", "/v1/backend/login", None, Some(&body)));

    let reply = send(&edge, event, None).await;

    assert_eq!(reply.status_code, 401);
    assert_eq!(edge.reads(), 0);
}

#[tokio::test]
async fn while_a_required_distribution_can_not_be_proven_the_answer_is_unavailable() {
    let edge = Edge::new(Some(FIRST));
    edge.fail(true);

    for route in routes().iter().filter(|route| route.guard != Guard::Iam) {
        let reply = send(&edge, route.event(None, SIGN_OUT), Some(FIRST)).await;
        let problem = (503, "unavailable".to_owned());
        assert_eq!(problem_of(&reply), problem, "{}", route.id);
    }
}
