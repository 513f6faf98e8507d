//! `PATCH /v1/devices/{device_id}`: gives a device the owner's name for it.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

use domain::recognition::is_recognized;
use domain::session::{SessionStatus, session_status};
use domain::{Account, Device, DeviceId, Limits, Timestamp};
use http_api::{
    Answer, BodyProblems, DeviceNotFound, DeviceView, Event, OriginPolicy, Problem, Reply, Request,
    RequestProblems, SessionEnd, TokenProblems, WRITE_ATTEMPTS, authenticate_with_device, serve,
};
use runtime::Clock;
use serde::{Deserialize, Serialize};
use store::{Store, StoreError, WriteOutcome};
use utoipa::{OpenApi, ToSchema};

/// Reads accounts; writes devices and receipts.
#[derive(Debug)]
pub struct Deps {
    pub store: Store,
    pub limits: Limits,
    pub origin_policy: OriginPolicy,
    pub clock: Clock,
}

/// The body of the request.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct RenameDevice {
    /// The owner's name for the device. It is shown everywhere, and a later sign-in
    /// does not change it. An empty one removes it: the device is then shown by
    /// the name that it reported, or by one made from its details.
    #[schema(
        max_length = 64,
        pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$",
        example = "Hotel TV"
    )]
    pub name: String,
}

/// The renamed device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RenamedDevice {
    pub device: DeviceView,
}

impl RenamedDevice {
    fn example() -> Self {
        let device = DeviceView {
            name: "Hotel TV".to_owned(),
            ..DeviceView::example()
        };
        Self { device }
    }
}

/// The function's part of the `OpenAPI` document.
#[derive(Debug, Clone, Copy, OpenApi)]
#[openapi(paths(rename))]
pub struct Document;

/// Answers a request.
pub async fn handle(deps: &Deps, event: Event) -> Reply {
    let now = deps.clock.now();
    serve(&deps.origin_policy, event, now, |request, now| async move {
        rename(deps, &request, now).await
    })
    .await
}

/// Gives a device the owner's name for it, or removes that name. A device that was
/// signed out can be renamed, too.
#[utoipa::path(
    patch, path = "/v1/devices/{device_id}", operation_id = "renameDevice", tag = "devices",
    params(("device_id" = String, Path, description = "The `id` of a device of the account.", format = Uuid)),
    request_body(content = RenameDevice, example = json!({ "name": "Hotel TV" })),
    security(("bearer" = []), ("cookie" = [])),
    responses(
        (status = 200, description = "The device with its new name.", body = RenamedDevice,
            example = json!(RenamedDevice::example())),
        RequestProblems, TokenProblems, BodyProblems, DeviceNotFound,
    ),
)]
async fn rename(deps: &Deps, request: &Request, now: Timestamp) -> Result<Answer, Problem> {
    // An id that can't be parsed is treated as not found.
    let wanted: Option<DeviceId> = request
        .path_parameter("device_id")
        .and_then(|id| id.parse().ok());
    let (store, limits) = (&deps.store, &deps.limits);
    for _ in 0..WRITE_ATTEMPTS {
        let (caller, target) =
            authenticate_with_device(store, request, wanted, limits, now).await?;
        let body: RenameDevice = request.json()?;
        let name = device_info::owner_name(body.name)
            .map_err(|refused| Problem::invalid(refused.field, refused.problem.to_string()))?;
        let mut target = target.ok_or(Problem::DeviceNotFound)?;
        // Also after a write whose answer was lost.
        let is_named = target.owner_name == name;
        if is_named || store.rename(&target, name.as_deref()).await? == WriteOutcome::Done {
            target.owner_name = name;
            let device = view(deps, &caller.account, &target, caller.device.id, now).await?;
            return Ok(Answer::json(200, &RenamedDevice { device }));
        }
    }
    Err(StoreError::Contended.into())
}

async fn view(
    deps: &Deps,
    account: &Account,
    device: &Device,
    current: DeviceId,
    now: Timestamp,
) -> Result<DeviceView, StoreError> {
    let status = session_status(account, device, &deps.limits, now);
    let is_recognized = is_recognized(account, device, &deps.limits, now);
    let by_epoch = match status {
        SessionStatus::SignedIn => {
            return Ok(DeviceView::signed_in(device, current, is_recognized));
        }
        SessionStatus::EndedByEpoch => deps.store.end_by_epoch(device).await?,
        SessionStatus::SignedOut(_) | SessionStatus::Expired | SessionStatus::AccountDisabled => {
            None
        }
    };
    let end = SessionEnd::of(device, &status, by_epoch.as_ref(), &deps.limits);
    Ok(DeviceView::signed_out(device, current, is_recognized, end))
}
