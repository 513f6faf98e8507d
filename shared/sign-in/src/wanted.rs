//! What a sign-in asks for, besides proving who signs in.

use device_info::ReportedInfo;
use domain::{DeviceKey, DeviceType};
use http_api::{DeviceKeys, Object, Problem, Request};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The way in which the client gets its token and sends it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenTransport {
    /// In the body of the answer, and back in the `Authorization` header.
    #[default]
    Bearer,
    /// In a cookie, for a page. No script can read it.
    Cookie,
}

/// The facts that a device reports about itself. All are optional, and none proves
/// anything.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[schema(as = DeviceClaims)]
#[serde(deny_unknown_fields, default, expecting = "an object")]
pub struct DeviceClaims {
    /// The name that the device reports, such as one from its settings. A name set with
    /// `PATCH /v1/devices/{device_id}` goes before it.
    #[schema(
        max_length = 64,
        pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$",
        example = "Living room"
    )]
    pub name: Option<String>,
    /// The kind of device.
    #[serde(rename = "type")]
    #[schema(value_type = Option<http_api::DeviceKind>)]
    pub device_type: Option<DeviceType>,
    /// The operating system.
    #[schema(max_length = 64, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    pub os: Option<String>,
    /// The model.
    #[schema(
        max_length = 64,
        pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$",
        example = "Samsung QE55"
    )]
    pub model: Option<String>,
    /// The app.
    #[schema(max_length = 64, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    pub app: Option<String>,
}

/// The devices that a sign-in signs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SignOutOthers {
    /// Every other device of the account.
    Others,
}

/// The fields of a request that every sign-in has.
#[derive(Debug, Default)]
pub struct WantedFields<'a> {
    /// The facts that the device reports.
    pub device: Option<Object<DeviceClaims>>,
    /// The device key.
    pub device_key: Option<&'a str>,
    /// The way in which the client gets its token.
    pub transport: TokenTransport,
    /// The devices to sign out.
    pub sign_out: Option<SignOutOthers>,
}

/// The same, parsed.
#[derive(Debug)]
pub struct Wanted {
    /// The facts that the device reports.
    pub reported: ReportedInfo,
    /// The keys of the body and, of a page, of the cookie.
    pub device_keys: DeviceKeys,
    /// The way in which the client gets its token.
    pub transport: TokenTransport,
    /// Whether every other device is signed out.
    pub ends_others: bool,
}

impl Wanted {
    /// Parses the fields. A page must come from an allowed origin.
    ///
    /// # Errors
    /// `request-invalid`, with the field.
    pub fn parse(request: &Request, fields: WantedFields<'_>) -> Result<Self, Problem> {
        let mut device_keys = DeviceKeys::default();
        if fields.transport == TokenTransport::Cookie {
            request.require_origin()?;
            device_keys = DeviceKeys::from_cookie(request);
        }
        if let Some(key) = fields.device_key {
            let key = DeviceKey::parse(key)
                .map_err(|error| Problem::invalid("device_key", error.to_string()))?;
            device_keys.add(key);
        }
        let Object(device) = fields.device.unwrap_or_default();
        Ok(Self {
            reported: reported(device)?,
            device_keys,
            transport: fields.transport,
            ends_others: fields.sign_out == Some(SignOutOthers::Others),
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
