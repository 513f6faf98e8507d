//! The problems that routes answer with, in groups, for `responses(…)` on a route.
//! The `OpenAPI` document has an example of each.

mod grouped;

use domain::ChallengeSecret;
use domain::password::Rejection;
use domain::verification::Proof;
use utoipa::IntoResponses;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::{Object, ObjectBuilder, RefOr, Type};

use self::grouped::{Responses, grouped};
use crate::body::MAX_BODY_BYTES;
use crate::problem::Problem;
use crate::views::SignedOutBy;

/// The problems of every route that reads or writes tables.
#[derive(Debug)]
pub enum RequestProblems {}

impl IntoResponses for RequestProblems {
    fn responses() -> Responses {
        grouped(&[
            Problem::invalid("scope", "must be `others` or `global`"),
            Problem::DistributionRequired,
            Problem::Unavailable,
        ])
    }
}

/// The problems of a route that reads nothing but where the request comes from.
#[derive(Debug)]
pub enum OriginProblems {}

impl IntoResponses for OriginProblems {
    fn responses() -> Responses {
        grouped(&[
            Problem::invalid("Origin", "is not an allowed origin"),
            Problem::DistributionRequired,
            Problem::Unavailable,
        ])
    }
}

/// The problems of a route that needs a token.
#[derive(Debug)]
pub enum TokenProblems {}

impl IntoResponses for TokenProblems {
    fn responses() -> Responses {
        grouped(&token_problems())
    }
}

fn token_problems() -> Vec<Problem> {
    vec![
        Problem::TokenMissing,
        Problem::TokenInvalid,
        Problem::SessionSignedOut {
            sign_out: "0192f0c2-0b1d-7a40-8f6e-2d1c9b7a5e33"
                .parse()
                .expect("it is an id"),
            at: "2026-11-20T09:30:00Z".parse().expect("it is a time"),
            by: Some(SignedOutBy::example()),
            reason: "signed_out",
            by_itself: false,
        },
        Problem::SessionExpired,
        Problem::TokenSuperseded,
        Problem::AccountDisabled,
    ]
}

/// The problems of a route that needs a token and, as the case may be, a verification.
#[derive(Debug)]
pub enum VerifiedTokenProblems {}

impl IntoResponses for VerifiedTokenProblems {
    fn responses() -> Responses {
        // Replaces the 401 of `TokenProblems`.
        let mut problems = token_problems();
        problems.push(Problem::VerificationRequired {
            methods: &[&[Proof::Password], &[Proof::AddressCode]],
            challenge: None,
            external: None,
        });
        grouped(&problems)
    }
}

/// The problems of a route that takes the token of an ended session.
#[derive(Debug)]
pub enum EndedTokenProblems {}

impl IntoResponses for EndedTokenProblems {
    fn responses() -> Responses {
        grouped(&[Problem::TokenMissing, Problem::TokenInvalid])
    }
}

/// The problems of a route that looks at the body.
#[derive(Debug)]
pub enum BodyProblems {}

impl IntoResponses for BodyProblems {
    fn responses() -> Responses {
        grouped(&[Problem::RequestTooLarge {
            max_bytes: MAX_BODY_BYTES,
        }])
    }
}

/// The problem of an address and a password that do not belong together.
#[derive(Debug)]
pub enum CredentialsInvalid {}

impl IntoResponses for CredentialsInvalid {
    fn responses() -> Responses {
        grouped(&[Problem::CredentialsInvalid])
    }
}

/// The problem of a wrong current password.
#[derive(Debug)]
pub enum CurrentPasswordWrong {}

impl IntoResponses for CurrentPasswordWrong {
    fn responses() -> Responses {
        // Replaces the 403 of the other groups.
        grouped(&[Problem::CurrentPasswordWrong, Problem::DistributionRequired])
    }
}

/// The problems of a wrong password and a wrong code of a session.
#[derive(Debug)]
pub enum WrongProofs {}

impl IntoResponses for WrongProofs {
    fn responses() -> Responses {
        // Replaces the 403 of the other groups.
        grouped(&[
            Problem::CurrentPasswordWrong,
            Problem::CodeInvalid,
            Problem::FactorLocked,
            Problem::DistributionRequired,
        ])
    }
}

/// The problems of a route that takes the code or the link of a mail.
#[derive(Debug)]
pub enum CodeProblems {}

impl IntoResponses for CodeProblems {
    fn responses() -> Responses {
        // Replaces the 403 of the other groups.
        grouped(&[Problem::CodeInvalid, Problem::DistributionRequired])
    }
}

/// The problems of a sign-in with a pass, of one to an account that wants a second step, and of
/// one to an account that is 30 days old and has an unconfirmed address.
#[derive(Debug)]
pub enum AddressUnconfirmed {}

impl IntoResponses for AddressUnconfirmed {
    fn responses() -> Responses {
        let secret = ChallengeSecret::new([0; 32]);
        // Replaces the 403 of the other groups.
        grouped(&[
            Problem::address_unconfirmed(&secret),
            Problem::code_required(&secret),
            Problem::second_step_required(&secret, None),
            Problem::CodeInvalid,
            Problem::DistributionRequired,
        ])
    }
}

