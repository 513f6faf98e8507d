//! The reasons for which a new password is rejected.

use domain::password::Rejection;
use serde::Serialize;
use utoipa::ToSchema;

/// A reason for which a new password was rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PasswordReason)]
pub struct PasswordReason {
    /// A name for programs: `too_short`, `too_long`, `leaked`, `common`,
    /// `own_words`, `guessable` or `unchanged`.
    #[schema(example = "too_short")]
    pub code: &'static str,
    /// A sentence for people.
    #[schema(example = "The password must have at least 15 characters.")]
    pub detail: String,
}

impl From<Rejection> for PasswordReason {
    fn from(rejection: Rejection) -> Self {
        Self {
            code: rejection.name(),
            detail: rejection.to_string(),
        }
    }
}
