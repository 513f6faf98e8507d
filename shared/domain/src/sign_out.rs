//! Sign-outs: the construction of each kind, and which sessions each ends.

use jiff::Timestamp;

use crate::account::{Account, Epoch};
use crate::device::{Device, DeviceType};
use crate::end_info::{ByDevice, EndInfo, Reason, Scope};
use crate::ids::{AccountId, DeviceId, SessionId, SignOutId};
use crate::session::Authenticated;
use crate::token::TokenHash;

/// The sessions that a sign-out ends: one session, or all up to an epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignOutTarget {
    /// The session of one device.
    One(EndedSession),
    /// Every session that began in this epoch or an earlier one.
    Epoch {
        /// The account's epoch when the sign-out was prepared. Only a jump, which nothing
        /// can outrun, may have ended a later one.
        from: Epoch,
        /// The last epoch that it ended.
        ended: Epoch,
        /// The one session that stays signed in.
        kept: Option<SessionId>,
    },
}

/// An ended session, with the details that its receipt shows of the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedSession {
    /// The device's id.
    pub device: DeviceId,
    /// The session's id.
    pub session: SessionId,
    /// The account's epoch when the session began.
    pub epoch: Epoch,
    /// The hash of the session's token, which can still acknowledge the end.
    pub token_hash: TokenHash,
    /// The hash of the token that the last verification replaced, which can, too.
    pub previous_token_hash: Option<TokenHash>,
    /// The device's name when its session ended.
    pub name: String,
    /// The device's type.
    pub device_type: DeviceType,
}

impl From<&Device> for EndedSession {
    fn from(device: &Device) -> Self {
        Self {
            device: device.id,
            session: device.session,
            epoch: device.epoch,
            token_hash: device.token_hash,
            previous_token_hash: device.previous_token.map(|previous| previous.hash),
            name: device.name().to_owned(),
            device_type: device.info.device_type,
        }
    }
}

/// The record of a sign-out: the header of its receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignOut {
    /// The account whose sessions it ends.
    pub account: AccountId,
    /// The sign-out's id.
    pub id: SignOutId,
    /// The kind of sign-out, seen from the caller's session.
    pub scope: Scope,
    /// The reason for the sign-out.
    pub reason: Reason,
    /// The time from which its sessions are refused.
    pub at: Timestamp,
    /// The device that requested it; `None` for an operator, wrong passwords, a recovery and
    /// an undo.
    pub by: Option<ByDevice>,
    /// The sessions that it ends.
    pub target: SignOutTarget,
}

impl SignOut {
    /// Creates the sign-out of the caller's own device.
    #[must_use]
    pub fn of_this(caller: &Authenticated, now: Timestamp, random: [u8; 10]) -> Self {
        Self::of_device(caller, &caller.device, now, random)
    }

    /// Creates the sign-out of a caller that has given too many wrong current passwords. No
    /// device requested it.
    #[must_use]
    pub fn of_guesser(caller: &Authenticated, now: Timestamp, random: [u8; 10]) -> Self {
        Self {
            reason: Reason::WrongPassword,
            ..Self::of_notice(&caller.device, now, random)
        }
    }

    /// Creates the sign-out of one device of the caller's account, which may be
    /// the caller's own.
    #[must_use]
    pub fn of_device(
        caller: &Authenticated,
        target: &Device,
        now: Timestamp,
        random: [u8; 10],
    ) -> Self {
        let is_caller = target.id == caller.device.id;
        Self {
            account: caller.account.id,
            id: SignOutId::new(now, random),
            scope: if is_caller {
                Scope::Local
            } else {
                Scope::Device
            },
            reason: Reason::SignedOut,
            at: now,
            by: Some(by(caller)),
            target: SignOutTarget::One(EndedSession::from(target)),
        }
    }

    /// Creates the sign-out of every device of the caller's account.
    /// `keep_caller` leaves the caller's own session signed in.
    #[must_use]
    pub fn of_all(
        caller: &Authenticated,
        keep_caller: bool,
        reason: Reason,
        now: Timestamp,
        random: [u8; 10],
    ) -> Self {
        Self {
            account: caller.account.id,
            id: SignOutId::new(now, random),
            scope: if keep_caller {
                Scope::Others
            } else {
                Scope::Global
            },
            reason,
            at: now,
            by: Some(by(caller)),
            target: SignOutTarget::Epoch {
                from: caller.account.epoch,
                ended: caller.account.epoch,
                kept: keep_caller.then_some(caller.device.session),
            },
        }
    }

