//! The proofs of a request.

use codes::parse_answer;
use domain::password::Password;
use domain::verification::Proof;
use domain::{ChallengeSecret, Code};
use factors::Shown;
use http_api::{Problem, Request};
use serde::Deserialize;
use utoipa::ToSchema;
use zeroize::Zeroizing;

/// The body of the request: what one of the `methods` in the problem `verification-required`
/// says.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct Verification {
    /// The account's password.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password, max_length = 1024)]
    pub password: Option<Zeroizing<String>>,
    /// The challenge in the answer to `POST /v1/verification-codes`.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^cfc_[A-Za-z0-9_-]{49}$")]
    pub challenge: Option<Zeroizing<String>>,
    /// The code in the mail, in either case, with or without its dash. It can be tried five
    /// times, for ten minutes, by the session that asked for it.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 64, example = "K7QM-2R9X")]
    pub code: Option<Zeroizing<String>>,
    /// The code of an authenticator app.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 64, example = "287082")]
    pub totp: Option<Zeroizing<String>>,
    /// A recovery code, which works once.
    #[serde(default)]
    #[schema(
        value_type = Option<String>, max_length = 64, example = "7K2M-9QXR-4TVB-H0CD-8WNE-31FG"
    )]
    pub recovery_code: Option<Zeroizing<String>>,
    /// The challenge that the team's own login has given, for the method `external`. It is sent
    /// alone.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^cfc_[A-Za-z0-9_-]{49}$")]
    pub external: Option<Zeroizing<String>>,
}

/// The well-formed proofs of a request.
pub(crate) struct Proofs {
    pub(crate) password: Option<Password>,
    pub(crate) code: Option<(ChallengeSecret, Code)>,
    pub(crate) factor: Option<Shown>,
    pub(crate) external: Option<ChallengeSecret>,
}

impl Proofs {
    pub(crate) fn read(request: &Request) -> Result<Self, Problem> {
        let body: Verification = request.json()?;
        let password = body.password.as_ref().map(|text| Password::parse(text));
        let password = password
            .transpose()
            .map_err(|error| Problem::invalid("password", error.to_string()))?;
        let code = match (&body.challenge, &body.code) {
            (Some(challenge), Some(code)) => Some(parse_answer(challenge, code)?),
            (None, None) => None,
            (None, Some(_)) => return Err(Problem::invalid("challenge", "is missing")),
            (Some(_), None) => return Err(Problem::invalid("code", "is missing")),
        };
        let totp = body.totp.as_ref().map(|text| text.as_str());
        let recovery_code = body.recovery_code.as_ref().map(|text| text.as_str());
        let factor = Shown::parse(totp, recovery_code)?;
        let external = body
            .external
            .as_ref()
            .map(|text| ChallengeSecret::parse(text));
        let external = external
            .transpose()
            .map_err(|error| Problem::invalid("external", error.to_string()))?;
        if external.is_some() && (password.is_some() || code.is_some() || factor.is_some()) {
            let detail = "can't be sent together with another proof";
            return Err(Problem::invalid("external", detail));
        }
        Ok(Self {
            password,
            code,
            factor,
            external,
        })
    }

    /// Returns the kinds of proof that the request has.
    pub(crate) fn shown(&self) -> Vec<Proof> {
        let password = self.password.as_ref().map(|_| Proof::Password);
        let code = self.code.as_ref().map(|_| Proof::AddressCode);
        let factor = self.factor.as_ref().map(Shown::proof);
        let external = self.external.as_ref().map(|_| Proof::External);
        let shown = [password, code, factor, external];
        shown.into_iter().flatten().collect()
    }
}
