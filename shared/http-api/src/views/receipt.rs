//! The JSON of receipts.

use domain::{DeviceId, DeviceType, Receipt, ReceiptEntry, Rfc3339, Total};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{DeviceKind, SignOutView};

/// The progress of a sign-out on one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = SignedOutDevice)]
pub struct PartView {
    /// The device's id. It is not a secret and gives no access.
    #[schema(value_type = String, format = Uuid)]
    pub id: String,
    /// The device's name when it was signed out.
    #[schema(example = "Hotel TV")]
    pub name: String,
    /// The kind of device.
    #[serde(rename = "type")]
    #[schema(value_type = DeviceKind)]
    pub device_type: DeviceType,
    /// The time from which its requests are refused, whatever its state.
    #[schema(value_type = String, format = DateTime)]
    pub refused_at: Rfc3339,
    /// The facts known of the device: `not_reached`; `seen` (its token was used and
    /// refused, but it was not given the reason); `notified` (it was given the reason,
    /// in a push or in an answer); `wiped` (it reported that it has wiped what it had
    /// stored). It never goes back in this order.
    #[schema(example = "wiped")]
    pub state: String,
    /// The time when it reported that it has wiped what it had stored.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub wiped_at: Option<Rfc3339>,
    /// The time when a push for it was accepted, or an answer gave it the reason.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub notified_at: Option<Rfc3339>,
    /// The time when its token was first refused without a reason: by the authorizer,
    /// at a socket's handshake, or because a service introspected it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub seen_at: Option<Rfc3339>,
}

impl From<&ReceiptEntry> for PartView {
    fn from(part: &ReceiptEntry) -> Self {
        Self {
            id: part.session.device.to_string(),
            name: part.session.name.clone(),
            device_type: part.session.device_type,
            refused_at: part.refused_at.into(),
            state: part.state().as_str().to_owned(),
            wiped_at: part.wiped_at.map(Rfc3339::from),
            notified_at: part.notified_at.map(Rfc3339::from),
            seen_at: part.seen_at.map(Rfc3339::from),
        }
    }
}

/// The devices of a sign-out, counted by state. The requests of all of them are
/// refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Total)]
pub struct TotalView {
    /// All devices: the sum of the other four.
    #[schema(example = 5)]
    pub devices: usize,
    /// Devices that reported that they have wiped what they had stored.
    #[schema(example = 3)]
    pub wiped: usize,
    /// Devices that were given the reason and have not reported a wipe.
    #[schema(example = 1)]
    pub notified: usize,
    /// Devices whose token was used and refused, and that were not given the reason.
    #[schema(example = 0)]
    pub seen: usize,
    /// Devices of which nothing is known since the sign-out.
    #[schema(example = 1)]
    pub not_reached: usize,
}

impl From<Total> for TotalView {
    fn from(total: Total) -> Self {
        Self {
            devices: total.devices,
            wiped: total.wiped,
            notified: total.notified,
            seen: total.seen,
            not_reached: total.not_reached,
        }
    }
}

/// The receipt of a sign-out: its progress, device by device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Receipt)]
pub struct ReceiptView {
    /// The sign-out.
    #[serde(flatten)]
    pub sign_out: SignOutView,
    /// The reason: `signed_out`, `password_changed`, `account_disabled`, `recovered`,
    /// `address_restored` or `wrong_password`.
    #[schema(example = "signed_out")]
    pub reason: String,
    /// The counts over all pages.
    pub total: TotalView,
    /// A page of the devices, newest first.
    pub devices: Vec<PartView>,
    /// The `cursor` of the next page; `null` on the last page.
    pub next_cursor: Option<String>,
}

impl ReceiptView {
    /// Creates the view of one page of a receipt.
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

/// The answer to a request for a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ReceiptAnswer)]
pub struct ReceiptAnswer {
    /// The sign-out with its progress.
    pub sign_out: ReceiptView,
}
