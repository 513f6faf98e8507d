//! The JSON of accounts, devices and sign-outs, in the words of the design.

use domain::{
    Account, Device, DeviceId, DeviceType, EndInfo, Place, Receipt, ReceiptEntry, SignOut,
    Timestamp, Total,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An account, to the people who are signed in to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Account)]
pub struct AccountView {
    /// Its id; authenticates nobody.
    #[schema(value_type = String, format = Uuid)]
    pub id: String,
    /// The address, as its owner wrote it.
    #[schema(example = "lea@example.com")]
    pub email: String,
}

impl From<&Account> for AccountView {
    fn from(account: &Account) -> Self {
        Self {
            id: account.id.to_string(),
            email: account.email.clone(),
        }
    }
}

/// Whether a device is signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is.
    SignedIn,
    /// It was signed out, or its session ran out.
    SignedOut,
}

/// The device that asked for a sign-out, with its name at that time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignedOutBy {
    /// Its id; authenticates nobody.
    #[schema(value_type = String, format = Uuid)]
    pub id: String,
    /// Its name.
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

/// Where a device signed in, as far as it is known.
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

/// What kind of thing a device is: the words of [`DeviceType`], for the
/// document alone.
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
    /// Anything else, and what is not known.
    Other,
}

/// A device, as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Device)]
pub struct DeviceView {
    /// Its id; authenticates nobody.
    #[schema(value_type = String, format = Uuid)]
    pub id: String,
    /// Whether it is the one that asks.
    pub current: bool,
    /// Whether it is signed in.
    pub status: Status,
    /// What to call it.
    #[schema(example = "Living room · Samsung TV")]
    pub name: String,
    /// What kind of thing it is.
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
    /// The address that it signed in from.
    #[schema(example = "203.0.113.7")]
    pub ip: Option<String>,
    /// Where that is.
    pub location: Option<LocationView>,
    /// When it signed in for the first time.
    #[schema(value_type = String, format = DateTime)]
    pub first_signed_in_at: Timestamp,
    /// When its session began.
    #[schema(value_type = String, format = DateTime)]
    pub signed_in_at: Timestamp,
    /// When it was last in use, to within five minutes.
    #[schema(value_type = String, format = DateTime)]
    pub last_active_at: Timestamp,
    /// When its session runs out at the latest.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// When it was signed out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub signed_out_at: Option<Timestamp>,
    /// By which device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_out_by: Option<SignedOutBy>,
    /// Why: `signed_out`, `password_changed`, `account_disabled` or `expired`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "signed_out")]
    pub reason: Option<String>,
}

/// How a session that is over came to its end.
#[derive(Debug, Clone, Copy)]
pub enum Over<'a> {
    /// It was ended.
    EndInfo(&'a EndInfo),
    /// It ran out, at that time.
    Expired(Timestamp),
    /// It was ended; the record of how is gone.
    Forgotten,
}

impl DeviceView {
    /// A device whose session is valid.
    #[must_use]
    pub fn signed_in(device: &Device, current: DeviceId) -> Self {
        Self::new(device, current, None)
    }

    /// A device whose session is over.
    #[must_use]
    pub fn signed_out(device: &Device, current: DeviceId, over: Over<'_>) -> Self {
        Self::new(device, current, Some(over))
    }

    fn new(device: &Device, current: DeviceId, over: Option<Over<'_>>) -> Self {
        let (signed_out_at, signed_out_by, reason) = match over {
            None | Some(Over::Forgotten) => (None, None, None),
            Some(Over::EndInfo(ended)) => (
                Some(ended.at),
                ended.by.as_ref().map(SignedOutBy::from),
                Some(ended.reason.as_str().to_owned()),
            ),
            Some(Over::Expired(at)) => (Some(at), None, Some("expired".to_owned())),
        };
        Self {
            id: device.id.to_string(),
            current: device.id == current,
            status: if over.is_none() {
                Status::SignedIn
            } else {
                Status::SignedOut
            },
            name: device.info.name.clone(),
            device_type: device.info.device_type,
            os: device.info.os.clone(),
            browser: device.info.browser.clone(),
            app: device.info.app.clone(),
            model: device.info.model.clone(),
            ip: device.place.ip.clone(),
            location: LocationView::of(&device.place),
            first_signed_in_at: device.first_signed_in_at,
            signed_in_at: device.signed_in_at,
            last_active_at: device.last_active_at,
            expires_at: device.expires_at,
            signed_out_at,
            signed_out_by,
            reason,
        }
    }
}

