//! Verification: which acts need a fresh proof, and which proofs are accepted from whom.

use jiff::{SignedDuration, Timestamp};

/// The time for which a proof counts. A sign-in counts as what it proved.
pub const PROOF_LIFETIME: SignedDuration = SignedDuration::from_mins(5);

/// The most single devices that a recognized device may sign out in a day without a proof.
/// A deployment may set less. A deviation from OWASP ASVS 5.0 requirement 7.5.2.
pub const UNPROVEN_SIGN_OUTS_PER_DAY: u32 = 3;

/// What a session does to its account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    /// Signing out the caller's own device.
    SignOutSelf,
    /// Signing out every device, the caller's included.
    SignOutGlobal,
    /// Signing out one other device.
    SignOutDevice,
    /// Signing out every other device.
    SignOutOthers,
    /// Changing the password, which signs out every device.
    ChangePassword,
    /// Keeping the caller's device signed in when the password changes.
    KeepDevice,
    /// Changing the address.
    ChangeAddress,
    /// Adding a factor.
    AddFactor,
    /// Removing a factor.
    RemoveFactor,
    /// Making new recovery codes.
    MakeRecoveryCodes,
}

impl Act {
    /// Returns whether a session needs a fresh proof for it. `unproven` is how many single
    /// devices it has signed out today without one, `allowed` how many it may.
    ///
    /// Changing the password needs the current password, which is checked by itself.
    #[must_use]
    pub fn needs_verification(self, is_recognized: bool, unproven: u32, allowed: u32) -> bool {
        match self {
            Self::SignOutSelf | Self::SignOutGlobal | Self::ChangePassword => false,
            Self::SignOutDevice => {
                !is_recognized || unproven >= allowed.min(UNPROVEN_SIGN_OUTS_PER_DAY)
            }
            Self::SignOutOthers
            | Self::KeepDevice
            | Self::ChangeAddress
            | Self::AddFactor
            | Self::RemoveFactor
            | Self::MakeRecoveryCodes => true,
        }
    }
}

/// A way to prove that the caller is the owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Proof {
    /// The password.
    Password,
    /// A code that was mailed to the account's address.
    AddressCode,
    /// A factor that counts.
    Factor,
    /// A recovery code.
    RecoveryCode,
    /// The word of the team's own backend, which signs people in.
    External,
}

/// A proof, and when it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proven {
    /// The kind of proof.
    pub proof: Proof,
    /// The time when it was given.
    pub at: Timestamp,
}

/// What decides which proofs are accepted from a session.
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// Whether its device is recognized.
    pub is_recognized: bool,
    /// Whether the account has a factor that counts.
    pub has_factor: bool,
    /// Whether the account has an address that the deployment sends mail to.
    pub has_mail: bool,
    /// Whether the team's own backend signs people in.
    pub is_external: bool,
}

impl Proof {
    /// Returns the name that the API uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::AddressCode => "code",
            Self::Factor => "totp",
            Self::RecoveryCode => "recovery_code",
            Self::External => "external",
        }
    }
}