    /// Creates the sign-out of the device that a notice is about, from the link in its mail.
    #[must_use]
    pub fn of_notice(target: &Device, now: Timestamp, random: [u8; 10]) -> Self {
        Self {
            account: target.account,
            id: SignOutId::new(now, random),
            scope: Scope::Device,
            reason: Reason::SignedOut,
            at: now,
            by: None,
            target: SignOutTarget::One(EndedSession::from(target)),
        }
    }

    /// Creates the sign-out of every other device by a device that signs in. It is a jump.
    #[must_use]
    pub fn at_sign_in(account: &Account, new: &Device, now: Timestamp, random: [u8; 10]) -> Self {
        Self {
            account: account.id,
            id: SignOutId::new(now, random),
            scope: Scope::Others,
            reason: Reason::SignedOut,
            at: now,
            by: Some(ByDevice {
                id: new.id,
                name: new.name().to_owned(),
            }),
            target: SignOutTarget::Epoch {
                from: account.epoch,
                ended: Epoch(account.epoch.after_jump().0 - 1),
                kept: Some(new.session),
            },
        }
    }

    /// Creates the sign-out of every device of an account that an operator
    /// disables.
    #[must_use]
    pub fn of_disabled(account: &Account, now: Timestamp, random: [u8; 10]) -> Self {
        Self {
            account: account.id,
            id: SignOutId::new(now, random),
            scope: Scope::Global,
            reason: Reason::AccountDisabled,
            at: now,
            by: None,
            target: SignOutTarget::Epoch {
                from: account.epoch,
                ended: account.epoch,
                kept: None,
            },
        }
    }

    /// Creates the sign-out of every device of an account that its owner recovers by
    /// its address. It is a jump.
    #[must_use]
    pub fn of_recovered(account: &Account, now: Timestamp, random: [u8; 10]) -> Self {
        Self {
            reason: Reason::Recovered,
            target: SignOutTarget::Epoch {
                from: account.epoch,
                ended: Epoch(account.epoch.after_jump().0 - 1),
                kept: None,
            },
            ..Self::of_disabled(account, now, random)
        }
    }

    /// Creates the sign-out of every device of an account whose changed address is undone. It
    /// is a jump.
    #[must_use]
    pub fn of_restored(account: &Account, now: Timestamp, random: [u8; 10]) -> Self {
        Self {
            reason: Reason::AddressRestored,
            ..Self::of_recovered(account, now, random)
        }
    }

    /// Creates the sign-out of every device of an account by an operator. It is a jump.
    #[must_use]
    pub fn by_operator(account: &Account, now: Timestamp, random: [u8; 10]) -> Self {
        Self {
            reason: Reason::SignedOut,
            ..Self::of_recovered(account, now, random)
        }
    }

    /// Returns the details to show to a device that this sign-out ended.
    #[must_use]
    pub fn end_info(&self) -> EndInfo {
        EndInfo {
            at: self.at,
            by: self.by.clone(),
            reason: self.reason,
            scope: self.scope,
            sign_out: self.id,
        }
    }

    /// Returns whether the transaction of this sign-out also replaced the password, or made it
    /// void.
    #[must_use]
    pub fn sets_password(&self) -> bool {
        match self.reason {
            Reason::PasswordChanged | Reason::Recovered | Reason::AddressRestored => true,
            Reason::SignedOut | Reason::AccountDisabled | Reason::WrongPassword => false,
        }
    }

    /// Returns the last epoch that this sign-out ended, if it ended any.
    #[must_use]
    pub fn last_ended(&self) -> Option<Epoch> {
        match self.target {
            SignOutTarget::Epoch { ended, .. } => Some(ended),
            SignOutTarget::One(_) => None,
        }
    }

    /// Returns whether this sign-out covers a session that began in the epoch
    /// `born`. An earlier sign-out may already have ended it.
    #[must_use]
    pub fn ends(&self, session: SessionId, born: Epoch) -> bool {
        match &self.target {
            SignOutTarget::One(one) => one.session == session,
            SignOutTarget::Epoch { ended, kept, .. } => born <= *ended && *kept != Some(session),
        }
    }

