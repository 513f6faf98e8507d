//! The JSON of accounts, devices and sign-outs.

mod receipt;

use domain::session::SessionStatus;
use domain::{
    Account, Device, DeviceId, DeviceType, EndInfo, Limits, Place, Rfc3339, SignOut, Timestamp,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use receipt::{PartView, ReceiptAnswer, ReceiptView, TotalView};

/// An account, as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Account)]
pub struct AccountView {
    /// The id. It is not a secret and gives no access.
    #[schema(value_type = String, format = Uuid)]
    pub id: String,
    /// The e-mail address, in its normal form. Empty if it was never confirmed here and
    /// another account has proven since that it is theirs.
    #[schema(example = "lea@example.com")]
    pub email: String,
    /// Whether the owner is to be asked to confirm the address: nobody has, and this
    /// deployment sends mail. See `POST /v1/address-confirmations`.
    pub confirm_address: bool,
}

impl AccountView {
    /// Returns what the owner of an account sees, where mail is sent or not.
    #[must_use]
    pub fn new(account: &Account, sends_mail: bool) -> Self {
        Self {
            id: account.id.to_string(),
            email: account.email.clone(),
            confirm_address: account.is_to_be_confirmed(sends_mail),
        }
    }
}

/// The status of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The device has a valid session.
    SignedIn,
    /// The device was signed out, or its session has expired.
    SignedOut,
}

/// The device that requested a sign-out, with its name at that time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignedOutBy {
    /// The id. It is not a secret and gives no access.
    #[schema(value_type = String, format = Uuid)]
    pub id: String,
    /// The name.
    #[schema(example = "Firefox on Linux")]
    pub name: String,
}

impl From<&domain::ByDevice> for SignedOutBy {
    fn from(by: &domain::ByDevice) -> Self {
        Self {
            id: by.id.to_string(),
            name: by.name.clone(),
        }
    }
}

/// A place of a device, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Location)]
pub struct LocationView {
    /// The city.
    pub city: Option<String>,
    /// The country, ISO 3166-1 alpha-2.
    #[schema(example = "PT")]
    pub country: Option<String>,
}

impl LocationView {
    fn of(place: &Place) -> Option<Self> {
        let known = place.city.is_some() || place.country.is_some();
        known.then(|| Self {
            city: place.city.clone(),
            country: place.country.clone(),
        })
    }
}

/// A kind of device. The words of [`DeviceType`], for the document alone.
#[derive(ToSchema)]
#[schema(as = DeviceType, rename_all = "snake_case")]
pub enum DeviceKind {
    /// A television, or a box or stick that drives one.
    Tv,
    /// A phone.
    Phone,
    /// A tablet.
    Tablet,
    /// A laptop or desktop computer.
    Computer,
    /// A games console.
    Console,
    /// Any other kind, or an unknown one.
    Other,
}

/// A device, as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Device)]
pub struct DeviceView {
    /// The id. It is not a secret and gives no access.
    #[schema(value_type = String, format = Uuid)]
    pub id: String,
    /// `true` for the device that sent the request.
    pub current: bool,
    /// The status.
    pub status: Status,
    /// Whether it is recognized: its sign-ins need no second step, and it may verify with less.
    pub recognized: bool,
    /// The name to show.
    #[schema(example = "Living room · Samsung TV")]
    pub name: String,
    /// The kind of device.
    #[serde(rename = "type")]
    #[schema(value_type = DeviceKind)]
    pub device_type: DeviceType,
    /// The operating system.
    pub os: Option<String>,
    /// The browser.
    pub browser: Option<String>,
    /// The app.
    pub app: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// The IP address that it signed in from.
    #[schema(example = "203.0.113.7")]
    pub ip: Option<String>,
    /// The place of that address.
    pub location: Option<LocationView>,
    /// The time of its first sign-in.
    #[schema(value_type = String, format = DateTime)]
    pub first_signed_in_at: Rfc3339,
    /// The start of its session.
    #[schema(value_type = String, format = DateTime)]
    pub signed_in_at: Rfc3339,
    /// The time of its last activity, to within five minutes.
    #[schema(value_type = String, format = DateTime)]
    pub last_active_at: Rfc3339,
    /// The IP address of its last activity that came with one.
    #[schema(example = "203.0.113.7")]
    pub last_active_ip: Option<String>,
    /// The place of that address.
    pub last_active_location: Option<LocationView>,
    /// The latest end of its session.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Rfc3339,
    /// The time of its sign-out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub signed_out_at: Option<Rfc3339>,
    /// The sign-out that ended its session.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Uuid)]
    pub sign_out: Option<String>,
    /// The device that signed it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_out_by: Option<SignedOutBy>,
    /// The reason: `signed_out`, `password_changed`, `account_disabled`, `recovered`,
    /// `address_restored`, `wrong_password` or `expired`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "signed_out")]
    pub reason: Option<String>,
}

/// The end of a session.
#[derive(Debug, Clone, Copy)]
pub enum SessionEnd<'a> {
    /// A sign-out ended it.
    SignedOut(&'a EndInfo),
    /// It expired at this time.
    Expired(Timestamp),
    /// A sign-out ended it whose record has been deleted; or the account is disabled.
    Unrecorded,
}

