//! `POST /v1/login` and `POST /v1/backend/login`: signs a device in with an e-mail address and
//! a password.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

mod attempt;
mod backend;
mod charges;
mod rounds;
mod second_step;
mod verify;

use std::mem;

use codes::Codes;
use domain::verification::VerificationPolicy;
use domain::{AccountId, Limits, SignInBudgets, Timestamp};
use futures_util::future::join;
use http_api::{
    AddressUnconfirmed, Answer, BodyProblems, CredentialsInvalid, Event, IamProblems, Object,
    OriginPolicy, Problem, Reply, Request, RequestProblems, TooManyAttempts, serve,
};
use mail::MailQueue;
use runtime::{Clock, PasswordHasher};
use serde::Deserialize;
use sign_in::{ATTEMPTS, DeviceClaims, LoggedIn, SignIn, SignOutOthers, TokenTransport};
use store::{Store, StoreError};
use utoipa::{OpenApi, ToSchema};
use zeroize::Zeroizing;

pub use backend::{BackendLogin, LoginProof, Person};

use attempt::Attempt;
use charges::Charges;
use rounds::Rounds;

/// Reads identities; writes accounts, devices, receipts, challenges and counters of attempts;
/// deletes lost factors; queues failed sign-ins, notices and mails with codes.
pub struct Deps {
    pub store: Store,
    pub limits: Limits,
    pub budgets: SignInBudgets,
    /// Whether the team wants a code at every sign-in on a device that is not recognized.
    pub sign_in_codes: bool,
    /// The address of the team's own login. None if Curfew verifies by itself.
    pub external: Option<&'static str>,
    /// The queue of `notify-owner`; none when the stack sends no mail.
    pub notices: Option<MailQueue>,
    /// None when the stack sends no mail.
    pub codes: Option<Codes>,
    pub origin_policy: OriginPolicy,
    pub clock: Clock,
    pub hasher: PasswordHasher,
}

impl Deps {
    fn sends_mail(&self) -> bool {
        self.codes.is_some()
    }

    fn policy(&self) -> VerificationPolicy {
        VerificationPolicy {
            sends_mail: self.sends_mail(),
            external: self.external,
        }
    }
}

/// The body of the request.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct Login {
    /// The e-mail address, in any spelling.
    #[schema(format = Email, max_length = 254, example = "lea@example.com")]
    pub email: String,
    /// The password.
    #[schema(
        value_type = String, format = Password, max_length = 1024,
        example = "quiet otter borrows nine lanterns"
    )]
    pub password: Zeroizing<String>,
    /// The facts that the device reports about itself.
    #[serde(default)]
    #[schema(value_type = Option<DeviceClaims>)]
    pub device: Option<Object<DeviceClaims>>,
    /// The device key: with it, the device keeps its id, and a sign-in that is sent again
    /// because its answer was lost does not become another device. A device makes it
    /// before its first sign-in to an account: `cfd_`, the milliseconds since 1970, `_`, and
    /// 32 random bytes in base64url. Without it, the answer has one. A page's earlier
    /// keys come in a cookie, too.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^cfd_[0-9]{13}_[A-Za-z0-9_-]{43}$")]
    pub device_key: Option<Zeroizing<String>>,
    /// The way in which the client gets its token.
    #[serde(default)]
    #[schema(default = "bearer")]
    pub transport: TokenTransport,
    /// `others` signs every other device out in the same step. No sign-out that is under way
    /// can outrun it.
    #[serde(default)]
    pub sign_out: Option<SignOutOthers>,
    /// A pass, with which the attempt is past the limits that others may have used up: five
    /// tries within ten minutes, and one sign-in. It also makes the device a recognized one.
    #[serde(default)]
    #[schema(value_type = Option<Pass>)]
    pub pass: Option<Object<Pass>>,
}

/// A pass: an attempt that no limit of others counts.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct Pass {
    /// The challenge in the answer to `POST /v1/passes`, in the problem `address-unconfirmed` or
    /// `code-required`, or, for the first sign-in of a new account, in the answer to
    /// `POST /v1/accounts`.
    #[schema(value_type = String, pattern = "^cfc_[A-Za-z0-9_-]{49}$")]
    pub challenge: Zeroizing<String>,
    /// The code in the mail.
    #[schema(value_type = String, max_length = 64, example = "K7QM-2R9X")]
    pub code: Zeroizing<String>,
}

