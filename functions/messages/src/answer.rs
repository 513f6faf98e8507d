//! The link in a mail: shows the sign-in, the new authenticator app or the changed address that
//! the notice is about, and answers it. Showing changes nothing, so that a program that opens
//! every link of a mail does no harm.

use domain::notice::FactorAct;
use domain::{EndInfo, Notice, NoticeEvent, NoticeToken, Rfc3339, Timestamp};
use http_api::{
    Answer, BodyProblems, NoticeNotFound, Problem, Request, RequestProblems, SignOutAnswer,
    SignOutView, Status, WRITE_ATTEMPTS,
};
use serde::{Deserialize, Serialize};
use store::StoreError;
use utoipa::ToSchema;

use crate::undo::UndoEffect;
use crate::{Deps, MessageView, factor, sign_in, undo};

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
    /// Whether the device is still signed in; `null` for a changed address.
    pub status: Option<Status>,
    /// What the answer `undo` does; `null` for a sign-in.
    pub undo: Option<UndoEffect>,
}

/// The owner's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It was not the owner: the device is signed out, and the app that it added is removed.
    End,
    /// It was the owner: the device is recognized from now on.
    Mine,
    /// It was not the owner who changed the address: see `undo` of the notice.
    Undo,
}

/// The body of the request.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct AnswerNotice {
    /// The secret of the link, which is its last part.
    pub secret: String,
    /// The answer: `end` or `mine` to a sign-in, `end` to a new authenticator app, `undo` to a
    /// changed address.
    pub action: Action,
    /// For `undo`: the six characters in the mail, in either case. A program that opens every
    /// link does not know them.
    #[serde(default)]
    #[schema(example = "7K3Q9D")]
    pub reference: Option<String>,
}

/// The effect of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NoticeAnswered {
    /// `end`: the sign-out that ended the device's session, or had ended it before. `null` if
    /// it had ended in another way, and for `mine`. `undo`: the sign-out of every device, or
    /// `null` if it only holds changes.
    pub sign_out: Option<SignOutView>,
    /// `undo`: the time until which changes are held, if it only does that.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub held_until: Option<Rfc3339>,
}

impl NoticeRead {
    fn example() -> Self {
        Self {
            message: MessageView::example(),
            status: Some(Status::SignedIn),
            undo: None,
        }
    }
}

impl NoticeAnswered {
    pub(crate) fn of(ended: Option<&EndInfo>) -> Self {
        Self {
            sign_out: ended.map(SignOutView::from),
            held_until: None,
        }
    }

    fn example() -> Self {
        let mut sign_out = SignOutAnswer::example("device").sign_out;
        sign_out.requested_by = None;
        Self {
            sign_out: Some(sign_out),
            held_until: None,
        }
    }
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
    let notice = notice_of(deps, &token(&body.secret)?, now).await?;
    let answer = match notice.event {
        NoticeEvent::SignedIn { device, session } => {
            sign_in::read(deps, &notice, (device, session), now).await?
        }
        NoticeEvent::AddressChanged => undo::read(deps, &notice, now).await?,
        NoticeEvent::Factor {
            act: FactorAct::Added,
            id,
            by: Some(by),
        } => factor::read(deps, &notice, (id, by), now).await?,
        _ => return Err(Problem::NoticeNotFound),
    };
    Ok(Answer::json(200, &answer))
}

/// Answers a notice, once. One about a sign-in: `end` signs that device out, `mine` recognizes it.
/// A session that has ended by now is left as it is. One about a new authenticator app: `end`
/// removes the app, as long as it is young, and signs out the device that added it. One about a
/// changed address: `undo` gives the account the address before, signs out every device, and
/// makes the password void until a recovery by that address; if a factor had proven the change,
/// it only holds further changes.
#[utoipa::path(
    post, path = "/v1/notices/actions", operation_id = "answerNotice", tag = "account",
    request_body(content = AnswerNotice, example = json!({ "secret": "cfn_…", "action": "end" })),
    responses(
        (status = 200, description = "The device is signed out, or recognized, or the change is undone. For a \
                device that was signed out before, this is that earlier sign-out.",
            body = NoticeAnswered, example = json!(NoticeAnswered::example())),
        RequestProblems, BodyProblems, NoticeNotFound,
    ),
)]
pub(crate) async fn act(deps: &Deps, request: &Request, now: Timestamp) -> Result<Answer, Problem> {
    let body: AnswerNotice = request.json()?;
    let token = token(&body.secret)?;
    for _ in 0..WRITE_ATTEMPTS {
        let notice = notice_of(deps, &token, now).await?;
        let invalid = |detail| Err(Problem::invalid("action", detail));
        let answered = match (&notice.event, body.action) {
            (NoticeEvent::SignedIn { device, session }, Action::End | Action::Mine) => {
                let of = (*device, *session);
                sign_in::answer(deps, &notice, of, body.action, now).await?
            }
            (NoticeEvent::AddressChanged, Action::Undo) => {
                undo::require_reference(&notice, body.reference.as_deref())?;
                undo::answer(deps, &notice, now).await?
            }
            (
                NoticeEvent::Factor {
                    act: FactorAct::Added,
                    id,
                    by: Some(by),
                },
                Action::End,
            ) => factor::answer(deps, &notice, (*id, *by), now).await?,
            (NoticeEvent::Factor { .. }, Action::Mine | Action::Undo) => {
                return invalid("must be `end` for an authenticator app");
            }
            (NoticeEvent::SignedIn { .. }, Action::Undo) => {
                return invalid("must be `end` or `mine` for a sign-in");
            }
            (NoticeEvent::AddressChanged, Action::End | Action::Mine) => {
                return invalid("must be `undo` for a changed address");
            }
            _ => return Err(Problem::NoticeNotFound),
        };
        if let Some(answered) = answered {
            return Ok(Answer::json(200, &answered));
        }
    }
    Err(StoreError::Contended.into())
}

/// Parses the secret. A malformed one is a link that was not copied whole.
fn token(secret: &str) -> Result<NoticeToken, Problem> {
    NoticeToken::parse(secret).map_err(|_| Problem::NoticeNotFound)
}

async fn notice_of(deps: &Deps, token: &NoticeToken, now: Timestamp) -> Result<Notice, Problem> {
    let notice = deps.store.notice_of_token(token, now).await?;
    notice.ok_or(Problem::NoticeNotFound)
}
