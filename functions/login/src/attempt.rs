//! The request of a sign-in, parsed.

use domain::password::Password;
use domain::{AccountId, ChallengeSecret, Code, EmailAddress, Timestamp};
use http_api::{Object, Problem, Request};
use sign_in::{Wanted, WantedFields};

use crate::{Login, Pass};

/// A well-formed request.
pub(crate) struct Attempt {
    pub(crate) email: EmailAddress,
    pub(crate) password: Password,
    pub(crate) wanted: Wanted,
    pub(crate) pass: Option<(ChallengeSecret, Code)>,
    /// The account that the team's own login has recognized, and when.
    pub(crate) proven: Option<(AccountId, Timestamp)>,
}

impl Attempt {
    pub(crate) fn new(request: &Request, body: Login) -> Result<Self, Problem> {
        let fields = WantedFields {
            device: body.device,
            device_key: body.device_key.as_ref().map(|key| key.as_str()),
            transport: body.transport,
            sign_out: body.sign_out,
        };
        let wanted = Wanted::parse(request, fields)?;
        let email = EmailAddress::parse(&body.email)
            .map_err(|error| Problem::invalid("email", error.to_string()))?;
        let password = Password::parse(&body.password)
            .map_err(|error| Problem::invalid("password", error.to_string()))?;
        let pass = body.pass.map(|Object(pass)| parse(&pass)).transpose()?;
        Ok(Self {
            email,
            password,
            wanted,
            pass,
            proven: None,
        })
    }
}

fn parse(pass: &Pass) -> Result<(ChallengeSecret, Code), Problem> {
    let challenge = ChallengeSecret::parse(&pass.challenge);
    let code = Code::parse(&pass.code);
    Ok((
        challenge.map_err(|error| Problem::invalid("pass.challenge", error.to_string()))?,
        code.map_err(|error| Problem::invalid("pass.code", error.to_string()))?,
    ))
}