impl<'a> SessionEnd<'a> {
    /// Returns the end of a session. `by_epoch` is the sign-out that ended it, if the
    /// account's epoch did.
    #[must_use]
    pub fn of(
        device: &Device,
        status: &'a SessionStatus,
        by_epoch: Option<&'a EndInfo>,
        limits: &Limits,
    ) -> Self {
        let expired = Self::Expired(device.expiry(limits));
        match (status, by_epoch) {
            (SessionStatus::SignedOut(ended), _) => Self::SignedOut(ended),
            (SessionStatus::EndedByEpoch, None) | (SessionStatus::AccountDisabled, _) => {
                Self::Unrecorded
            }
            (SessionStatus::EndedByEpoch, Some(ended)) => {
                let is_of_it = device.is_in_receipt_of(ended, limits);
                if is_of_it {
                    Self::SignedOut(ended)
                } else {
                    expired
                }
            }
            (SessionStatus::SignedIn | SessionStatus::Expired, _) => expired,
        }
    }
}

/// What a view shows of the end of a session.
#[derive(Default)]
struct ShownEnd {
    at: Option<Timestamp>,
    sign_out: Option<String>,
    by: Option<SignedOutBy>,
    reason: Option<String>,
}

impl From<SessionEnd<'_>> for ShownEnd {
    fn from(end: SessionEnd<'_>) -> Self {
        match end {
            SessionEnd::SignedOut(ended) => Self {
                at: Some(ended.at),
                sign_out: Some(ended.sign_out.to_string()),
                by: ended.by.as_ref().map(SignedOutBy::from),
                reason: Some(ended.reason.as_str().to_owned()),
            },
            SessionEnd::Expired(at) => Self {
                at: Some(at),
                reason: Some("expired".to_owned()),
                ..Self::default()
            },
            SessionEnd::Unrecorded => Self::default(),
        }
    }
}

impl DeviceView {
    /// Creates the view of a device whose session is valid.
    #[must_use]
    pub fn signed_in(device: &Device, current: DeviceId, is_recognized: bool) -> Self {
        Self::new(device, current, is_recognized, None)
    }

    /// Creates the view of a device whose session has ended.
    #[must_use]
    pub fn signed_out(
        device: &Device,
        current: DeviceId,
        is_recognized: bool,
        end: SessionEnd<'_>,
    ) -> Self {
        Self::new(device, current, is_recognized, Some(end))
    }

    fn new(
        device: &Device,
        current: DeviceId,
        recognized: bool,
        end: Option<SessionEnd<'_>>,
    ) -> Self {
        let shown = end.map(ShownEnd::from).unwrap_or_default();
        Self {
            id: device.id.to_string(),
            current: device.id == current,
            status: if end.is_none() {
                Status::SignedIn
            } else {
                Status::SignedOut
            },
            recognized,
            name: device.name().to_owned(),
            device_type: device.info.device_type,
            os: device.info.os.clone(),
            browser: device.info.browser.clone(),
            app: device.info.app.clone(),
            model: device.info.model.clone(),
            ip: device.place.ip.clone(),
            location: LocationView::of(&device.place),
            first_signed_in_at: device.first_signed_in_at.into(),
            signed_in_at: device.signed_in_at.into(),
            last_active_at: device.last_active_at.into(),
            last_active_ip: device.active_place.ip.clone(),
            last_active_location: LocationView::of(&device.active_place),
            expires_at: device.expires_at.into(),
            signed_out_at: shown.at.map(Rfc3339::from),
            sign_out: shown.sign_out,
            signed_out_by: shown.by,
            reason: shown.reason,
        }
    }
}

/// A sign-out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = SignOut)]
pub struct SignOutView {
    /// The id. It is not a secret and gives no access.
    #[schema(value_type = String, format = Uuid)]
    pub id: String,
    /// The sessions that it ended: `local`, `device`, `others` or `global`.
    #[schema(example = "device")]
    pub scope: String,
    /// The time of the request. From then on those sessions are refused.
    #[schema(value_type = String, format = DateTime)]
    pub requested_at: Rfc3339,
    /// The device that requested it; `null` when an operator did.
    pub requested_by: Option<SignedOutBy>,
}

impl From<&SignOut> for SignOutView {
    fn from(sign_out: &SignOut) -> Self {
        Self::from(&sign_out.end_info())
    }
}

impl From<&EndInfo> for SignOutView {
    fn from(ended: &EndInfo) -> Self {
        Self {
            id: ended.sign_out.to_string(),
            scope: ended.scope.as_str().to_owned(),
            requested_at: ended.at.into(),
            requested_by: ended.by.as_ref().map(SignedOutBy::from),
        }
    }
}

/// The answer to each request that ends sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignOutAnswer {
    /// The sign-out that ended the sessions.
    pub sign_out: SignOutView,
}

impl SignOutAnswer {
    /// Creates the answer that reports this end.
    #[must_use]
    pub fn of(ended: &EndInfo) -> Self {
        Self {
            sign_out: ended.into(),
        }
    }
}
