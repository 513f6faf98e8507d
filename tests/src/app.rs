//! The whole product in process: its functions over [`FakeAws`], one registered
//! account, and a clock that a test moves.

mod push;

use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use aws_sdk_dynamodb::config::Builder;
use codes::Codes;
use domain::networks::NetworkRanges;
use domain::{AccountId, Device, SignOutId};
use events::Record;
use factors::{Checker, Sealer};
use http_api::Reply;
use jiff::SignedDuration;
use mail::MailQueue;
use runtime::{Clients, Clock};
use store::Change;

use crate::account::{
    self, EMAIL, OTHER_EMAIL, OTHER_PASSWORD, PASSWORD, TestDevice, disable, noon,
};
use crate::background::Background;
use crate::bundle::{Bundle, ISSUER, json_of};
use crate::delivery;
use crate::fake_aws::FakeAws;
use crate::kms;

/// A future on the heap: the handlers are too large for the stack of a test.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// The product over its own tables.
pub struct TestApp {
    /// The services that it calls.
    pub aws: Arc<FakeAws>,
    /// The functions behind HTTP, on the heap: a future that holds them would be too large.
    pub bundle: Box<Bundle>,
    /// The clock of all functions.
    pub clock: Clock,
    clients: Clients,
    background: OnceLock<Background>,
}

impl TestApp {
    /// Returns the product with the account of [`EMAIL`], which has no devices.
    pub async fn new() -> Self {
        let app = Self::without_account(|config| config);
        app.register(EMAIL).await;
        app
    }

