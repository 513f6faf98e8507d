//! The functions over tables that report what each call used.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::{DeviceId, SignOutId, Token};
use http_api::Reply;
use jiff::SignedDuration;
use runtime::Clients;

use crate::account::{EMAIL, PASSWORD, noon};
use crate::app::TestApp;
use crate::bundle::{Bundle, json_of};
use crate::cost::{Cost, Meter};
use crate::delivery;
use crate::fake_aws::FakeAws;
use crate::races::operations::{Outcome, check};
use crate::wire::{self, Call, CallResult};

/// The functions over tables that report what each call used.
pub struct Metered {
    /// Adds up what the calls use.
    pub meter: Meter,
    /// The tables and the services.
    pub aws: Arc<FakeAws>,
    /// The SDK's clients, which reach `aws` through the meter.
    pub clients: Clients,
    /// The functions and their clock.
    pub app: TestApp,
    /// The number of published events.
    pub published: Arc<AtomicUsize>,
}

impl Default for Metered {
    fn default() -> Self {
        Self::new()
    }
}

impl Metered {
    /// Creates empty tables.
    #[must_use]
    pub fn new() -> Self {
        let (aws, meter) = (FakeAws::new(), Meter::default());
        let published = Arc::<AtomicUsize>::default();
        let (to, used, events) = (aws.clone(), meter.clone(), published.clone());
        let clients = wire::clients(move |call: Call| match call.operation.as_str() {
            "PublishBatch" => {
                used.count(&call.operation);
                let batch = delivery::batch(&call.body);
                events.fetch_add(batch.len(), Ordering::SeqCst);
                let taken: Vec<_> = batch.into_iter().map(|(id, _)| (id, None)).collect();
                CallResult::Answered(delivery::batch_answer(&taken))
            }
            "PostToConnection" | "DeleteConnection" | "SendMessage" => {
                used.count(&call.operation);
                CallResult::Answered(to.make(&call))
            }
            table => {
                let answer = used.answer(&to.engine, table, &call.body);
                assert!(answer.is_success(), "{}", answer.body);
                CallResult::Answered(answer)
            }
        });
        let app = TestApp::over(&aws, &clients, noon());
        Self {
            meter,
            aws,
            clients,
            app,
            published,
        }
    }

    /// Creates tables with one account.
    pub async fn with_account() -> Self {
        let metered = Self::new();
        let registered = metered.bundle().register(EMAIL, PASSWORD).await;
        assert_eq!(registered.status_code, 202);
        metered
    }

    /// Returns the functions.
    #[must_use]
    pub fn bundle(&self) -> &Bundle {
        &self.app.bundle
    }

    /// Signs a device in and lets a second pass. Returns its token and device key.
    pub async fn device(&self) -> (String, String) {
        let reply = self.bundle().log_in(EMAIL, PASSWORD, None).await;
        self.app.clock.advance(SignedDuration::from_secs(1));
        let body = json_of(&reply);
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        (text("token"), text("device_key"))
    }

    /// Returns what a request used, which must succeed.
    pub async fn cost(&self, request: impl Future<Output = Reply>) -> Cost {
        let (cost, reply) = self.used(request).await;
        let is_success = [200, 202].contains(&reply.status_code);
        assert!(is_success, "{:?}", reply.body);
        cost
    }

    /// Returns what a request used, which must be answered 401.
    pub async fn refused(&self, request: impl Future<Output = Reply>) -> Cost {
        let (cost, reply) = self.used(request).await;
        assert_eq!(reply.status_code, 401, "{:?}", reply.body);
        cost
    }

    /// Returns what an operation used, and its result.
    pub fn used<'a, T>(
        &'a self,
        operation: impl Future<Output = T> + 'a,
    ) -> Pin<Box<dyn Future<Output = (Cost, T)> + 'a>> {
        let operation = Box::pin(operation);
        Box::pin(async move {
            let _before = self.meter.take();
            let result = operation.await;
            (self.meter.take(), result)
        })
    }

    /// Returns what a check by the authorizer used.
    pub async fn checked(&self, token: &str, is_let_in: bool) -> Cost {
        let (cost, outcome) = self.used(check(self.bundle(), token)).await;
        assert_eq!(outcome == Outcome::Passed, is_let_in, "{outcome:?}");
        cost
    }
}

/// Returns the sign-out that an answer names.
#[must_use]
pub fn sign_out_of(reply: &Reply) -> SignOutId {
    let body = json_of(reply);
    body["sign_out"]["id"].as_str().unwrap().parse().unwrap()
}

/// Returns the device that a token names.
#[must_use]
pub fn device_of(token: &str) -> DeviceId {
    Token::parse(token).unwrap().device()
}
