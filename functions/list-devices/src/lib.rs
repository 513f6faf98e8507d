//! `GET /v1/devices`: lists the devices of the account, page by page.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

use domain::session::{Authenticated, SessionStatus, session_status};
use domain::sign_out::first_to_end;
use domain::{Account, Device, DeviceId, Epoch, Limits, SignOut, Timestamp};
use http_api::{
    Answer, DeviceView, Event, OriginPolicy, Paging, Problem, Reply, Request, RequestProblems,
    SessionEnd, TokenProblems, authenticate, serve,
};
use runtime::Clock;
use serde::{Deserialize, Serialize};
use store::{Store, StoreError};
use utoipa::{IntoParams, OpenApi, ToSchema};

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 100;
/// The rows of one read. More than the default limit, because the filter may drop
/// some of them.
const ROWS_PER_READ: i32 = 100;

/// Reads accounts; writes devices and receipts.
#[derive(Debug)]
pub struct Deps {
    pub store: Store,
    pub limits: Limits,
    pub origin_policy: OriginPolicy,
    pub clock: Clock,
}

/// The devices to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// The devices that are signed in.
    #[default]
    SignedIn,
    /// The devices that are no longer signed in.
    SignedOut,
    /// All devices.
    All,
}

/// The parameters of the query.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// The devices to list: `signed_in`, `signed_out` or `all`.
    #[param(required = false, inline)]
    pub status: Which,
    /// The most devices to return.
    #[param(required = false, minimum = 1, maximum = 100, default = 50)]
    pub limit: usize,
    /// The start of the page: the `next_cursor` of the previous page.
    #[param(required = false, value_type = String, format = Uuid)]
    pub cursor: Option<DeviceId>,
}

/// A page of devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Devices {
    /// The devices, newest first.
    pub devices: Vec<DeviceView>,
    /// The `cursor` of the next page; `null` on the last page.
    pub next_cursor: Option<String>,
}

impl Devices {
    fn example() -> Self {
        Self {
            devices: vec![DeviceView::example()],
            next_cursor: None,
        }
    }
}

/// The function's part of the `OpenAPI` document.
#[derive(Debug, Clone, Copy, OpenApi)]
#[openapi(paths(list))]
pub struct Document;

/// Answers a request.
pub async fn handle(deps: &Deps, event: Event) -> Reply {
    let now = deps.clock.now();
    serve(&deps.origin_policy, event, now, |request, now| async move {
        list(deps, &request, now).await
    })
    .await
}

/// Lists the devices of the account.
#[utoipa::path(
    get, path = "/v1/devices", operation_id = "listDevices", tag = "devices",
    params(Query),
    security(("bearer" = []), ("cookie" = [])),
    responses(
        (status = 200, description = "A page of devices, newest first.", body = Devices,
            example = json!(Devices::example())),
        RequestProblems, TokenProblems,
    ),
)]
async fn list(deps: &Deps, request: &Request, now: Timestamp) -> Result<Answer, Problem> {
    let caller = authenticate(&deps.store, request, &deps.limits, now).await?;
    let query = Query::read(request)?;
    let (devices, next) = collect(deps, &caller, &query, now).await?;
    Ok(Answer::json(
        200,
        &Devices {
            devices,
            next_cursor: next.map(|id| id.to_string()),
        },
    ))
}

/// Reads rows until the page is full or the account has no more. Also returns the
/// last device of the page, when more devices match.
async fn collect(
    deps: &Deps,
    caller: &Authenticated,
    query: &Query,
    now: Timestamp,
) -> Result<(Vec<DeviceView>, Option<DeviceId>), StoreError> {
    let account = &caller.account;
    let mut devices = Vec::new();
    let mut after = query.cursor;
    loop {
        let rows = deps.store.devices(account.id, after, ROWS_PER_READ).await?;
        let filter = Filter::new(deps, account, &rows.devices, query.status, now).await?;
        for device in &rows.devices {
            let Some(view) = filter.view(device, caller.device.id) else {
                continue;
            };
            if devices.len() == query.limit {
                return Ok((devices, after));
            }
            devices.push(view);
            after = Some(device.id);
        }
        if rows.next.is_none() {
            return Ok((devices, None));
        }
        if devices.len() == query.limit {
            return Ok((devices, after));
        }
        after = rows.next;
    }
}

/// Filters the devices of one read by status, by the rule that decides validity.
struct Filter<'a> {
    account: &'a Account,
    limits: Limits,
    which: Which,
    now: Timestamp,
    /// The sign-outs of all devices that the rows of this read do not show yet.
    sign_outs: Vec<SignOut>,
}

impl<'a> Filter<'a> {
    async fn new(
        deps: &Deps,
        account: &'a Account,
        devices: &[Device],
        which: Which,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let is_ended_by_epoch = |device: &&Device| {
            session_status(account, device, &deps.limits, now) == SessionStatus::EndedByEpoch
        };
        let oldest: Option<Epoch> = devices
            .iter()
            .filter(is_ended_by_epoch)
            .map(|device| device.epoch)
            .min();
        let sign_outs = match oldest {
            Some(epoch) if which != Which::SignedIn => {
                deps.store.sign_outs_since(account.id, epoch).await?
            }
            Some(_) | None => Vec::new(),
        };
        Ok(Self {
            account,
            limits: deps.limits,
            which,
            now,
            sign_outs,
        })
    }

    /// Returns the device's view; none when its status is not wanted.
    fn view(&self, device: &Device, current: DeviceId) -> Option<DeviceView> {
        let status = session_status(self.account, device, &self.limits, self.now);
        if status == SessionStatus::SignedIn {
            return (self.which != Which::SignedOut)
                .then(|| DeviceView::signed_in(device, current));
        }
        // DynamoDB may delete a row up to days after its TTL.
        let kept_until = self.limits.device_kept_until(device.expires_at);
        if self.which == Which::SignedIn || self.now >= kept_until {
            return None;
        }
        let by_epoch;
        let end = match &status {
            SessionStatus::SignedOut(ended) => SessionEnd::SignedOut(ended),
            SessionStatus::EndedByEpoch => {
                by_epoch = first_to_end(&self.sign_outs, device.session, device.epoch)
                    .map(SignOut::end_info);
                by_epoch
                    .as_ref()
                    .map_or(SessionEnd::Unrecorded, SessionEnd::SignedOut)
            }
            SessionStatus::SignedIn | SessionStatus::Expired => SessionEnd::Expired(
                device
                    .expires_at
                    .min(self.limits.idle_at(device.last_active_at)),
            ),
        };
        Some(DeviceView::signed_out(device, current, end))
    }
}

impl Query {
    fn read(request: &Request) -> Result<Self, Problem> {
        let mut status = Which::default();
        let paging = Paging::read(request, DEFAULT_LIMIT, MAX_LIMIT, |name, value| {
            if name != "status" {
                return Ok(false);
            }
            status = match value {
                "signed_in" => Which::SignedIn,
                "signed_out" => Which::SignedOut,
                "all" => Which::All,
                _ => {
                    let detail = "must be `signed_in`, `signed_out` or `all`";
                    return Err(Problem::invalid(name, detail));
                }
            };
            Ok(true)
        })?;
        Ok(Self {
            status,
            limit: paging.limit,
            cursor: paging.cursor,
        })
    }
}
