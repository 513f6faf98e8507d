//! `GET /v1/devices`: every device of the account, page by page.

use domain::session::{SessionStatus, session_status};
use domain::sign_out::first_to_end;
use domain::{Device, DeviceId, Epoch, Limits, SignOut, Timestamp};
use http_api::{
    Answer, CallerError, DeviceView, Event, OriginPolicy, Over, Paging, Problem, Reply, Request,
    authenticate, serve,
};
use runtime::Clock;
use serde::{Deserialize, Serialize};
use store::{Store, StoreError};
use utoipa::{IntoParams, OpenApi, ToSchema};

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 100;
/// How many rows are read at once, whatever the limit: some of them may not be
/// of those that were asked for.
const READ_AT_ONCE: i32 = 100;

/// What the function may read: the rows of accounts and devices, and receipts.
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

/// Which devices to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// Those that are signed in.
    #[default]
    SignedIn,
    /// Those that are not any more.
    SignedOut,
    /// All of them.
    All,
}

/// The parameters of the query.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// Which devices: `signed_in`, `signed_out` or `all`.
    #[param(required = false, inline)]
    pub status: Which,
    /// How many devices at the most.
    #[param(required = false, minimum = 1, maximum = 100, default = 50)]
    pub limit: usize,
    /// Where to go on: the `next_cursor` of the answer before.
    #[param(required = false, value_type = String, format = Uuid)]
    pub cursor: Option<DeviceId>,
}

/// A page of devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Devices {
    /// The devices, the newest first.
    pub devices: Vec<DeviceView>,
    /// The `cursor` of the next page; `null` when this is the last.
    pub next_cursor: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller was not let in.
    #[error(transparent)]
    Caller(#[from] CallerError),
    /// The request is wrong.
    #[error("the request is not valid")]
    Request(Problem),
    /// The tables did not do their part.
    #[error("the tables failed")]
    Store(#[from] StoreError),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Caller(error) => error.into(),
            Error::Request(problem) => problem,
            Error::Store(error) => http_api::unavailable(&error),
        }
    }
}

/// The part of the `OpenAPI` document that this function answers for.
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
    responses((status = 200, description = "A page of devices, the newest first.", body = Devices)),
)]
async fn list(deps: &Deps, request: &Request, now: Timestamp) -> Result<Answer, Error> {
    let caller = authenticate(&deps.store, request, None, &deps.limits, now)
        .await?
        .caller;
    let query = Query::read(request).map_err(Error::Request)?;
    let mut devices = Vec::new();
    let mut after = query.cursor;
    let next_cursor = loop {
        let page = deps
            .store
            .devices(caller.account.id, after, READ_AT_ONCE)
            .await?;
        let judged = Judged::new(deps, &caller.account, &page.devices, query.status, now).await?;
        let mut full = None;
        for device in &page.devices {
            let Some(view) = judged.view(device, caller.device.id) else {
                continue;
            };
            if devices.len() == query.limit {
                full = after;
                break;
            }
            devices.push(view);
            after = Some(device.id);
        }
        if full.is_some() || page.next.is_none() {
            break full;
        }
        if devices.len() == query.limit {
            break after;
        }
        after = page.next;
    };
    Ok(Answer::json(
        200,
        &Devices {
            devices,
            next_cursor: next_cursor.map(|id| id.to_string()),
        },
    ))
}

/// The devices of a page, each judged by the rule that decides validity.
struct Judged<'a> {
    account: &'a domain::Account,
    limits: Limits,
    which: Which,
    now: Timestamp,
    /// The sign-outs that the rows of this page don't tell of yet.
    sign_outs: Vec<SignOut>,
}

impl<'a> Judged<'a> {
    async fn new(
        deps: &Deps,
        account: &'a domain::Account,
        devices: &[Device],
        which: Which,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let left_behind = |device: &&Device| {
            session_status(account, device, &deps.limits, now) == SessionStatus::EndedByEpoch
        };
        let oldest: Option<Epoch> = devices
            .iter()
            .filter(left_behind)
            .map(|device| device.epoch)
            .min();
        let sign_outs = match oldest {
            Some(epoch) if which != Which::SignedIn => {
                deps.store.sign_outs_since(account.id, epoch).await?
            }
            _ => Vec::new(),
        };
        Ok(Self {
            account,
            limits: deps.limits,
            which,
            now,
            sign_outs,
        })
    }

    /// The device as it is shown; none when it was not asked for.
    fn view(&self, device: &Device, current: DeviceId) -> Option<DeviceView> {
        let status = session_status(self.account, device, &self.limits, self.now);
        if status == SessionStatus::SignedIn {
            return (self.which != Which::SignedOut)
                .then(|| DeviceView::signed_in(device, current));
        }
        // The table's TTL may be late.
        let kept_until = self.limits.device_kept_until(device.expires_at);
        if self.which == Which::SignedIn || self.now >= kept_until {
            return None;
        }
        let ended = match &status {
            SessionStatus::SignedOut(ended) => Some(ended.clone()),
            SessionStatus::EndedByEpoch => {
                first_to_end(&self.sign_outs, device.session, device.epoch).map(SignOut::end_info)
            }
            SessionStatus::SignedIn | SessionStatus::Expired => None,
        };
        let over = match (&status, &ended) {
            (_, Some(ended)) => Over::EndInfo(ended),
            (SessionStatus::Expired, None) => Over::Expired(
                device
                    .expires_at
                    .min(self.limits.idle_at(device.last_active_at)),
            ),
            (_, None) => Over::Forgotten,
        };
        Some(DeviceView::signed_out(device, current, over))
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
