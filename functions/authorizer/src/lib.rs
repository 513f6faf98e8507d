//! The Lambda authorizer of the adopting team's own HTTP APIs (payload format 2.0,
//! simple responses, result caching off).
//!
//! Allows a request only while its session is valid, and passes the ids of its
//! account, device and session to the team's function. A refusal is a bare 403: the
//! client learns the reason from `GET /v1/session`.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

use std::time::Instant;

use aws_lambda_events::apigw::ApiGatewayV2CustomAuthorizerV2Request;
use domain::{Device, Limits, Timestamp};
use http_api::{Event, OriginPolicy, Request, check_and_touch, outcome};
use runtime::Clock;
use serde::{Deserialize, Serialize};
use store::{Store, StoreError};

/// Reads accounts; writes devices and receipts.
#[derive(Debug)]
pub struct Deps {
    pub store: Store,
    pub limits: Limits,
    pub origin_policy: OriginPolicy,
    pub clock: Clock,
}

/// The gateway's event. It differs from the event of a route (`identitySource` is a
/// list here).
pub type AuthorizerEvent = ApiGatewayV2CustomAuthorizerV2Request;

/// Converts the event to that of the request to authorize.
#[must_use]
pub fn request_event(authorizer: AuthorizerEvent) -> Event {
    let mut event = Event::default();
    event.raw_path = authorizer.raw_path;
    event.headers = authorizer.headers;
    // When the event lists no cookies, they are read from the headers.
    event.cookies = (!authorizer.cookies.is_empty()).then_some(authorizer.cookies);
    event.request_context = authorizer.request_context;
    event
}

/// The answer to the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    pub is_authorized: bool,
    /// `requestContext.authorizer.lambda` of the team's function.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<Context>,
}

/// The session of an authorized request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    pub account_id: String,
    pub device_id: String,
    pub session_id: String,
    /// The account's epoch when the session began. A service that keeps a connection
    /// open for the session compares it with the epochs of events.
    pub epoch: u64,
}

/// Authorizes one request.
///
/// # Errors
/// [`StoreError`] when the session could not be read. The gateway then answers 500,
/// which is no verdict, and lets no request through.
pub async fn handle(deps: &Deps, event: Event) -> Result<Decision, StoreError> {
    let began = Instant::now();
    let now = deps.clock.now();
    let request = Request::new(event, &deps.origin_policy);
    let decided = decide(deps, &request, now).await;
    let decided = decided.inspect_err(|error| {
        tracing::error!(cause = error.chain(), "session check failed");
    })?;
    request.log(None, decided.as_ref().err().unwrap_or(&"admitted"), began);
    let device = decided.ok();
    Ok(Decision {
        is_authorized: device.is_some(),
        context: device.as_ref().map(Context::of),
    })
}

/// Checks the origin and the session, and updates when its device was last active. The
/// inner error is the outcome for the log.
async fn decide(
    deps: &Deps,
    request: &Request,
    now: Timestamp,
) -> Result<Result<Device, &'static str>, StoreError> {
    let token = match request.check_origin().and_then(|()| request.token()) {
        Ok(token) => token,
        Err(problem) => return Ok(Err(problem.name())),
    };
    // The team's own API may be behind a distribution that can't prove itself here.
    let session = check_and_touch(&deps.store, request, &token, None, &deps.limits, now).await?;
    Ok(session.map_err(|error| outcome(&error)))
}

impl Context {
    fn of(device: &Device) -> Self {
        Self {
            account_id: device.account.to_string(),
            device_id: device.id.to_string(),
            session_id: device.session.to_string(),
            epoch: device.epoch.0,
        }
    }
}
