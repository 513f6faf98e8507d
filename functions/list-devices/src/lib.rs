//! `GET /v1/devices`: lists the devices of the account, page by page.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

use std::collections::HashMap;

use domain::recognition::is_recognized;
use domain::session::{Authenticated, SessionStatus, session_status};
use domain::{Account, Device, DeviceId, EndInfo, Limits, Timestamp};
use http_api::{
    Answer, DeviceView, Event, OriginPolicy, Paging, Problem, Reply, Request, RequestProblems,
    SessionEnd, TokenProblems, WRITE_ATTEMPTS, authenticate, serve,
};
use runtime::Clock;
use serde::{Deserialize, Serialize};
use store::{Store, StoreError};
use utoipa::{IntoParams, OpenApi, ToSchema};

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 100;
/// The most rows of one read: `BatchGetItem` takes 100 keys, and one is the account's.
const ROWS_PER_READ: i32 = 99;
/// The most reads for one page. Then it ends early, with a cursor: what a request costs
/// is bounded, however many sessions have expired.
const MAX_READS: usize = 10;

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
        (status = 200, description = "A page of devices, newest first. It may have fewer than `limit`, \
                even none, and a `next_cursor`.", body = Devices,
            example = json!(Devices::example())),
        RequestProblems, TokenProblems,
    ),
)]
async fn list(deps: &Deps, request: &Request, now: Timestamp) -> Result<Answer, Problem> {
    for _ in 0..WRITE_ATTEMPTS {
        let caller = authenticate(&deps.store, request, &deps.limits, now).await?;
        let query = Query::read(request)?;
        let page = match query.status {
            Which::SignedIn => collect_signed_in(deps, &caller, &query, now).await?,
            Which::SignedOut | Which::All => {
                let page = collect(deps, &caller, &query, now).await?;
                // A sign-out since the check would make valid rows look ended.
                let current = deps.store.rows(caller.account.id, &[]).await?.account;
                let is_same = current.is_some_and(|it| it.epoch == caller.account.epoch);
                is_same.then_some(page)
            }
        };
        if let Some((devices, next)) = page {
            let next_cursor = next.map(|id| id.to_string());
            return Ok(Answer::json(
                200,
                &Devices {
                    devices,
                    next_cursor,
                },
            ));
        }
    }
    Err(StoreError::Contended.into())
}

/// The devices of a page; the last one, when more may follow.
type Page = (Vec<DeviceView>, Option<DeviceId>);

/// Reads the signed-in devices, without expired sessions, until the page is full, no
/// more follow, or the reads of one call are used up. Returns `None` if the account's
/// epoch has changed: the caller must then be checked again.
async fn collect_signed_in(
    deps: &Deps,
    caller: &Authenticated,
    query: &Query,
    now: Timestamp,
) -> Result<Option<Page>, StoreError> {
    let (account, epoch) = (caller.account.id, caller.account.epoch);
    let (mut devices, mut after) = (Vec::new(), query.cursor);
    // One more than the page, to know whether it is the last.
    let mut limit =
        i32::try_from(query.limit + 1).map_or(ROWS_PER_READ, |it| it.min(ROWS_PER_READ));
    for _ in 0..MAX_READS {
        let found = deps
            .store
            .signed_in_ids(account, epoch, after, limit)
            .await?;
        let mut rows = deps.store.rows(account, &found.ids).await?;
        let current = rows.account.take().filter(|account| account.epoch == epoch);
        let Some(current) = current else {
            return Ok(None);
        };
        for id in found.ids {
            let row = rows.take_device(id);
            let view = row.and_then(|row| signed_in(deps, &current, &row, caller.device.id, now));
            if let Some(view) = view {
                if devices.len() == query.limit {
                    return Ok(Some((devices, after)));
                }
                devices.push(view);
            }
            after = Some(id);
        }
        if found.next.is_none() {
            return Ok(Some((devices, None)));
        }
        limit = ROWS_PER_READ;
    }
    Ok(Some((devices, after)))
}

/// Returns the view of a device whose session is valid.
fn signed_in(
    deps: &Deps,
    account: &Account,
    device: &Device,
    current: DeviceId,
    now: Timestamp,
) -> Option<DeviceView> {
    if session_status(account, device, &deps.limits, now) != SessionStatus::SignedIn {
        return None;
    }
    let is_recognized = is_recognized(account, device, &deps.limits, now);
    Some(DeviceView::signed_in(device, current, is_recognized))
}

/// Reads rows until the page is full, the account has no more, or the reads of one call
/// are used up.
async fn collect(
    deps: &Deps,
    caller: &Authenticated,
    query: &Query,
    now: Timestamp,
) -> Result<Page, StoreError> {
    let account = &caller.account;
    let (mut devices, mut after) = (Vec::new(), query.cursor);
    for _ in 0..MAX_READS {
        let rows = deps.store.devices(account.id, after, ROWS_PER_READ).await?;
        let filter = Filter::new(deps, account, &rows.devices, query.status, now).await?;
        for device in &rows.devices {
            if let Some(view) = filter.view(device, caller.device.id) {
                if devices.len() == query.limit {
                    return Ok((devices, after));
                }
                devices.push(view);
            }
            after = Some(device.id);
        }
        if rows.next.is_none() {
            return Ok((devices, None));
        }
    }
    Ok((devices, after))
}

/// Filters the devices of one read by status, by the rule that decides validity.
struct Filter<'a> {
    account: &'a Account,
    limits: Limits,
    which: Which,
    now: Timestamp,
    /// The ends of the sessions whose rows do not show them yet.
    ends: HashMap<DeviceId, EndInfo>,
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
        let ended: Vec<&Device> = devices.iter().filter(is_ended_by_epoch).collect();
        let ends = deps.store.ends_by_epoch(account.id, &ended).await?;
        let ends = ended.iter().zip(ends);
        Ok(Self {
            account,
            limits: deps.limits,
            which,
            now,
            ends: ends.filter_map(|(it, end)| Some((it.id, end?))).collect(),
        })
    }

    /// Returns the device's view; none when its status is not wanted.
    fn view(&self, device: &Device, current: DeviceId) -> Option<DeviceView> {
        let status = session_status(self.account, device, &self.limits, self.now);
        let is_recognized = || is_recognized(self.account, device, &self.limits, self.now);
        if status == SessionStatus::SignedIn {
            return (self.which != Which::SignedOut)
                .then(|| DeviceView::signed_in(device, current, is_recognized()));
        }
        // DynamoDB may delete a row up to days after its TTL.
        let kept_until = self.limits.device_kept_until(device.expires_at);
        if self.now >= kept_until {
            return None;
        }
        let by_epoch = self.ends.get(&device.id);
        let end = SessionEnd::of(device, &status, by_epoch, &self.limits);
        Some(DeviceView::signed_out(
            device,
            current,
            is_recognized(),
            end,
        ))
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
