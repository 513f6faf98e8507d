//! The budgets of sign-ins: what wrong passwords are counted for, and how many there may be.

use std::net::IpAddr;

use jiff::SignedDuration;

use crate::attempts::{Budget, CounterKey};
use crate::email::EmailAddress;
use crate::networks::{NetworkRanges, networks_of};

/// The budgets of sign-ins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInBudgets {
    /// Of an address, for devices that are not recognized.
    pub address: Budget,
    /// Of a network, for the same: an IPv4 address, or an IPv6 /64.
    pub network: Budget,
    /// Of a recognized device. It is no longer recognized after its failures in a row.
    pub device: Budget,
    /// The networks that are not counted.
    pub uncounted: NetworkRanges,
}

/// The most failures in a row of devices that are not recognized (NIST SP 800-63B-4,
/// section 3.2.2).
pub const FAILURES_IN_A_ROW: u32 = 100;

/// The failures in a row that end the recognition of a device.
pub const FAILURES_OF_DEVICE: u32 = 10;

/// The time between two attempts after [`FAILURES_IN_A_ROW`], where no mail can prove the
/// owner: none is sent, or none can reach the address.
pub const PAUSE_WITHOUT_MAIL: SignedDuration = SignedDuration::from_hours(1);

/// The wrong current passwords of a session. Ten in a row end it.
pub const WRONG_PROOFS: Budget =
    Budget::new(20, SignedDuration::from_secs(1)).with_in_a_row(10, None);

/// The tries of the authenticator apps of an account: 20 a day. After 100 in a row without a
/// success, none is taken any more, until the owner proves themselves in another way. Sign-ins,
/// recoveries and each recognized device have tries of their own.
pub const SECOND_STEPS: Budget =
    Budget::new(20, SignedDuration::from_mins(72)).with_in_a_row(100, None);

/// The tries of the recovery codes of an account: ten, and then one an hour. A guess is
/// right once in 2^120 / 10.
pub const RECOVERY_CODE_TRIES: Budget = Budget::new(10, SignedDuration::from_hours(1));

impl Default for SignInBudgets {
    /// Returns 10 attempts of an address and then one in 5 minutes; 30 of a network and
    /// one in 10 seconds; 5 of a device and one a minute; no mail.
    fn default() -> Self {
        let seconds = SignedDuration::from_secs;
        Self {
            address: Budget::new(10, seconds(300))
                .with_in_a_row(FAILURES_IN_A_ROW, Some(PAUSE_WITHOUT_MAIL)),
            network: Budget::new(30, seconds(10)),
            device: Budget::new(5, seconds(60)).with_in_a_row(FAILURES_OF_DEVICE, None),
            uncounted: NetworkRanges::default(),
        }
    }
}

impl SignInBudgets {
    /// Returns the counters that a sign-in of an unrecognized device is charged to, in
    /// their order: its networks, and then the address.
    #[must_use]
    pub fn of_stranger(
        &self,
        ip: Option<IpAddr>,
        address: &EmailAddress,
    ) -> Vec<(CounterKey, Budget)> {
        let is_counted = !ip.is_some_and(|ip| self.uncounted.contains(ip));
        let mut counters = if is_counted {
            networks_of(ip, self.network)
        } else {
            Vec::new()
        };
        counters.push((CounterKey::sign_ins_to(address), self.of_address(address)));
        counters
    }

    fn of_address(&self, address: &EmailAddress) -> Budget {
        match self.address.in_a_row {
            Some(limit) if !address.is_ascii() => {
                let pause = limit.pause.or(Some(PAUSE_WITHOUT_MAIL));
                self.address.with_in_a_row(limit.most, pause)
            }
            _ => self.address,
        }
    }
}
