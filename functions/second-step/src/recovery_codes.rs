//! Making recovery codes.

use domain::factors::{RECOVERY_CODES, RecoveryCode, RecoveryCodes};
use domain::notice::FactorAct;
use domain::ownership::Act;
use domain::{FactorId, Timestamp};
use factors::{news_of, queue_news};
use http_api::{
    Answer, BodyProblems, ChangeHeld, Problem, Request, RequestProblems, VerifiedTokenProblems,
    WRITE_ATTEMPTS, authenticate, require_verified,
};
use serde::Serialize;
use store::{StoreError, WriteOutcome};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::Deps;
use crate::add::require_no_hold;

/// New recovery codes.
#[derive(Serialize, ToSchema)]
pub struct NewRecoveryCodes {
    /// The codes, shown this once. Each works once, in place of an authenticator app.
    #[schema(value_type = Vec<String>, min_items = 10, max_items = 10)]
    pub codes: Vec<Zeroizing<String>>,
}

impl NewRecoveryCodes {
    fn example() -> Self {
        let code = |_| Zeroizing::new("7K2M-9QXR-4TVB-H0CD-8WNE-31FG".to_owned());
        Self {
            codes: (0..RECOVERY_CODES).map(code).collect(),
        }
    }
}

/// Makes ten recovery codes. Those that were made before stop working.
#[utoipa::path(
    post, path = "/v1/recovery-codes", operation_id = "makeRecoveryCodes", tag = "factors",
    security(("bearer" = []), ("cookie" = [])),
    responses(
        (status = 201, description = "The codes.", body = NewRecoveryCodes,
            example = json!(NewRecoveryCodes::example())),
        RequestProblems, VerifiedTokenProblems, BodyProblems, ChangeHeld,
    ),
)]
pub(crate) async fn make_recovery_codes(
    deps: &Deps,
    request: &Request,
    now: Timestamp,
) -> Result<Answer, Problem> {
    for _ in 0..WRITE_ATTEMPTS {
        let caller = authenticate(&deps.store, request, &deps.limits, now).await?;
        request.no_body()?;
        require_verified(deps.policy, &caller, &deps.limits, now)?;
        require_no_hold(deps, &caller, Act::MakeRecoveryCodes, now)?;
        let account = &caller.account;
        let new: Vec<_> = (0..RECOVERY_CODES)
            .map(|_| RecoveryCode::new(runtime::random()))
            .collect();
        let codes = RecoveryCodes {
            left: new.iter().map(|code| code.hash_in(account.id)).collect(),
            made_at: now,
        };
        let attempt = FactorId::new(now, runtime::random());
        let act = (FactorAct::CodesMade, attempt);
        let news = news_of(&caller.device, act, now);
        queue_news(deps.notices.as_ref(), &news).await?;
        let writing = deps.store.put_recovery_codes(&caller, &codes, attempt);
        if writing.await? == WriteOutcome::Done {
            request.note_outcome("recovery-codes-made");
            let codes = new.iter().map(RecoveryCode::to_text).collect();
            return Ok(Answer::json(201, &NewRecoveryCodes { codes }));
        }
    }
    Err(StoreError::Contended.into())
}
