//! `POST /v1/login`: signs a device in with an e-mail address and a password.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

mod attempt;
mod charges;
mod device_keys;
mod new_session;
mod page;
mod verify;
mod write;

use std::mem;
use std::sync::Mutex;

use domain::password::Hasher;
use domain::{Account, AccountId, DeviceType, Limits, Rfc3339, SignInBudgets, Timestamp};
use futures_util::future::join;
use http_api::{
    AccountView, Answer, BodyProblems, CodeProblems, CredentialsInvalid, DEVICE_COOKIE, DeviceView,
    Event, Object, OriginPolicy, Problem, Reply, Request, RequestProblems, SESSION_COOKIE,
    TooManyAttempts, cookie, serve,
};
use mail::MailQueue;
use runtime::Clock;
use serde::{Deserialize, Serialize};
use store::{Rows, Store, StoreError, WriteOutcome};
use utoipa::{OpenApi, ToSchema};
use zeroize::Zeroizing;

use attempt::Attempt;
use charges::Charges;
use device_keys::DeviceKeys;
use new_session::NewSession;
use page::{EndedEarlier, end_earlier};
use verify::{Verified, require_enabled};
use write::write;

/// The most attempts of a sign-in when other writes change the same rows in between.
/// One more than for other writes: the client has just waited for a hash.
const ATTEMPTS: u32 = 4;

/// Reads identities; writes accounts, devices, receipts, challenges and counters of attempts;
/// queues failed sign-ins.
pub struct Deps {
    pub store: Store,
    pub limits: Limits,
    pub budgets: SignInBudgets,
    /// The queue of `notify-owner`; none when the stack sends no mail.
    pub notices: Option<MailQueue>,
    pub origin_policy: OriginPolicy,
    pub clock: Clock,
    /// Locked while a hash is computed in its buffer.
    pub hasher: Mutex<Hasher>,
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
    /// The challenge in the answer to `POST /v1/passes`, or, for the first sign-in of a new
    /// account, to `POST /v1/accounts`.
    #[schema(value_type = String, pattern = "^cfc_[A-Za-z0-9_-]{49}$")]
    pub challenge: Zeroizing<String>,
    /// The code in the mail.
    #[schema(value_type = String, max_length = 64, example = "K7QM-2R9X")]
    pub code: Zeroizing<String>,
}

/// The answer: a session.
#[derive(Serialize, ToSchema)]
pub struct LoggedIn {
    /// The secret of the session, shown this once. Absent with `cookie`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^cft_[A-Za-z0-9_-]{92}$")]
    pub token: Option<Zeroizing<String>>,
    /// The key that identifies the device at its next sign-in: the one of the request, or
    /// another one if that can't name a new device because its time is more than a day
    /// off. Absent with `cookie`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^cfd_[0-9]{13}_[A-Za-z0-9_-]{43}$")]
    pub device_key: Option<Zeroizing<String>>,
    /// The session's id, as sockets and events name it. It is not a secret and gives no
    /// access.
    #[schema(value_type = String, format = Uuid)]
    pub session: String,
    /// The latest end of the session.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Rfc3339,
    /// The device.
    pub device: DeviceView,
    /// The account.
    pub account: AccountView,
    /// The sign-out that ended the session in the page's cookie, if that was another
    /// device's or account's. A page that has wiped its data acknowledges it as any other.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Uuid)]
    pub earlier_sign_out: Option<String>,
    /// The sign-out of the other devices, if the request asked for it. Its receipt shows
    /// how far it has come.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Uuid)]
    pub sign_out: Option<String>,
}

impl LoggedIn {
    fn example() -> Self {
        Self {
            token: Some(Zeroizing::new(format!("cft_{}", "x".repeat(92)))),
            device_key: Some(Zeroizing::new(format!(
                "cfd_1795168800000_{}",
                "x".repeat(43)
            ))),
            session: "c2a7a1f4-6d0b-4b43-9a55-0e3f9d2b7c11".to_owned(),
            expires_at: "2027-11-20T09:30:00Z"
                .parse::<Timestamp>()
                .expect("it is a time")
                .into(),
            device: DeviceView::example(),
            account: AccountView::example(),
            earlier_sign_out: None,
            sign_out: None,
        }
    }
}