/// The problem of a second step with `sign_out` by a factor that doesn't count as a verification.
#[derive(Debug)]
pub enum UnprovenStep {}

impl IntoResponses for UnprovenStep {
    fn responses() -> Responses {
        grouped(&[Problem::step_unproven(false)])
    }
}

/// The problems of a second step.
#[derive(Debug)]
pub enum SecondStepProblems {}

impl IntoResponses for SecondStepProblems {
    fn responses() -> Responses {
        // Replaces the 403 of the other groups.
        grouped(&[
            Problem::CodeInvalid,
            Problem::FactorLocked,
            Problem::DistributionRequired,
            Problem::FactorsUnavailable,
        ])
    }
}

/// The problems of a recovery.
#[derive(Debug)]
pub enum RecoveryProblems {}

impl IntoResponses for RecoveryProblems {
    fn responses() -> Responses {
        // Replaces the 403 of the other groups.
        grouped(&[
            Problem::CodeInvalid,
            Problem::FactorRequired,
            Problem::FactorLocked,
            Problem::DistributionRequired,
            Problem::FactorsUnavailable,
        ])
    }
}

/// The problems of adding a factor.
#[derive(Debug)]
pub enum FactorProblems {}

impl IntoResponses for FactorProblems {
    fn responses() -> Responses {
        grouped(&[
            Problem::TooManyFactors,
            Problem::FactorsUnavailable,
            change_held(),
        ])
    }
}

/// The problem of a factor that the account does not have.
#[derive(Debug)]
pub enum FactorNotFound {}

impl IntoResponses for FactorNotFound {
    fn responses() -> Responses {
        grouped(&[Problem::FactorNotFound])
    }
}

/// The problem of an address that has an account, for who has proven it.
#[derive(Debug)]
pub enum AddressTaken {}

impl IntoResponses for AddressTaken {
    fn responses() -> Responses {
        grouped(&[Problem::AddressTaken])
    }
}

/// The problem of a deployment that sends no mail.
#[derive(Debug)]
pub enum MailUnavailable {}

impl IntoResponses for MailUnavailable {
    fn responses() -> Responses {
        grouped(&[Problem::MailUnavailable])
    }
}

/// The problems of a change of the address that can't be asked for now.
#[derive(Debug)]
pub enum AddressChangeUnavailable {}

impl IntoResponses for AddressChangeUnavailable {
    fn responses() -> Responses {
        grouped(&[Problem::MailUnavailable, change_held()])
    }
}

/// The problem of a change of the address that has to wait.
#[derive(Debug)]
pub enum ChangeHeld {}

impl IntoResponses for ChangeHeld {
    fn responses() -> Responses {
        grouped(&[change_held()])
    }
}

fn change_held() -> Problem {
    let until = "2026-11-23T09:30:00Z".parse().expect("it is a time");
    Problem::ChangeHeld { until }
}

/// The problem of a new password that breaks rules.
#[derive(Debug)]
pub enum NewPasswordProblems {}

impl IntoResponses for NewPasswordProblems {
    fn responses() -> Responses {
        let reason = Rejection::TooShort { min_length: 15 };
        grouped(&[Problem::password_rejected(vec![reason])])
    }
}

/// The problem of a session that has ended others too often.
#[derive(Debug)]
pub enum RateLimited {}

impl IntoResponses for RateLimited {
    fn responses() -> Responses {
        grouped(&[Problem::RateLimited { retry_after: 1800 }])
    }
}

/// The problem of too many passwords.
#[derive(Debug)]
pub enum TooManyAttempts {}

impl IntoResponses for TooManyAttempts {
    fn responses() -> Responses {
        grouped(&[Problem::TooManyAttempts { retry_after: 280 }])
    }
}

/// The problem of a device that the account does not have.
#[derive(Debug)]
pub enum DeviceNotFound {}

impl IntoResponses for DeviceNotFound {
    fn responses() -> Responses {
        grouped(&[Problem::DeviceNotFound])
    }
}

/// The problem of a sign-out that the account does not have.
#[derive(Debug)]
pub enum SignOutNotFound {}

impl IntoResponses for SignOutNotFound {
    fn responses() -> Responses {
        grouped(&[Problem::SignOutNotFound])
    }
}

/// The problem of a link that no notice has any more.
#[derive(Debug)]
pub enum NoticeNotFound {}

impl IntoResponses for NoticeNotFound {
    fn responses() -> Responses {
        grouped(&[Problem::NoticeNotFound])
    }
}

/// The problems of a route for callers with AWS credentials. Replaces the 403 of the
/// other groups: such a route needs no distribution.
#[derive(Debug)]
pub enum IamProblems {}

impl IntoResponses for IamProblems {
    fn responses() -> Responses {
        let mut responses = grouped(&[Problem::CallerNotAllowed]);
        // The gateway itself answers an unsigned request, in its own words.
        let message = ObjectBuilder::new()
            .property("message", Object::with_type(Type::String))
            .required("message");
        let content = ContentBuilder::new()
            .schema(Some(message))
            .example(Some(serde_json::json!({ "message": "Forbidden" })))
            .build();
        if let Some(RefOr::T(response)) = responses.get_mut("403") {
            response
                .content
                .insert("application/json".to_owned(), content.into());
        }
        responses
    }
}