/// The function's part of the `OpenAPI` document.
#[derive(Debug, Clone, Copy, OpenApi)]
#[openapi(paths(log_in, log_in_by_backend))]
pub struct Document;

/// The path of the route for backends.
const BACKEND_PATH: &str = "/v1/backend/login";

/// Answers a request of either route.
pub async fn handle(deps: &Deps, event: Event) -> Reply {
    let now = deps.clock.now();
    let path = event.raw_path.as_deref().unwrap_or_default();
    if path.ends_with(BACKEND_PATH) {
        // A signature is for the API's own address, so backends don't use the distribution.
        let policy = deps.origin_policy.without_distribution();
        let answering = serve(&policy, event, now, |request, now| async move {
            log_in_by_backend(deps, &request, now).await
        });
        return Box::pin(answering).await;
    }
    let answering = serve(&deps.origin_policy, event, now, |request, now| async move {
        log_in(deps, &request, now).await
    });
    Box::pin(answering).await
}

/// Signs a device in.
#[utoipa::path(
    post, path = "/v1/login", operation_id = "login", tag = "sessions",
    request_body(content = Login, example = json!({
        "email": "lea@example.com",
        "password": "quiet otter borrows nine lanterns",
        "device": { "name": "Living room", "type": "tv", "model": "Samsung TV" },
    })),
    responses(
        (status = 200, description = "The device is signed in.", body = LoggedIn,
            example = json!(LoggedIn::example())),
        RequestProblems, BodyProblems, CredentialsInvalid, AddressUnconfirmed, TooManyAttempts,
    ),
)]
async fn log_in(deps: &Deps, request: &Request, now: Timestamp) -> Result<Answer, Problem> {
    let attempt = Attempt::new(request, request.json()?)?;
    sign_in(deps, request, attempt, now).await
}

/// Signs a device in for your own backend, which names the person's address. Wrong passwords
/// are counted for that address, and not for the backend's.
#[utoipa::path(
    post, path = "/v1/backend/login", operation_id = "loginByBackend", tag = "services",
    security(("iam" = [])),
    request_body(content = BackendLogin, example = json!({
        "person": { "ip": "203.0.113.7", "user_agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0" },
        "sign_in": { "email": "lea@example.com", "password": "quiet otter borrows nine lanterns" },
    })),
    responses(
        (status = 200, description = "The device is signed in.", body = LoggedIn,
            example = json!(LoggedIn::example())),
        RequestProblems, BodyProblems, CredentialsInvalid, AddressUnconfirmed, TooManyAttempts,
        IamProblems,
    ),
)]
async fn log_in_by_backend(
    deps: &Deps,
    request: &Request,
    now: Timestamp,
) -> Result<Answer, Problem> {
    request.require_iam()?;
    let (attempt, by_person) = backend::read(request, deps.external, now)?;
    sign_in(deps, &by_person, attempt, now).await
}

async fn sign_in(
    deps: &Deps,
    request: &Request,
    mut attempt: Attempt,
    now: Timestamp,
) -> Result<Answer, Problem> {
    let keys = mem::take(&mut attempt.wanted.device_keys);
    // On the heap: the futures of the SDK are large.
    let charging = Box::pin(Charges::begin(deps, request, &attempt, &keys, now));
    let unknown = AccountId::from_random(runtime::random());
    let reading = Box::pin(keys.first_rows(&deps.store, &attempt.email, unknown));
    let (read, charges) = join(reading, charging).await;
    let (mut charges, (account_id, mut rows)) = (charges?, read?);
    Box::pin(charges.complete(&keys, &rows)).await?;
    let sign_in = SignIn {
        store: &deps.store,
        limits: &deps.limits,
        sends_mail: deps.sends_mail(),
        request,
        wanted: &attempt.wanted,
        now,
    };
    let mut rounds = Rounds::new(deps, sign_in, &attempt, charges, keys);
    for _ in 0..ATTEMPTS {
        if let Some(answer) = Box::pin(rounds.next(rows)).await? {
            return Ok(answer);
        }
        let devices = rounds.devices_in(account_id);
        rows = deps.store.rows(account_id, &devices).await?;
    }
    Err(StoreError::Contended.into())
}
