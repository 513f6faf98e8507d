//! The Lambda authorizer of the adopting team's own HTTP APIs (payload format
//! 2.0, simple responses, result caching off).
//!
//! Lets a request through only while its session is valid, and tells the team's
//! function whose it is. A refusal is a bare 403: the client asks
//! `GET /v1/session` why.

use std::time::Instant;

use aws_lambda_events::apigw::ApiGatewayV2CustomAuthorizerV2Request;
use domain::Limits;
use http_api::{Denied, Event, OriginPolicy, Request, check};
use runtime::Clock;
use serde::{Deserialize, Serialize};
use store::{Store, StoreError, WriteOutcome};

/// What the function may reach: the rows of accounts and devices.
#[derive(Debug)]
pub struct Deps {
    /// The tables.
    pub store: Store,
    /// How long a session lasts.
    pub limits: Limits,
    /// Who may call.
    pub origin_policy: OriginPolicy,
    /// The clock.
    pub clock: Clock,
}

/// What the gateway asks. It is not quite what it sends to a function behind a
/// route (`identitySource` is a list here), so it is read as what it is.
pub type Asked = ApiGatewayV2CustomAuthorizerV2Request;

/// The request that the gateway asks about.
#[must_use]
pub fn asked_about(asked: Asked) -> Event {
    let mut event = Event::default();
    event.raw_path = asked.raw_path;
    event.headers = asked.headers;
    // Without a list of them, cookies are looked for in the headers.
    event.cookies = (!asked.cookies.is_empty()).then_some(asked.cookies);
    event.request_context = asked.request_context;
    event
}

/// The answer, as the gateway takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// Whether the request goes through.
    pub is_authorized: bool,
    /// Whose it is, as `requestContext.authorizer.lambda` of the team's function.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<Context>,
}

/// Whose request it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// The account.
    pub account_id: String,
    /// The device.
    pub device_id: String,
    /// The session.
    pub session_id: String,
    /// The account's epoch that the session was born in. Whoever keeps something
    /// open for the session judges the events by it.
    pub epoch: u64,
}

/// Decides on one request.
///
/// # Errors
/// [`StoreError`] when the session could not be checked: the gateway answers 500,
/// which is no verdict, and lets nobody through.
pub async fn handle(deps: &Deps, event: Event) -> Result<Decision, StoreError> {
    let began = Instant::now();
    let now = deps.clock.now();
    let request = Request::new(event, &deps.origin_policy);
    let (decision, outcome) = match decide(deps, &request, now).await {
        Ok(context) => (
            Decision {
                is_authorized: true,
                context: Some(context),
            },
            "admitted",
        ),
        Err(Denied::Store(error)) => {
            tracing::error!(cause = error.chain(), "A session could not be checked.");
            return Err(error);
        }
        Err(denied) => (
            Decision {
                is_authorized: false,
                context: None,
            },
            denied.outcome(),
        ),
    };
    request.log("A request was judged.", None, outcome, began);
    Ok(decision)
}

/// Admits the caller, and writes down that its device is in use.
async fn decide(deps: &Deps, request: &Request, now: domain::Timestamp) -> Result<Context, Denied> {
    let device = check(&deps.store, request, &deps.limits, now)
        .await?
        .caller
        .device;
    if device.is_touch_due(now) {
        match deps
            .store
            .touch(device.account, device.id, device.session, now)
            .await
        {
            Ok(WriteOutcome::Done) => {}
            // It was ended since it was admitted: the second look tells.
            Ok(WriteOutcome::Stale) => {
                check(&deps.store, request, &deps.limits, now).await?;
            }
            Err(error) => tracing::warn!(cause = error.chain(), "A touch was not written."),
        }
    }
    Ok(Context {
        account_id: device.account.to_string(),
        device_id: device.id.to_string(),
        session_id: device.session.to_string(),
        epoch: device.epoch.0,
    })
}
