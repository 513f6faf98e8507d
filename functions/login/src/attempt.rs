//! The request of a sign-in, parsed.

use device_info::ReportedInfo;
use domain::password::Password;
use domain::{ChallengeSecret, Code, DeviceKey, EmailAddress};
use http_api::{DeviceKeys, Object, Problem, Request};

use crate::{DeviceClaims, Login, Pass, SignOutOthers, TokenTransport};

/// A well-formed request.
pub(crate) struct Attempt {
    pub(crate) email: EmailAddress,
    pub(crate) password: Password,
    pub(crate) reported: ReportedInfo,
    pub(crate) device_keys: DeviceKeys,
    pub(crate) transport: TokenTransport,
    pub(crate) ends_others: bool,
    pub(crate) pass: Option<(ChallengeSecret, Code)>,
}

impl Attempt {
    pub(crate) fn new(request: &Request, body: Login) -> Result<Self, Problem> {
        if body.transport == TokenTransport::Cookie {
            request.require_origin()?;
        }
        let email = EmailAddress::parse(&body.email)
            .map_err(|error| Problem::invalid("email", error.to_string()))?;
        let password = Password::parse(&body.password)
            .map_err(|error| Problem::invalid("password", error.to_string()))?;
        let Object(device) = body.device.unwrap_or_default();
        let reported = reported(device)?;
        let mut device_keys = match body.transport {
            TokenTransport::Cookie => DeviceKeys::from_cookie(request),
            TokenTransport::Bearer => DeviceKeys::default(),
        };
        if let Some(key) = &body.device_key {
            let key = DeviceKey::parse(key)
                .map_err(|error| Problem::invalid("device_key", error.to_string()))?;
            device_keys.add(key);
        }
        let pass = body.pass.map(|Object(pass)| parse(&pass)).transpose()?;
        Ok(Self {
            email,
            password,
            reported,
            device_keys,
            transport: body.transport,
            ends_others: body.sign_out == Some(SignOutOthers::Others),
            pass,
        })
    }
}

fn reported(device: DeviceClaims) -> Result<ReportedInfo, Problem> {
    let reported = ReportedInfo {
        name: device.name,
        device_type: device.device_type,
        os: device.os,
        model: device.model,
        app: device.app,
    };
    reported.validated().map_err(|refused| {
        let field = format!("device.{}", refused.field);
        Problem::invalid(field, refused.problem.to_string())
    })
}

fn parse(pass: &Pass) -> Result<(ChallengeSecret, Code), Problem> {
    let challenge = ChallengeSecret::parse(&pass.challenge);
    let code = Code::parse(&pass.code);
    Ok((
        challenge.map_err(|error| Problem::invalid("pass.challenge", error.to_string()))?,
        code.map_err(|error| Problem::invalid("pass.code", error.to_string()))?,
    ))
}
