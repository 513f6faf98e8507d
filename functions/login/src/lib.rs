//! `POST /v1/login` and `POST /v1/backend/login`: signs a device in with an e-mail address and
//! a password.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

mod attempt;
mod backend;
mod charges;
mod second_step;
mod verify;

use std::mem;

use codes::Codes;
use domain::challenge::ChallengeRandom;
use domain::verification::is_proven_by_sign_in;
use domain::{Account, AccountId, ChallengeSecret, Limits, SignInBudgets, Timestamp};
use futures_util::future::join;
use http_api::{
    AddressUnconfirmed, Answer, BodyProblems, CredentialsInvalid, Event, IamProblems, Object,
    OriginPolicy, Problem, Reply, Request, RequestProblems, TooManyAttempts, serve,
};
use mail::MailQueue;
use runtime::{Clock, PasswordHasher};
use serde::Deserialize;
use sign_in::{ATTEMPTS, DeviceClaims, LoggedIn, SignIn, SignOutOthers, TokenTransport, Trust};
use store::{Rows, Store, StoreError, WriteOutcome};
use utoipa::{OpenApi, ToSchema};
use zeroize::Zeroizing;

pub use backend::{BackendLogin, Person};

use attempt::Attempt;
use charges::Charges;
use verify::{Verified, require_enabled};

/// Reads identities; writes accounts, devices, receipts, challenges and counters of attempts;
/// deletes lost factors; queues failed sign-ins, notices and mails with codes.
pub struct Deps {
    pub store: Store,
    pub limits: Limits,
    pub budgets: SignInBudgets,
    /// Whether the team wants a code at every sign-in on a device that is not recognized.
    pub sign_in_codes: bool,
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
    let (attempt, by_person) = backend::read(request)?;
    sign_in(deps, &by_person, attempt, now).await
}

async fn sign_in(
    deps: &Deps,
    request: &Request,
    mut attempt: Attempt,
    now: Timestamp,
) -> Result<Answer, Problem> {
    let mut keys = mem::take(&mut attempt.wanted.device_keys);
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
        if let Some(removal) = account.due_removal(now) {
            second_step::remove_lost(deps, &sign_in, (&account, &removal)).await?;
            rows = deps
                .store
                .rows(account_id, &keys.devices_in(account_id))
                .await?;
            continue;
        }
        let is_recognized = charges.are_of_recognized(&keys, &account, &devices);
        if !is_recognized && account.has_factor(deps.sends_mail(), now) {
            let asking = second_step::ask(deps, &sign_in, (&account, devices), &mut keys);
            return Box::pin(asking).await;
        }
        // A pass proves access to the address's mail, which a password thief lacks.
        let is_recognized = is_recognized || charges.is_by_pass;
        let trust = Trust {
            is_recognized,
            is_verified: is_proven_by_sign_in(&account, is_recognized, deps.sends_mail(), now),
        };
        require_pass(deps, request, &attempt, (&account, trust), now).await?;
        charges.take_pass().await?;
        let preparing = sign_in.prepare(&account, devices, &mut keys, trust);
        let session = Box::pin(preparing).await?;
        let writing = Box::pin(sign_in.write(&account, &session));
        if join(writing, charges.give_back()).await.0? == WriteOutcome::Done {
            charges.end_failures().await;
            if charges.is_by_pass {
                confirm_by_pass(deps, &attempt, &mut account, now).await;
            }
            verified.rehash(deps, &attempt.password, &account).await;
            return Ok(sign_in.answer(&account, session, &keys));
        }
        // Another write came first, or the answer to ours was lost. The same session must
        // not be written twice: the next round makes a new one.
        let devices = keys.devices_in(account_id);
        rows = deps.store.rows(account_id, &devices).await?;
    }
    Err(StoreError::Contended.into())
}

/// Requires a pass, and mails one, if the password alone is not enough.
async fn require_pass(
    deps: &Deps,
    request: &Request,
    attempt: &Attempt,
    (account, trust): (&Account, Trust),
    now: Timestamp,
) -> Result<(), Problem> {
    let problem = if !trust.is_recognized && account.needs_code(deps.sends_mail(), now) {
        Problem::address_unconfirmed
    } else if !trust.is_recognized && account.wants_code(deps.sends_mail(), deps.sign_in_codes) {
        Problem::code_required
    } else if attempt.wanted.ends_others && !trust.is_verified {
        Problem::pass_required
    } else {
        return Ok(());
    };
    Err(problem(
        &send_pass(deps, request, account, attempt, now).await?,
    ))
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
    let to = (account, attempt.email.clone());
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
