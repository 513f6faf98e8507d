//! The notices: `GET /v1/messages` lists those that were mailed; `POST /v1/notices/read` and
//! `POST /v1/notices/actions` are behind the link in a mail.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

mod answer;
mod factor;
mod list;
mod sign_in;
mod undo;
mod views;

use domain::{Limits, Timestamp};
use http_api::{Answer, Event, OriginPolicy, Problem, Reply, Request, serve};
use mail::MailQueue;
use runtime::Clock;
use store::Store;
use utoipa::OpenApi;

pub use answer::{Action, AnswerNotice, NoticeAnswered, NoticeRead, ReadNotice};
pub use list::{Messages, Query};
pub use undo::UndoEffect;
pub use views::{MessageDevice, MessageView};

/// Writes accounts, identities, devices, factors, notices and receipts; queues warnings.
#[derive(Debug)]
pub struct Deps {
    pub store: Store,
    pub limits: Limits,
    pub origin_policy: OriginPolicy,
    pub clock: Clock,
    pub sends_mail: bool,
    /// The queue of `notify-owner`; none when the stack sends no mail.
    pub warnings: Option<MailQueue>,
}

/// The function's part of the `OpenAPI` document.
#[derive(Debug, Clone, Copy, OpenApi)]
#[openapi(paths(list::list, answer::read, answer::act))]
pub struct Document;

/// Answers a request.
pub async fn handle(deps: &Deps, event: Event) -> Reply {
    let now = deps.clock.now();
    serve(&deps.origin_policy, event, now, |request, now| async move {
        route(deps, &request, now).await
    })
    .await
}

async fn route(deps: &Deps, request: &Request, now: Timestamp) -> Result<Answer, Problem> {
    match request.route() {
        "GET /v1/messages" => list::list(deps, request, now).await,
        "POST /v1/notices/read" => answer::read(deps, request, now).await,
        "POST /v1/notices/actions" => answer::act(deps, request, now).await,
        _ => Err(Problem::NotFound),
    }
}