/// The function's part of the `OpenAPI` document.
#[derive(Debug, Clone, Copy, OpenApi)]
#[openapi(paths(log_in))]
pub struct Document;

/// Answers a request.
pub async fn handle(deps: &Deps, event: Event) -> Reply {
    let now = deps.clock.now();
    serve(&deps.origin_policy, event, now, |request, now| async move {
        log_in(deps, &request, now).await
    })
    .await
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
        RequestProblems, BodyProblems, CredentialsInvalid, CodeProblems, TooManyAttempts,
    ),
)]
async fn log_in(deps: &Deps, request: &Request, now: Timestamp) -> Result<Answer, Problem> {
    let mut attempt = Attempt::read(request)?;
    let mut keys = mem::take(&mut attempt.device_keys);
    // On the heap: the futures of the SDK are large.
    let charging = Box::pin(Charges::begin(deps, request, &attempt, &keys, now));
    let reading = Box::pin(first_rows(deps, &attempt, &keys));
    let (read, charges) = join(reading, charging).await;
    let (mut charges, (account_id, mut rows)) = (charges?, read?);
    Box::pin(charges.complete(&keys, &rows)).await?;
    let mut verified = Verified::default();
    for _ in 0..ATTEMPTS {
        let Rows { account, devices } = rows;
        let checked = verified.verify(deps, request, &attempt.password, account.as_ref());
        let account = match checked.and_then(|()| require_enabled(request, account)) {
            Ok(account) => account,
            Err(problem) => {
                charges.report().await;
                return Err(problem);
            }
        };
        charges.take_pass().await?;
        // Whoever has a pass reads the address's mail, which a password thief does not.
        let is_recognized =
            charges.is_by_pass || charges.are_of_recognized(&keys, &account, &devices);
        let device = keys.identify(&account, devices, now);
        let begin = (&account, device, is_recognized);
        let mut session = NewSession::new(&deps.limits, request, &attempt, begin, now);
        if attempt.ends_others {
            session.end_others(&account, now);
        }
        request.note_device(session.row.id);
        session.earlier = end_earlier(deps, request, &attempt, &session.row, now).await?;
        let writing = Box::pin(write(deps, &account, &session, now));
        if join(writing, charges.give_back()).await.0? == WriteOutcome::Done {
            charges.end_failures().await;
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

/// Reads the account of the address and the rows of the device keys in it. For an unknown
/// address, reads those of a random account, so that it costs the same.
async fn first_rows(
    deps: &Deps,
    attempt: &Attempt,
    keys: &DeviceKeys,
) -> Result<(AccountId, Rows), StoreError> {
    let found = deps.store.account_by_email(&attempt.email).await?;
    let account = found.unwrap_or_else(|| AccountId::from_random(runtime::random()));
    let rows = deps.store.rows(account, &keys.devices_in(account)).await?;
    Ok((account, rows))
}

fn answer(
    deps: &Deps,
    attempt: &Attempt,
    account: &Account,
    session: NewSession,
    keys: &DeviceKeys,
    now: Timestamp,
) -> Answer {
    let in_cookie = attempt.transport == TokenTransport::Cookie;
    let NewSession {
        row,
        token,
        key,
        earlier,
        sign_out,
        ..
    } = session;
    let token = token.to_text();
    let mut cookies = Vec::new();
    if in_cookie {
        let seconds_to = |end: Timestamp| end.duration_since(now).as_secs();
        let session_s = seconds_to(row.expires_at);
        let device_s = seconds_to(deps.limits.device_kept_until(row.expires_at));
        cookies.push(cookie(SESSION_COOKIE, &token, session_s));
        cookies.push(cookie(DEVICE_COOKIE, &keys.to_cookie(&key), device_s));
    }
    cookies.extend(earlier.as_ref().map(EndedEarlier::cookie));
    let answer = Answer::json(
        200,
        &LoggedIn {
            token: (!in_cookie).then_some(token),
            device_key: (!in_cookie).then_some(key),
            session: row.session.to_string(),
            expires_at: row.expires_at.into(),
            device: DeviceView::signed_in(&row, row.id),
            account: AccountView::from(account),
            earlier_sign_out: earlier.map(|earlier| earlier.sign_out.to_string()),
            sign_out: sign_out.map(|sign_out| sign_out.id.to_string()),
        },
    );
    cookies.into_iter().fold(answer, Answer::with_cookie)
}
