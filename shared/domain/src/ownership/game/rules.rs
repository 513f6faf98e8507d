//! The product's rules as the game asks them, each of which can be left out.

use jiff::{SignedDuration, Timestamp};

use super::state::{HALF_WEEK, Held};
use crate::ownership::recovery::accepted_at_recovery;
use crate::ownership::{
    Act, AddressHistory, Caller, Factor, FactorStanding, Hold, HoldCause, LostFactor, Proof,
    Proven, Remnant, Undo,
};

/// A rule that can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    Verification,
    OthersNeedProof,
    BothProofs,
    FactorProves,
    YoungCountsNothing,
    RecoveryEndsYoung,
    RecoveryEndsSessions,
    RecoveryEndsRecognition,
    RecoveryNeedsFactor,
    RecoveryIsNotOutrun,
    RecoveryHolds,
    LostFactorWaits,
    Undo,
    UndoEndsSessions,
    WarningOnly,
    ClaimLeavesNothing,
    SignInEndsOthers,
    FewUnproven,
    FactorNotice,
    RecoveryEndsCodes,
    OnlyFactorStopsRemoval,
    OneChangeAtATime,
}

impl Rule {
    pub const ALL: [Self; 22] = [
        Self::Verification,
        Self::OthersNeedProof,
        Self::BothProofs,
        Self::FactorProves,
        Self::YoungCountsNothing,
        Self::RecoveryEndsYoung,
        Self::RecoveryEndsSessions,
        Self::RecoveryEndsRecognition,
        Self::RecoveryNeedsFactor,
        Self::RecoveryIsNotOutrun,
        Self::RecoveryHolds,
        Self::LostFactorWaits,
        Self::Undo,
        Self::UndoEndsSessions,
        Self::WarningOnly,
        Self::ClaimLeavesNothing,
        Self::SignInEndsOthers,
        Self::FewUnproven,
        Self::FactorNotice,
        Self::RecoveryEndsCodes,
        Self::OnlyFactorStopsRemoval,
        Self::OneChangeAtATime,
    ];
}

/// The rules, without those that are left out.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    pub without: &'a [Rule],
}

/// The time of every position: what counts is how old things are.
const NOW: Timestamp = Timestamp::constant(1_795_000_000, 0);

fn ago(age: u8) -> Timestamp {
    NOW - SignedDuration::from_hours(HALF_WEEK * i64::from(age))
}

impl Rules<'_> {
    pub fn has(self, rule: Rule) -> bool {
        !self.without.contains(&rule)
    }

    /// Returns whether a session may do what needs a proof.
    pub fn allows(self, act: Act, caller: Caller, proofs: &[Proof], unproven: u8) -> bool {
        let is_left_out = match act {
            Act::SignOutOthers => !self.has(Rule::OthersNeedProof),
            Act::SignOutDevice => !self.has(Rule::FewUnproven) && caller.is_recognized,
            _ => false,
        };
        let needs = act.needs_verification(caller.is_recognized, u32::from(unproven), 3);
        !needs || is_left_out || self.is_verified(caller, proofs)
    }

    /// Returns whether these proofs are accepted.
    pub fn is_verified(self, caller: Caller, proofs: &[Proof]) -> bool {
        let caller = Caller {
            is_recognized: caller.is_recognized || !self.has(Rule::BothProofs),
            has_factor: caller.has_factor && self.has(Rule::FactorProves),
            ..caller
        };
        let given = |proof: &Proof| Proven {
            proof: *proof,
            at: NOW,
        };
        let proven: Vec<_> = proofs.iter().map(given).collect();
        !self.has(Rule::Verification) || caller.is_verified(&proven, NOW)
    }

    /// Returns how far a factor of this age has come.
    pub fn standing(self, age: u8, has_mail: bool) -> FactorStanding {
        let added_at = ago(age);
        let factor = Factor {
            added_at,
            notified_at: has_mail.then_some(added_at),
        };
        let address = AddressHistory {
            has_mail,
            confirmed_at: None,
            recovered_at: None,
        };
        match factor.standing(&address, NOW) {
            FactorStanding::Young if !self.has(Rule::YoungCountsNothing) => FactorStanding::Settled,
            standing => standing,
        }
    }

    /// Returns whether a factor is left by a recovery or an undo.
    pub fn keeps_factor(self, age: u8, has_mail: bool) -> bool {
        let added_at = ago(age);
        let factor = Factor {
            added_at,
            notified_at: has_mail.then_some(added_at),
        };
        let address = AddressHistory {
            has_mail,
            confirmed_at: None,
            recovered_at: Some(NOW),
        };
        factor.standing(&address, NOW) != FactorStanding::Ended
            || !self.has(Rule::RecoveryEndsYoung)
    }

    /// Returns whether these proofs are enough for a recovery.
    pub fn can_recover(self, has_settled_factor: bool, proofs: &[Proof]) -> bool {
        let accepted =
            accepted_at_recovery(has_settled_factor && self.has(Rule::RecoveryNeedsFactor));
        let is_given = |proof: &Proof| proofs.contains(proof);
        accepted.iter().any(|all| all.iter().all(is_given))
    }

    /// Returns whether a recovery leaves something.
    pub fn survives_recovery(self, remnant: Remnant) -> bool {
        let is_left_out = match remnant {
            Remnant::Session => !self.has(Rule::RecoveryEndsSessions),
            Remnant::Recognition => !self.has(Rule::RecoveryEndsRecognition),
            Remnant::RecoveryCodes => !self.has(Rule::RecoveryEndsCodes),
            _ => false,
        };
        is_left_out || remnant.survives_recovery()
    }

    /// Returns whether an undo leaves something.
    pub fn survives_undo(self, remnant: Remnant) -> bool {
        let is_entry = matches!(
            remnant,
            Remnant::Session | Remnant::Recognition | Remnant::Password
        );
        remnant.survives_undo() || is_entry && !self.has(Rule::UndoEndsSessions)
    }

    pub fn undo(self, age: u8, by_settled_factor: bool) -> Undo {
        if !self.has(Rule::Undo) {
            return Undo::Expired;
        }
        let by_settled_factor = by_settled_factor && self.has(Rule::WarningOnly);
        Undo::of(ago(age), by_settled_factor, NOW)
    }

    /// Returns the hold after a recovery.
    pub fn after_recovery(self, running: Option<Held>) -> Option<Held> {
        if !self.has(Rule::RecoveryHolds) {
            return running;
        }
        let hold = Hold::after_recovery(running.map(hold_of), NOW);
        let is_new = hold.began_at == NOW;
        running.filter(|_| !is_new).or(Some(Held {
            is_warning: hold.cause == HoldCause::Warning,
            age: 0,
        }))
    }

    pub fn lost_factor(self, proofs: &[Proof]) -> LostFactor {
        match LostFactor::by(proofs) {
            LostFactor::AfterWait if !self.has(Rule::LostFactorWaits) => LostFactor::Now,
            other => other,
        }
    }
}

/// Returns whether a hold holds an act.
pub fn is_held(held: Held, act: Act, by_earlier_factor: bool) -> bool {
    hold_of(held).holds(act, by_earlier_factor, NOW)
}

/// Returns whether a lost factor is removed that was reported so long ago.
pub fn is_lost_factor_due(age: u8) -> bool {
    LostFactor::is_due(ago(age), NOW)
}

fn hold_of(held: Held) -> Hold {
    let cause = if held.is_warning {
        HoldCause::Warning
    } else {
        HoldCause::Recovery
    };
    Hold {
        cause,
        began_at: ago(held.age),
    }
}
