//! The values of the examples in the `OpenAPI` document.

use domain::{DeviceType, Rfc3339, Timestamp};

use crate::views::{
    AccountView, DeviceView, LocationView, PartView, ReceiptAnswer, ReceiptView, SignOutAnswer,
    SignOutView, SignedOutBy, Status, TotalView,
};

const ACCOUNT: &str = "6f9b1a52-7d0e-4c56-9c1b-2f0d7f1c9a10";
const TV: &str = "0192f0c1-4b2d-7a90-8f3e-1d2c3b4a5968";
const LAPTOP: &str = "0192f0c1-5a3e-7c11-9d52-3f1f6a0b7c21";
const PHONE: &str = "0192f0c0-1a2b-7c3d-8e4f-5a6b7c8d9e0f";
const SIGN_OUT: &str = "0192f0c2-1c44-7e02-a1b5-6d7e8f901234";

const NOW: &str = "2026-11-20T09:30:00Z";

fn time(text: &str) -> Rfc3339 {
    let time: Timestamp = text.parse().expect("the examples have valid times");
    time.into()
}

impl AccountView {
    /// Returns the example of the document.
    #[must_use]
    pub fn example() -> Self {
        Self {
            id: ACCOUNT.to_owned(),
            email: "lea@example.com".to_owned(),
            confirm_address: false,
        }
    }
}

impl SignedOutBy {
    /// Returns the example of the document.
    #[must_use]
    pub fn example() -> Self {
        Self {
            id: LAPTOP.to_owned(),
            name: "Firefox on Linux".to_owned(),
        }
    }
}

impl DeviceView {
    /// Returns the example of the document.
    #[must_use]
    pub fn example() -> Self {
        Self {
            id: TV.to_owned(),
            current: true,
            status: Status::SignedIn,
            recognized: false,
            name: "Living room · Samsung TV".to_owned(),
            device_type: DeviceType::Tv,
            os: Some("Tizen".to_owned()),
            browser: None,
            app: None,
            model: Some("Samsung TV".to_owned()),
            ip: Some("203.0.113.7".to_owned()),
            location: Some(LocationView {
                city: Some("Lisbon".to_owned()),
                country: Some("PT".to_owned()),
            }),
            first_signed_in_at: time("2026-08-02T18:04:11.25Z"),
            signed_in_at: time(NOW),
            last_active_at: time(NOW),
            last_active_ip: Some("203.0.113.7".to_owned()),
            last_active_location: Some(LocationView {
                city: Some("Lisbon".to_owned()),
                country: Some("PT".to_owned()),
            }),
            expires_at: time("2027-11-20T09:30:00Z"),
            signed_out_at: None,
            sign_out: None,
            signed_out_by: None,
            reason: None,
        }
    }
}

impl SignOutAnswer {
    /// Returns the example of the document for one scope.
    #[must_use]
    pub fn example(scope: &str) -> Self {
        Self {
            sign_out: SignOutView {
                id: SIGN_OUT.to_owned(),
                scope: scope.to_owned(),
                requested_at: time(NOW),
                requested_by: Some(SignedOutBy::example()),
            },
        }
    }
}

impl ReceiptAnswer {
    /// Returns the example of the document: one device has wiped its data, one is
    /// offline.
    #[must_use]
    pub fn example() -> Self {
        let offline = PartView {
            id: PHONE.to_owned(),
            name: "Lea's old phone".to_owned(),
            device_type: DeviceType::Phone,
            refused_at: time(NOW),
            state: "not_reached".to_owned(),
            wiped_at: None,
            notified_at: None,
            seen_at: None,
        };
        let wiped = PartView {
            id: TV.to_owned(),
            name: "Hotel TV".to_owned(),
            device_type: DeviceType::Tv,
            state: "wiped".to_owned(),
            notified_at: Some(time("2026-11-20T09:30:00.412Z")),
            wiped_at: Some(time("2026-11-20T09:30:00.655Z")),
            ..offline.clone()
        };
        Self {
            sign_out: ReceiptView {
                sign_out: SignOutAnswer::example("others").sign_out,
                reason: "signed_out".to_owned(),
                total: TotalView {
                    devices: 2,
                    wiped: 1,
                    notified: 0,
                    seen: 0,
                    not_reached: 1,
                },
                devices: vec![wiped, offline],
                next_cursor: None,
            },
        }
    }
}
