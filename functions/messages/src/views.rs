//! The JSON of notices.

use domain::{DeviceType, Failures, Notice, NoticeDevice, NoticeEvent, Rfc3339};
use http_api::DeviceKind;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A message that was mailed to the owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Message)]
pub struct MessageView {
    /// The six characters that the mail shows, too. A mail without a message here is not
    /// from this service. `null` behind the link of an `address_changed`, whose answer has to
    /// name it.
    #[schema(example = "7K3Q9D")]
    pub reference: Option<String>,
    /// What it is about: `signed_in`, `signed_out`, `password_changed`, `recovered`,
    /// `address_changed`, `address_restored`, `address_warned`, `wrong_password`, `many_failures`,
    /// `factor_added`, `factor_removed`, `recovery_codes_made`, `recovery_code_used`,
    /// `sign_in_codes_off`, `second_step_missing` or `factor_removal_asked`.
    #[schema(example = "signed_in")]
    pub kind: String,
    /// The time of what it is about.
    #[schema(value_type = String, format = DateTime)]
    pub at: Rfc3339,
    /// The device that did it, if one did.
    pub device: Option<MessageDevice>,
    /// The sign-out, whose receipt `GET /v1/sign-outs/{sign_out_id}` returns.
    #[schema(value_type = Option<String>, format = Uuid)]
    pub sign_out: Option<String>,
    /// The wrong passwords in a row, for `many_failures`.
    pub failures: Option<MessageFailures>,
    /// The owner's answer from the mail: `end`, `mine` or `undo`.
    #[schema(example = "end")]
    pub answer: Option<String>,
    /// The time of the answer.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub answered_at: Option<Rfc3339>,
    /// The time when the mail came back, if the owner's mailbox did not take it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub returned_at: Option<Rfc3339>,
}

/// A device as a message shows it. No text is one that the device chose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MessageDevice {
    /// The kind of device.
    #[serde(rename = "type")]
    #[schema(value_type = DeviceKind)]
    pub device_type: DeviceType,
    /// The operating system, if it is a known one.
    #[schema(example = "Linux")]
    pub os: Option<String>,
    /// The browser, if it is a known one.
    #[schema(example = "Firefox")]
    pub browser: Option<String>,
    /// The place: city and country, or else the IP address.
    #[schema(example = "Porto, PT")]
    pub place: Option<String>,
}

/// Wrong passwords in a row of devices that are not recognized.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MessageFailures {
    /// Their number.
    #[schema(example = 50)]
    pub count: u32,
    /// The time of the first one.
    #[schema(value_type = String, format = DateTime)]
    pub since: Rfc3339,
    /// Their places, as far as they are known: countries, or else the IP address of the last
    /// one.
    #[schema(example = json!(["PT"]))]
    pub places: Vec<String>,
}

impl From<&Failures> for MessageFailures {
    fn from(failures: &Failures) -> Self {
        Self {
            count: failures.count,
            since: failures.since.into(),
            places: failures.places.clone(),
        }
    }
}

impl From<&NoticeDevice> for MessageDevice {
    fn from(device: &NoticeDevice) -> Self {
        Self {
            device_type: device.device_type,
            os: device.os.clone(),
            browser: device.browser.clone(),
            place: device.place.clone(),
        }
    }
}

impl From<&Notice> for MessageView {
    fn from(notice: &Notice) -> Self {
        let failures = match &notice.event {
            NoticeEvent::ManyFailures(failures) => Some(MessageFailures::from(failures)),
            _ => None,
        };
        let sign_out = match &notice.event {
            NoticeEvent::SignedIn { .. }
            | NoticeEvent::AddressChanged
            | NoticeEvent::AddressWarned
            | NoticeEvent::Factor { .. }
            | NoticeEvent::ManyFailures(_) => None,
            NoticeEvent::SignedOut(id)
            | NoticeEvent::PasswordChanged(id)
            | NoticeEvent::Recovered(id)
            | NoticeEvent::AddressRestored(id)
            | NoticeEvent::WrongPassword(id) => Some(id.to_string()),
        };
        let (answer, answered_at) = notice.answer.unzip();
        Self {
            reference: Some(notice.reference.clone()),
            kind: notice.event.kind().to_owned(),
            at: notice.at.into(),
            device: notice.device.as_ref().map(MessageDevice::from),
            sign_out,
            failures,
            answer: answer.map(|answer| answer.as_str().to_owned()),
            answered_at: answered_at.map(Rfc3339::from),
            returned_at: notice.returned_at.map(Rfc3339::from),
        }
    }
}

impl MessageView {
    pub(crate) fn example() -> Self {
        let at = "2026-11-20T09:30:00Z".parse::<domain::Timestamp>();
        Self {
            reference: Some("7K3Q9D".to_owned()),
            kind: "signed_in".to_owned(),
            at: at.expect("it is a time").into(),
            device: Some(MessageDevice {
                device_type: DeviceType::Computer,
                os: Some("Linux".to_owned()),
                browser: Some("Firefox".to_owned()),
                place: Some("Porto, PT".to_owned()),
            }),
            sign_out: None,
            failures: None,
            answer: None,
            answered_at: None,
            returned_at: None,
        }
    }
}
