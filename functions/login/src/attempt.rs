//! The request of a sign-in, parsed.

use device_info::ReportedInfo;
use domain::password::Password;
use domain::{DeviceKey, EmailAddress};
use http_api::{DEVICE_COOKIE, Object, Problem, Request};

use crate::{Login, TokenTransport};

/// A well-formed request.
pub(crate) struct Attempt {
    pub(crate) email: EmailAddress,
    pub(crate) password: Password,
    pub(crate) reported: ReportedInfo,
    pub(crate) device_key: Option<DeviceKey>,
    pub(crate) transport: TokenTransport,
}

impl Attempt {
    pub(crate) fn read(request: &Request) -> Result<Self, Problem> {
        let body: Login = request.json()?;
        if body.transport == TokenTransport::Cookie {
            request.require_origin()?;
        }
        let email = EmailAddress::parse(&body.email)
            .map_err(|error| Problem::invalid("email", error.to_string()))?;
        let password = Password::parse(&body.password)
            .map_err(|error| Problem::invalid("password", error.to_string()))?;
        let Object(device) = body.device.unwrap_or_default();
        let reported = ReportedInfo {
            name: device.name,
            device_type: device.device_type,
            os: device.os,
            model: device.model,
            app: device.app,
        };
        let reported = reported.validated().map_err(|refused| {
            Problem::invalid(
                format!("device.{}", refused.field),
                refused.problem.to_string(),
            )
        })?;
        let device_key = match &body.device_key {
            Some(key) => Some(
                DeviceKey::parse(key)
                    .map_err(|error| Problem::invalid("device_key", error.to_string()))?,
            ),
            None if body.transport == TokenTransport::Cookie => from_cookie(request),
            None => None,
        };
        Ok(Self {
            email,
            password,
            reported,
            device_key,
            transport: body.transport,
        })
    }
}

/// Returns the device key in a page's cookie. Ignores a malformed one: no script can
/// fix that cookie, and the answer replaces it.
fn from_cookie(request: &Request) -> Option<DeviceKey> {
    match request.cookies(DEVICE_COOKIE).as_slice() {
        [key] => DeviceKey::parse(key).ok(),
        _ => None,
    }
}
