//! The link in a mail: shows the sign-in that the notice is about, and answers it. Showing
//! changes nothing, so that a program that opens every link of a mail does no harm.

use domain::recognition::recognized_until;
use domain::session::{SessionStatus, session_status};
use domain::{Device, EndInfo, Notice, NoticeEvent, NoticeId, NoticeToken, SignOut, Timestamp};
use http_api::{
    Answer, BodyProblems, NoticeNotFound, Problem, Request, RequestProblems, SignOutAnswer,
    SignOutView, Status, WRITE_ATTEMPTS,
};
use serde::{Deserialize, Serialize};
use store::{StoreError, WriteOutcome};
use utoipa::ToSchema;

use crate::{Deps, MessageView};

/// The body of the request.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct ReadNotice {
    /// The secret of the link, which is its last part.
    pub secret: String,
}

/// A notice, and what a press would end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NoticeRead {
    /// The notice.
    pub message: MessageView,
    /// Whether the device is still signed in.
    pub status: Status,
}

/// The owner's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It was not the owner: the device is signed out.
    End,
    /// It was the owner: the device is recognized from now on.
    Mine,
}

/// The body of the request.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct AnswerNotice {
    /// The secret of the link, which is its last part.
    pub secret: String,
    /// The answer.
    pub action: Action,
}

/// The effect of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NoticeAnswered {
    /// `end`: the sign-out that ended the device's session, or had ended it before. `null` if
    /// it had ended in another way, and for `mine`.
    pub sign_out: Option<SignOutView>,
}

impl NoticeRead {
    fn example() -> Self {
        Self {
            message: MessageView::example(),
            status: Status::SignedIn,
        }
    }
}

impl NoticeAnswered {
    fn of(ended: Option<&EndInfo>) -> Self {
        Self {
            sign_out: ended.map(SignOutView::from),
        }
    }

    fn example() -> Self {
        let mut sign_out = SignOutAnswer::example("device").sign_out;
        sign_out.requested_by = None;
        Self {
            sign_out: Some(sign_out),
        }
    }
}

/// The device that a notice is about, as its token found them.
struct Found {
    notice: Notice,
    device: Option<Device>,
    status: SessionStatus,
}

/// Shows the notice whose mail has this link. It changes nothing.
#[utoipa::path(
    post, path = "/v1/notices/read", operation_id = "readNotice", tag = "account",
    request_body(content = ReadNotice, example = json!({ "secret": "cfn_…" })),
    responses(
        (status = 200, description = "The notice.", body = NoticeRead, example = json!(NoticeRead::example())),
        RequestProblems, BodyProblems, NoticeNotFound,
    ),
)]
pub(crate) async fn read(
    deps: &Deps,
    request: &Request,
    now: Timestamp,
) -> Result<Answer, Problem> {
    let body: ReadNotice = request.json()?;
    let found = find(deps, &token(&body.secret)?, now).await?;
    let answer = NoticeRead {
        message: MessageView::from(&found.notice),
        status: match found.status {
            SessionStatus::SignedIn => Status::SignedIn,
            _ => Status::SignedOut,
        },
    };
    Ok(Answer::json(200, &answer))
}

/// Answers a notice about a sign-in, once: `end` signs that device out, `mine` recognizes it.
/// A session that has ended by now is left as it is.
#[utoipa::path(
    post, path = "/v1/notices/actions", operation_id = "answerNotice", tag = "account",
    request_body(content = AnswerNotice, example = json!({ "secret": "cfn_…", "action": "end" })),
    responses(
        (status = 200, description = "The device is signed out, or recognized. For one that was signed out \
                before, this is that earlier sign-out.",
            body = NoticeAnswered, example = json!(NoticeAnswered::example())),
        RequestProblems, BodyProblems, NoticeNotFound,
    ),
)]
pub(crate) async fn act(deps: &Deps, request: &Request, now: Timestamp) -> Result<Answer, Problem> {
    let body: AnswerNotice = request.json()?;
    let token = token(&body.secret)?;
    for _ in 0..WRITE_ATTEMPTS {
        let found = find(deps, &token, now).await?;
        let ended = match (found.status, &found.device) {
            (SessionStatus::SignedIn, Some(device)) => {
                match write(deps, &found.notice, device, body.action, now).await? {
                    Written::Done(ended) => ended,
                    Written::Stale => continue,
                }
            }
            (SessionStatus::SignedOut(ended), _) => Some(ended),
            (SessionStatus::EndedByEpoch, Some(device)) => deps.store.end_by_epoch(device).await?,
            _ => None,
        };
        return Ok(Answer::json(200, &NoticeAnswered::of(ended.as_ref())));
    }
    Err(StoreError::Contended.into())
}

/// The outcome of the write of an answer.
enum Written {
    /// With the sign-out, if it was one.
    Done(Option<EndInfo>),
    Stale,
}

async fn write(
    deps: &Deps,
    notice: &Notice,
    device: &Device,
    action: Action,
    now: Timestamp,
) -> Result<Written, StoreError> {
    let (store, limits) = (&deps.store, &deps.limits);
    let (written, ended) = match action {
        Action::End => {
            let sign_out = SignOut::of_notice(device, now, runtime::random());
            let written = store
                .end_by_notice(notice, device, &sign_out, limits)
                .await?;
            (written, Some(sign_out.end_info()))
        }
        Action::Mine => {
            let times = (now, recognized_until(now));
            let attempt = NoticeId::new(now, runtime::random());
            let written = store
                .recognize_by_notice(notice, device, times, attempt)
                .await?;
            (written, None)
        }
    };
    Ok(match written {
        WriteOutcome::Done => Written::Done(ended),
        WriteOutcome::Stale => Written::Stale,
    })
}

/// Parses the secret. A malformed one is a link that was not copied whole.
fn token(secret: &str) -> Result<NoticeToken, Problem> {
    NoticeToken::parse(secret).map_err(|_| Problem::NoticeNotFound)
}

async fn find(deps: &Deps, token: &NoticeToken, now: Timestamp) -> Result<Found, Problem> {
    let notice = deps.store.notice_of_token(token, now).await?;
    let notice = notice.ok_or(Problem::NoticeNotFound)?;
    let NoticeEvent::SignedIn { device, session } = notice.event else {
        return Err(Problem::NoticeNotFound);
    };
    let mut rows = deps.store.rows(notice.account, &[device]).await?;
    // A sign-in on a known device goes on with the session that the owner was notified of; after
    // any other one, that session has ended.
    let device = rows.take_device(device);
    let device = device.filter(|device| device.notice_session == session);
    let status = match (&rows.account, &device) {
        (Some(account), Some(device)) => session_status(account, device, &deps.limits, now),
        _ => SessionStatus::Expired,
    };
    Ok(Found {
        notice,
        device,
        status,
    })
}