    /// Returns the product with an account that has as many devices.
    #[must_use]
    pub fn with_devices<const N: usize>() -> Boxed<'static, (Self, [TestDevice; N])> {
        Box::pin(async {
            let app = Self::new().await;
            let mut devices = Vec::with_capacity(N);
            for _ in 0..N {
                devices.push(app.sign_in(None).await);
            }
            let devices = devices.try_into().expect("as many as were signed in");
            (app, devices)
        })
    }

    /// Returns the product without any account, with its DynamoDB client configured
    /// by the test.
    #[must_use]
    pub fn without_account(configure: impl FnOnce(Builder) -> Builder) -> Self {
        let aws = FakeAws::new();
        let clients = aws.clients();
        let client = clients.dynamodb();
        let config = configure(client.config().to_builder()).build();
        let client = aws_sdk_dynamodb::Client::from_conf(config);
        let clock = noon();
        Self {
            aws,
            bundle: Box::new(Bundle::new(client, clock.clone())),
            clock,
            clients,
            background: OnceLock::new(),
        }
    }

    /// Returns the functions over clients that reach the services in the test's own
    /// way.
    #[must_use]
    pub fn over(aws: &Arc<FakeAws>, clients: &Clients, clock: Clock) -> Self {
        Self {
            aws: aws.clone(),
            bundle: Box::new(Bundle::new(clients.dynamodb(), clock.clone())),
            clock,
            clients: clients.clone(),
            background: OnceLock::new(),
        }
    }

    /// Returns the functions behind the streams, the queues and the sockets.
    pub fn background(&self) -> &Background {
        // Made on first use: most tests need none of their clients.
        self.background
            .get_or_init(|| Background::new(&self.clients, &self.bundle))
    }

    /// Moves the clock.
    pub fn advance(&self, by: SignedDuration) {
        self.clock.advance(by);
    }

    fn advance_a_second(&self) {
        self.advance(SignedDuration::from_secs(1));
    }

    /// Lets the functions send mail.
    #[must_use]
    pub fn with_mail(mut self) -> Self {
        let codes = || {
            let queue = MailQueue::new(self.aws.clients().sqs(), "codes".to_owned());
            Some(Codes::new(queue, NetworkRanges::default()))
        };
        let notices = MailQueue::new(self.aws.clients().sqs(), "notices".to_owned());
        self.bundle.second_step.notices = Some(notices.clone());
        self.bundle.verify.notices = Some(notices.clone());
        self.bundle.messages.warnings = Some(notices.clone());
        self.bundle.login.notices = Some(notices);
        self.bundle.session.sends_mail = true;
        self.bundle.messages.sends_mail = true;
        let (login, register, others) = (codes(), codes(), codes());
        for policy in self.bundle.policies() {
            policy.sends_mail = true;
        }
        self.bundle.verify.codes = codes();
        self.bundle.change_address.codes = codes();
        self.bundle.second_step.codes = codes();
        self.bundle.login.codes = login;
        self.bundle.register.codes = register;
        self.bundle.request_codes.codes = others;
        self
    }

    /// Lets accounts have factors.
    #[must_use]
    pub fn with_factors(mut self) -> Self {
        let sends_mail = self.bundle.session.sends_mail;
        let checker = Checker {
            sealer: Some(Sealer::new(self.clients.config(), kms::KEY.to_owned())),
            sends_mail,
        };
        self.bundle.verify.checker = checker.clone();
        self.bundle.second_step.checker = checker.clone();
        // A recovery has been asked for by mail.
        self.bundle.confirm_codes.checker = Checker {
            sends_mail: true,
            ..checker
        };
        self
    }

    /// Makes an account with [`PASSWORD`] and a confirmed address.
    pub async fn register(&self, email: &str) {
        let (store, now) = (&self.bundle.store, self.clock.now());
        let made = account::register(store, email, PASSWORD, Some(now), now);
        Box::pin(made).await.expect("the tables answer");
    }

    /// Signs a device in: a new one, or the one that holds the key.
    #[must_use]
    pub fn sign_in<'a>(&'a self, key: Option<&'a str>) -> Boxed<'a, TestDevice> {
        self.sign_in_to(EMAIL, key)
    }

    /// Signs a device in to another account.
    #[must_use]
    pub fn sign_in_to<'a>(&'a self, email: &'a str, key: Option<&'a str>) -> Boxed<'a, TestDevice> {
        Box::pin(async move {
            self.advance_a_second();
            TestDevice::of(&self.bundle.log_in(email, PASSWORD, key).await)
        })
    }

    /// Signs a device in again by its key.
    #[must_use]
    pub fn sign_in_again<'a>(&'a self, device: &'a TestDevice) -> Boxed<'a, TestDevice> {
        Box::pin(async move {
            let again = self.sign_in(Some(&device.key)).await;
            assert_eq!(again.id, device.id);
            again
        })
    }

    /// Registers [`OTHER_EMAIL`], and signs as many devices in to it.
    #[must_use]
    pub fn other_account<const N: usize>(&self) -> Boxed<'_, [TestDevice; N]> {
        Box::pin(async {
            self.register(OTHER_EMAIL).await;
            let mut devices = Vec::with_capacity(N);
            for _ in 0..N {
                devices.push(self.sign_in_to(OTHER_EMAIL, None).await);
            }
            devices.try_into().expect("as many as were signed in")
        })
    }

    /// Signs out one device by another.
    pub async fn sign_out_device(&self, by: &TestDevice, device: &TestDevice) -> SignOutId {
        self.advance_a_second();
        sign_out_of(&self.bundle.sign_out_device(&by.token, device.id).await)
    }

    /// Signs out `"others"` or, with `"global"`, every device.
    pub async fn sign_out_scope(&self, by: &TestDevice, scope: &str) -> SignOutId {
        self.advance_a_second();
        sign_out_of(&self.bundle.sign_out_scope(&by.token, scope).await)
    }

    /// Verifies the session of a device by the password, and returns the device with its new
    /// token, which was seen.
    pub async fn verify(&self, device: &TestDevice) -> TestDevice {
        let verified = json_of(&self.bundle.verify(&device.token, PASSWORD).await);
        let token = verified["token"].as_str().expect("a token").to_owned();
        self.bundle.who_am_i(&token).await;
        TestDevice {
            token,
            ..device.clone()
        }
    }

    /// Signs out one device for `"device"`, else by scope.
    pub async fn sign_out(&self, by: &TestDevice, device: &TestDevice, scope: &str) -> SignOutId {
        match scope {
            "device" => self.sign_out_device(by, device).await,
            _ => self.sign_out_scope(by, scope).await,
        }
    }

    /// Changes the password to [`OTHER_PASSWORD`], which signs out every device or,
    /// with `keep`, every other one.
    pub async fn change_password(&self, by: &TestDevice, keep: bool) -> SignOutId {
        self.advance_a_second();
        let change = self
            .bundle
            .change_password(&by.token, PASSWORD, OTHER_PASSWORD, keep);
        sign_out_of(&change.await)
    }

    /// Disables an account as an operator does.
    pub async fn disable(&self, account: AccountId) -> SignOutId {
        let (store, limits) = (&self.bundle.store, &self.bundle.limits);
        let disabled = disable(store, account, limits, self.clock.now()).await;
        disabled.expect("the tables answer")
    }

    /// Reads the row of a device.
    pub async fn row(&self, device: &TestDevice) -> Device {
        let rows = self.bundle.store.rows(device.account, &[device.id]).await;
        let mut rows = rows.expect("the tables answer");
        rows.take_device(device.id).expect("the device's row")
    }

    /// Returns the message that the topic gets about a sign-out.
    pub async fn event_of(&self, account: AccountId, sign_out: SignOutId) -> String {
        let (store, limits) = (&self.bundle.store, &self.bundle.limits);
        let receipt = store.receipt(account, sign_out, limits).await;
        let receipt = receipt.expect("the tables answer").expect("a receipt");
        event_of(&Change::SignedOut(receipt.sign_out))
    }

    /// Delivers a message to the sweep.
    pub async fn sweep(&self, body: &str) {
        let event = delivery::queue_event(&[body]);
        let response = sweep::handle(&self.background().sweep, event).await;
        assert_eq!(delivery::failed_messages(response), [""; 0]);
    }
}

/// Returns the id of the sign-out in an answer.
#[must_use]
pub fn sign_out_of(reply: &Reply) -> SignOutId {
    let body = json_of(reply);
    assert_eq!(reply.status_code, 200, "{body}");
    let id = body["sign_out"]["id"].as_str().expect("a sign-out");
    id.parse().expect("an id")
}

/// Returns the first message that the topic gets about a change: the one about what
/// ended.
#[must_use]
pub fn event_of(change: &Change) -> String {
    events::messages(change, &Record::default(), ISSUER)[0].body()
}
