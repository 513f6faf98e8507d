//! The list of the messages that were mailed.

use domain::{NoticeId, Timestamp};
use http_api::{Answer, Paging, Problem, Request, RequestProblems, TokenProblems, authenticate};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{Deps, MessageView};

const DEFAULT_LIMIT: usize = 20;
const MAX_LIMIT: usize = 100;

/// The parameters of the query.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is the description of the parameters")]
pub struct Query {
    /// The most messages to return.
    #[param(required = false, minimum = 1, maximum = 100, default = 20)]
    limit: usize,
    /// The start of the page: the `next_cursor` of the previous page.
    #[param(required = false, value_type = String, format = Uuid)]
    cursor: Option<NoticeId>,
}

/// A page of messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Messages {
    /// The messages, newest first.
    pub messages: Vec<MessageView>,
    /// The `cursor` of the next page; `null` on the last page.
    pub next_cursor: Option<String>,
}

impl Messages {
    fn example() -> Self {
        Self {
            messages: vec![MessageView::example()],
            next_cursor: None,
        }
    }
}

/// Lists the messages that were mailed to the owner in the last 90 days. A mail whose
/// reference is not here is not from this service.
#[utoipa::path(
    get, path = "/v1/messages", operation_id = "listMessages", tag = "account",
    params(Query),
    security(("bearer" = []), ("cookie" = [])),
    responses(
        (status = 200, description = "A page of messages, newest first. It may have fewer than `limit`, \
                even none, and still have a `next_cursor`.",
            body = Messages, example = json!(Messages::example())),
        RequestProblems, TokenProblems,
    ),
)]
pub(crate) async fn list(
    deps: &Deps,
    request: &Request,
    now: Timestamp,
) -> Result<Answer, Problem> {
    let caller = authenticate(&deps.store, request, &deps.limits, now).await?;
    let paging: Paging<NoticeId> =
        Paging::read(request, DEFAULT_LIMIT, MAX_LIMIT, |_, _| Ok(false))?;
    let limit = i32::try_from(paging.limit).unwrap_or(i32::MAX);
    let page = deps.store.notices(caller.account.id, paging.cursor, limit);
    let page = page.await?;
    Ok(Answer::json(
        200,
        &Messages {
            messages: page.notices.iter().map(MessageView::from).collect(),
            next_cursor: page.next.map(|next| next.to_string()),
        },
    ))
}