impl Caller {
    /// Returns the accepted proofs: the proofs of any one of the lists, all of them.
    #[must_use]
    pub fn accepted(self) -> &'static [&'static [Proof]] {
        use Proof::{AddressCode, External, Factor, Password, RecoveryCode};
        if self.is_external {
            &[&[External]]
        } else if self.has_factor {
            &[&[Factor], &[RecoveryCode]]
        } else if !self.has_mail {
            &[&[Password]]
        } else if self.is_recognized {
            &[&[Password], &[AddressCode]]
        } else {
            &[&[Password, AddressCode]]
        }
    }

    /// Returns whether what a session has proven is accepted at `now`.
    #[must_use]
    pub fn is_verified(self, proven: &[Proven], now: Timestamp) -> bool {
        let is_fresh = |wanted: &Proof| {
            let age = |given: &Proven| now.duration_since(given.at);
            let counts = |given: &Proven| given.proof == *wanted && age(given) < PROOF_LIFETIME;
            proven.iter().any(counts)
        };
        self.accepted().iter().any(|all| all.iter().all(is_fresh))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::now;

    const SECOND: SignedDuration = SignedDuration::from_secs(1);
    const PLAIN: Caller = Caller {
        is_recognized: false,
        has_factor: false,
        has_mail: true,
        is_external: false,
    };
    const ALL: [Proof; 5] = [
        Proof::Password,
        Proof::AddressCode,
        Proof::Factor,
        Proof::RecoveryCode,
        Proof::External,
    ];

    fn is_verified(caller: Caller, proofs: &[Proof]) -> bool {
        let given = |proof: &Proof| Proven {
            proof: *proof,
            at: now(),
        };
        caller.is_verified(&proofs.iter().map(given).collect::<Vec<_>>(), now())
    }

    /// Returns the proofs that are accepted alone.
    fn alone(caller: Caller) -> Vec<Proof> {
        let is_accepted = |proof: &Proof| is_verified(caller, &[*proof]);
        ALL.into_iter().filter(is_accepted).collect()
    }

    #[test]
    fn an_account_with_a_factor_is_proven_by_a_factor_or_a_recovery_code_alone() {
        for is_recognized in [true, false] {
            for has_mail in [true, false] {
                let caller = Caller {
                    is_recognized,
                    has_factor: true,
                    has_mail,
                    ..PLAIN
                };
                assert_eq!(alone(caller), [Proof::Factor, Proof::RecoveryCode]);
                assert!(!is_verified(caller, &[Proof::Password, Proof::AddressCode]));
            }
        }
    }

    #[test]
    fn a_recognized_session_proves_with_password_or_code_and_another_with_both() {
        let recognized = Caller {
            is_recognized: true,
            ..PLAIN
        };
        assert_eq!(alone(recognized), [Proof::Password, Proof::AddressCode]);
        assert_eq!(alone(PLAIN), []);
        assert!(is_verified(PLAIN, &[Proof::AddressCode, Proof::Password]));
    }

    #[test]
    fn without_mail_the_password_proves_and_a_team_login_proves_by_its_backend() {
        for is_recognized in [true, false] {
            let caller = Caller {
                is_recognized,
                has_mail: false,
                ..PLAIN
            };
            assert_eq!(alone(caller), [Proof::Password]);
            let external = Caller {
                is_external: true,
                has_factor: is_recognized,
                ..caller
            };
            assert_eq!(alone(external), [Proof::External]);
        }
    }

    #[test]
    fn a_proof_counts_for_five_minutes_to_the_second() {
        let given = |proof, at| Proven { proof, at };
        let last = now() + PROOF_LIFETIME;
        let proven = [
            given(Proof::Password, now()),
            given(Proof::AddressCode, now() + SECOND),
        ];
        assert!(PLAIN.is_verified(&proven, last - SECOND));
        assert!(!PLAIN.is_verified(&proven, last));
    }

    #[test]
    fn ending_other_devices_and_what_changes_who_owns_the_account_needs_a_proof() {
        for act in [Act::SignOutSelf, Act::SignOutGlobal, Act::ChangePassword] {
            assert!(!act.needs_verification(false, 0, 0), "{act:?}");
        }
        for act in [
            Act::SignOutOthers,
            Act::KeepDevice,
            Act::ChangeAddress,
            Act::AddFactor,
            Act::RemoveFactor,
            Act::MakeRecoveryCodes,
        ] {
            assert!(act.needs_verification(true, 0, 3), "{act:?}");
        }
    }

    #[test]
    fn a_recognized_device_signs_out_three_devices_a_day_without_a_proof() {
        let needs = |recognized, unproven, allowed| {
            Act::SignOutDevice.needs_verification(recognized, unproven, allowed)
        };
        assert!(!needs(true, 2, 3));
        assert!(needs(true, 3, 3) && needs(true, 3, 9));
        assert!(needs(true, 0, 0) && needs(false, 0, 3));
    }
}