/// A sign-out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = SignOut)]
pub struct SignOutView {
    /// Its id; authenticates nobody.
    #[schema(value_type = String, format = Uuid)]
    pub id: String,
    /// Which sessions it ended: `local`, `device`, `others` or `global`.
    #[schema(example = "device")]
    pub scope: String,
    /// When it was asked for. From then on they are refused.
    #[schema(value_type = String, format = DateTime)]
    pub requested_at: Timestamp,
    /// By which device; `null` when an operator did it.
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
            requested_at: ended.at,
            requested_by: ended.by.as_ref().map(SignedOutBy::from),
        }
    }
}

/// The answer to everything that ends sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignOutAnswer {
    /// The sign-out that ended them.
    pub sign_out: SignOutView,
}

impl SignOutAnswer {
    /// The answer that tells of this end.
    #[must_use]
    pub fn of(ended: &EndInfo) -> Self {
        Self {
            sign_out: ended.into(),
        }
    }
}

/// How far a sign-out has come with one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = SignedOutDevice)]
pub struct PartView {
    /// The device's id; authenticates nobody.
    #[schema(value_type = String, format = Uuid)]
    pub id: String,
    /// Its name when it was signed out.
    #[schema(example = "Hotel TV")]
    pub name: String,
    /// What kind of thing it is.
    #[serde(rename = "type")]
    #[schema(value_type = DeviceKind)]
    pub device_type: DeviceType,
    /// How far it has come, the furthest last: `refused` (every request of it is
    /// refused; it was not reached yet), `pushed` (it was told over its socket),
    /// `contacted` (it called, and was refused), `acknowledged` (it said that it
    /// has wiped what it had stored). It never goes back.
    #[schema(example = "acknowledged")]
    pub state: String,
    /// From when on it is refused.
    #[schema(value_type = String, format = DateTime)]
    pub refused_at: Timestamp,
    /// When it was told over its socket.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub pushed_at: Option<Timestamp>,
    /// When it called for the first time, and was refused.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub contacted_at: Option<Timestamp>,
    /// When it said that it has wiped what it had stored.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub acknowledged_at: Option<Timestamp>,
}

impl From<&ReceiptEntry> for PartView {
    fn from(part: &ReceiptEntry) -> Self {
        Self {
            id: part.session.device.to_string(),
            name: part.session.name.clone(),
            device_type: part.session.device_type,
            state: part.state().as_str().to_owned(),
            refused_at: part.refused_at,
            pushed_at: part.pushed_at,
            contacted_at: part.contacted_at,
            acknowledged_at: part.acknowledged_at,
        }
    }
}

/// How many devices have come how far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Total)]
pub struct TotalView {
    /// All of them: the sum of the other three.
    #[schema(example = 5)]
    pub devices: usize,
    /// Those that have called and were refused, or have acknowledged.
    #[schema(example = 4)]
    pub confirmed: usize,
    /// Those that were told, and have not confirmed it yet.
    #[schema(example = 0)]
    pub pushed: usize,
    /// Those that were not reached yet. They are refused when they call.
    #[schema(example = 1)]
    pub not_reached: usize,
}

impl From<Total> for TotalView {
    fn from(total: Total) -> Self {
        Self {
            devices: total.devices,
            confirmed: total.confirmed,
            pushed: total.pushed,
            not_reached: total.not_reached,
        }
    }
}

/// A sign-out with how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Receipt)]
pub struct ReceiptView {
    /// The sign-out.
    #[serde(flatten)]
    pub sign_out: SignOutView,
    /// Why: `signed_out`, `password_changed` or `account_disabled`.
    #[schema(example = "signed_out")]
    pub reason: String,
    /// How many devices have come how far, over all pages.
    pub total: TotalView,
    /// A page of the devices, the newest first.
    pub devices: Vec<PartView>,
    /// Where the next page begins, when there is one.
    pub next_cursor: Option<String>,
}

impl ReceiptView {
    /// A page of a receipt.
    #[must_use]
    pub fn new(receipt: &Receipt, after: Option<DeviceId>, limit: usize) -> Self {
        let (page, next) = receipt.page(after, limit);
        Self {
            sign_out: SignOutView::from(&receipt.sign_out),
            reason: receipt.sign_out.reason.as_str().to_owned(),
            total: receipt.total().into(),
            devices: page.iter().map(PartView::from).collect(),
            next_cursor: next.map(|device| device.to_string()),
        }
    }
}

/// The answer to who asks for a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ReceiptAnswer)]
pub struct ReceiptAnswer {
    /// The sign-out.
    pub sign_out: ReceiptView,
}
