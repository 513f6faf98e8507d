//! `POST /v1/login` and `POST /v1/backend/login`: signs a device in with an e-mail address and
//! a password.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

mod attempt;
mod backend;
mod charges;
mod logged_in;
mod new_session;
mod page;
mod verify;
mod write;

use std::mem;

use codes::Codes;
use domain::challenge::ChallengeRandom;
use domain::verification::is_proven_by_sign_in;
use domain::{Account, AccountId, ChallengeSecret, DeviceType, Limits, SignInBudgets, Timestamp};
use futures_util::future::join;
use http_api::{
    AddressUnconfirmed, Answer, BodyProblems, CredentialsInvalid, Event, IamProblems, Object,
    OriginPolicy, Problem, Reply, Request, RequestProblems, TooManyAttempts, serve,
};
use mail::MailQueue;
use runtime::{Clock, PasswordHasher};
use serde::{Deserialize, Serialize};
use store::{Rows, Store, StoreError, WriteOutcome};
use utoipa::{OpenApi, ToSchema};
use zeroize::Zeroizing;

pub use backend::{BackendLogin, Person};
pub use logged_in::LoggedIn;

use attempt::Attempt;
use charges::Charges;
use logged_in::answer;
use new_session::{NewSession, Trust};
use page::end_earlier;
use verify::{Verified, require_enabled};
use write::write;

/// The most attempts of a sign-in when other writes change the same rows in between.
/// One more than for other writes: the client has just waited for a hash.
const ATTEMPTS: u32 = 4;

/// Reads identities; writes accounts, devices, receipts, challenges and counters of attempts;
/// queues failed sign-ins and mails with codes.
pub struct Deps {
    pub store: Store,
    pub limits: Limits,
    pub budgets: SignInBudgets,
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
}

/// The way in which the client gets its token and sends it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenTransport {
    /// In the body of the answer, and back in the `Authorization` header.
    #[default]
    Bearer,
    /// In a cookie, for a page. No script can read it.
    Cookie,
}

/// The facts that a device reports about itself. All are optional, and none proves
/// anything.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[schema(as = DeviceClaims)]
#[serde(deny_unknown_fields, default, expecting = "an object")]
pub struct DeviceClaims {
    /// The name that the device reports, such as one from its settings. A name set with
    /// `PATCH /v1/devices/{device_id}` goes before it.
    #[schema(
        max_length = 64,
        pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$",
        example = "Living room"
    )]
    pub name: Option<String>,
    /// The kind of device.
    #[serde(rename = "type")]
    #[schema(value_type = Option<http_api::DeviceKind>)]
    pub device_type: Option<DeviceType>,
    /// The operating system.
    #[schema(max_length = 64, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    pub os: Option<String>,
    /// The model.
    #[schema(
        max_length = 64,
        pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$",
        example = "Samsung QE55"
    )]
    pub model: Option<String>,
    /// The app.
    #[schema(max_length = 64, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    pub app: Option<String>,
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

/// The devices that a sign-in signs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SignOutOthers {
    /// Every other device of the account.
    Others,
}

/// A pass: an attempt that no limit of others counts.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct Pass {
    /// The challenge in the answer to `POST /v1/passes`, in the problem `address-unconfirmed`,
    /// or, for the first sign-in of a new account, in the answer to `POST /v1/accounts`.
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
    let (attempt, by_person) = backend::read(request)?;
    sign_in(deps, &by_person, attempt, now).await
}

async fn sign_in(
    deps: &Deps,
    request: &Request,
    mut attempt: Attempt,
    now: Timestamp,
) -> Result<Answer, Problem> {
    let mut keys = mem::take(&mut attempt.device_keys);
    // On the heap: the futures of the SDK are large.
    let charging = Box::pin(Charges::begin(deps, request, &attempt, &keys, now));
    let unknown = AccountId::from_random(runtime::random());
    let reading = Box::pin(keys.first_rows(&deps.store, &attempt.email, unknown));
    let (read, charges) = join(reading, charging).await;
    let (mut charges, (account_id, mut rows)) = (charges?, read?);
    Box::pin(charges.complete(&keys, &rows)).await?;
    let mut verified = Verified::default();
    for _ in 0..ATTEMPTS {
        let Rows { account, devices } = rows;
        let checked = verified.verify(deps, request, &attempt.password, account.as_ref());
        let mut account = match checked
            .await
            .and_then(|()| require_enabled(request, account))
        {
            Ok(account) => account,
            Err(problem) => {
                if problem == Problem::CredentialsInvalid {
                    charges.report().await;
                }
                return Err(problem);
            }
        };
        // A pass proves access to the address's mail, which a password thief lacks.
        let is_recognized =
            charges.is_by_pass || charges.are_of_recognized(&keys, &account, &devices);
        let is_verified = is_proven_by_sign_in(&account, is_recognized, deps.sends_mail());
        if !is_recognized && account.needs_code(deps.sends_mail(), now) {
            let secret = send_pass(deps, request, &account, &attempt, now).await?;
            return Err(Problem::address_unconfirmed(&secret));
        }
        if attempt.ends_others && !is_verified {
            let secret = send_pass(deps, request, &account, &attempt, now).await?;
            return Err(Problem::pass_required(&secret));
        }
        charges.take_pass().await?;
        let device = keys.identify(&account, devices, now, runtime::random());
        let trust = Trust {
            is_recognized,
            is_verified,
        };
        let begin = (&account, device, trust);
        let mut session = NewSession::new(&deps.limits, request, &attempt, begin, now);
        if attempt.ends_others {
            session.end_others(&account, now);
        }
        request.note_device(session.row.id);
        session.earlier = end_earlier(deps, request, &attempt, &session.row, now).await?;
        let writing = Box::pin(write(deps, &account, &session, now));
        if join(writing, charges.give_back()).await.0? == WriteOutcome::Done {
            charges.end_failures().await;
            if charges.is_by_pass {
                confirm_by_pass(deps, &attempt, &mut account, now).await;
            }
            verified.rehash(deps, &attempt.password, &account).await;
            return Ok(answer(deps, &attempt, &account, session, &keys, now));
        }
        // Another write came first, or the answer to ours was lost. The same session must
        // not be written twice: the next round makes a new one.
        let devices = keys.devices_in(account_id);
        rows = deps.store.rows(account_id, &devices).await?;
    }
    Err(StoreError::Contended.into())
}

/// Mails a pass to the address of an account whose password was right, and returns the secret
/// of its challenge.
async fn send_pass(
    deps: &Deps,
    request: &Request,
    account: &Account,
    attempt: &Attempt,
    now: Timestamp,
) -> Result<ChallengeSecret, Problem> {
    let codes = deps.codes.as_ref().ok_or(Problem::MailUnavailable)?;
    let random = ChallengeRandom {
        secret: runtime::random(),
        code: runtime::random(),
        link: runtime::random(),
    };
    let to = (account.id, attempt.email.clone());
    let sending = codes.send_pass(&deps.store, request, to, now, random);
    Box::pin(sending).await
}

/// Confirms the address of an account that was signed in to with a code to it. An error is
/// logged: the next pass confirms it.
async fn confirm_by_pass(deps: &Deps, attempt: &Attempt, account: &mut Account, now: Timestamp) {
    if account.confirmed_at.is_some() {
        return;
    }
    let confirming = deps.store.confirm_by_pass(account.id, &attempt.email, now);
    match confirming.await {
        Ok(WriteOutcome::Done) => account.confirmed_at = Some(now),
        Ok(WriteOutcome::Stale) => {}
        Err(error) => tracing::warn!(cause = error.chain(), "address not confirmed"),
    }
}