    /// Returns whether it is a jump: one that nothing can outrun.
    #[must_use]
    pub fn is_jump(&self) -> bool {
        matches!(&self.target, SignOutTarget::Epoch { from, ended, .. } if from != ended)
    }

    /// Returns whether it ended this epoch, if no other sign-out has.
    #[must_use]
    pub fn may_have_ended(&self, epoch: Epoch) -> bool {
        matches!(&self.target, SignOutTarget::Epoch { from, ended, .. }
            if (*from..=*ended).contains(&epoch))
    }

    /// Returns whether this sign-out ended the session in a row that no write has ended,
    /// by ending the last epoch that the session could be valid in. For a jump, only if no
    /// other sign-out has ended that epoch.
    #[must_use]
    pub fn is_end_of(&self, device: &Device) -> bool {
        match &self.target {
            SignOutTarget::One(_) => false,
            SignOutTarget::Epoch { kept, .. } => {
                self.may_have_ended(device.last_epoch) && *kept != Some(device.session)
            }
        }
    }
}

fn by(caller: &Authenticated) -> ByDevice {
    ByDevice {
        id: caller.device.id,
        name: caller.device.name().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn now() -> Timestamp {
        fixtures::now()
    }

    #[test]
    fn a_sign_out_of_the_callers_own_device_is_local() {
        let caller = fixtures::authenticated();
        let own = SignOut::of_this(&caller, now(), [1; 10]);
        assert_eq!(own.scope, Scope::Local);
        assert_eq!(own.account, caller.account.id);
        assert_eq!(own.by, Some(by(&caller)));
        assert_eq!(own.target, SignOutTarget::One((&caller.device).into()));
        let by_id = SignOut::of_device(&caller, &caller.device, now(), [1; 10]);
        assert_eq!(by_id, own);
    }

    #[test]
    fn a_sign_out_of_another_device_names_the_caller_and_ends_the_other() {
        let caller = fixtures::authenticated();
        let other = Device {
            id: DeviceId::new(now(), [8; 10]),
            session: SessionId::from_random([8; 16]),
            ..caller.device.clone()
        };
        let sign_out = SignOut::of_device(&caller, &other, now(), [1; 10]);
        assert_eq!(sign_out.scope, Scope::Device);
        assert_eq!(sign_out.by, Some(by(&caller)));
        assert_eq!(sign_out.target, SignOutTarget::One((&other).into()));
        assert!(sign_out.ends(other.session, other.epoch));
        assert!(!sign_out.ends(caller.device.session, caller.device.epoch));
    }

    #[test]
    fn a_sign_out_of_all_ends_the_caller_unless_it_keeps_them() {
        let caller = fixtures::authenticated();
        let (own, epoch) = (caller.device.session, caller.account.epoch);
        let other = SessionId::from_random([8; 16]);
        for keep_caller in [false, true] {
            let reason = Reason::PasswordChanged;
            let sign_out = SignOut::of_all(&caller, keep_caller, reason, now(), [1; 10]);
            assert_eq!(sign_out.reason, reason);
            assert_eq!(sign_out.scope.includes_caller(), !keep_caller);
            assert_eq!(sign_out.ends(own, epoch), !keep_caller);
            assert!(sign_out.ends(other, epoch));
            assert!(!sign_out.ends(other, epoch.next()));
        }
    }

    #[test]
    fn a_disabled_account_keeps_no_session_and_names_no_device() {
        let caller = fixtures::authenticated();
        let sign_out = SignOut::of_disabled(&caller.account, now(), [1; 10]);
        assert_eq!(sign_out.scope, Scope::Global);
        assert_eq!(sign_out.reason, Reason::AccountDisabled);
        assert_eq!(sign_out.by, None);
        assert!(sign_out.ends(caller.device.session, caller.account.epoch));
    }

    #[test]
    fn an_operator_ends_every_session_and_no_sign_out_in_between_prevents_it() {
        let caller = fixtures::authenticated();
        let sign_out = SignOut::by_operator(&caller.account, now(), [1; 10]);
        assert_eq!(sign_out.scope, Scope::Global);
        assert_eq!(sign_out.reason, Reason::SignedOut);
        assert_eq!(sign_out.by, None);
        assert!(sign_out.is_jump());
        assert!(!sign_out.sets_password());
        assert!(sign_out.ends(caller.device.session, caller.account.epoch));
        assert!(sign_out.ends(caller.device.session, Epoch(caller.account.epoch.0 + 1000)));
    }
}
