//! Moves that change the address and the factors.

use super::super::rules::{Rule, is_lost_factor_due};
use super::super::state::{Address, Change, Held, SETTLED, State};
use super::{Moved, Turn};
use crate::ownership::{Act, LostFactor, Undo};

impl Turn<'_> {
    pub(super) fn lose_factor(&self) -> Option<Moved> {
        let is_possible = self.has_counting_factor() && self.me().lost_factor.is_none();
        match self.rules.lost_factor(&self.proofs()) {
            _ if !is_possible => None,
            // Nobody who can show a factor needs the slow way.
            LostFactor::AfterWait if !self.proves_by_settled_factor() => {
                let mut state = self.state;
                state.side_mut(self.player).lost_factor = Some(0);
                Some(("reports the factor as lost", state))
            }
            LostFactor::Now => {
                let mut state = self.recovered();
                remove_factors(&mut state);
                Some(("reports the factor as lost, and recovers", state))
            }
            LostFactor::AfterWait | LostFactor::Refused => None,
        }
    }

    pub(super) fn finish_lost_factor(&self) -> Option<Moved> {
        let is_due = self.me().lost_factor.is_some_and(is_lost_factor_due);
        let mut state = self.state;
        remove_factors(&mut state);
        is_due.then_some(("gets the lost factor removed", state))
    }

    pub(super) fn stop_lost_factor(&self) -> Option<Moved> {
        let mut state = self.state;
        state.side_mut(self.player.other()).lost_factor = None;
        let is_pressed = !self.rules.has(Rule::OnlyFactorStopsRemoval) && self.gets_mail();
        let can_stop = self.proves_by_settled_factor() || self.me().has_codes || is_pressed;
        can_stop.then_some(("stops the removal of the factor", state))
    }

    pub(super) fn change_address(&self) -> Option<Moved> {
        let mut state = self.allowed(Act::ChangeAddress)?;
        let own = Address::Of(self.player);
        let undo = |change: Change| self.rules.undo(change.age, change.by_settled_factor);
        let is_open = state.change.is_some_and(|change| undo(change).is_open());
        let is_held = is_open && self.rules.has(Rule::OneChangeAtATime);
        let is_again = state.address == own;
        // Changing it again only matters while the last change can be undone.
        let is_useless = is_again && !is_open;
        if !self.world.has_mail || is_useless || is_held {
            return None;
        }
        state.change = Some(Change {
            from: state.address,
            age: 0,
            by_settled_factor: self.has_counting_factor(),
            is_hidden: self.deletes_notice(),
        });
        state.address = own;
        for side in state.both() {
            side.has_asked_recovery = false;
        }
        let name = if is_again {
            "changes the address again"
        } else {
            "changes the address"
        };
        Some((name, state))
    }

    pub(super) fn press_in_old_mailbox(&self) -> Option<Moved> {
        let change = self.state.change?;
        let reads = self.reads(self.player, change.from) && !change.is_hidden;
        let mut state = self.state;
        state.change = None;
        match self.rules.undo(change.age, change.by_settled_factor) {
            Undo::Undoes if reads => {
                self.leave(&mut state, |remnant| self.rules.survives_undo(remnant));
                state.address = change.from;
                Some(("presses in the old mailbox", state))
            }
            Undo::Holds if reads => {
                state.held = Some(Held {
                    is_warning: true,
                    age: 0,
                });
                Some(("presses in the old mailbox, which only warns", state))
            }
            _ => None,
        }
    }

    pub(super) fn press_factor_notice(&self) -> Option<Moved> {
        let other = self.player.other();
        let mut state = self.state;
        if !state.side(other).factor_was_told || !self.rules.has(Rule::FactorNotice) {
            return None;
        }
        state.side_mut(other).factor = None;
        Self::end(&mut state, other);
        Some(("presses in the notice of the new factor", state))
    }

    pub(super) fn add_factor(&self) -> Option<Moved> {
        let mut state = self.allowed(Act::AddFactor)?;
        let is_told = self.reads(self.player.other(), state.address) && !self.deletes_notice();
        let has_mail = self.world.has_mail;
        let counts = self.rules.standing(0, has_mail).counts();
        let me = state.side_mut(self.player);
        if me.factor.is_some() {
            return None;
        }
        me.factor = Some(if counts && !has_mail { SETTLED } else { 0 });
        me.factor_was_told = is_told;
        Some(("adds a factor", state))
    }

    pub(super) fn remove_factor(&self) -> Option<Moved> {
        let mut state = self.allowed(Act::RemoveFactor)?;
        state.side_mut(self.player.other()).factor = None;
        Some(("removes the other's factor", state))
    }

    pub(super) fn make_codes(&self) -> Option<Moved> {
        let mut state = self.allowed(Act::MakeRecoveryCodes)?;
        state.side_mut(self.player).has_codes = true;
        state.side_mut(self.player.other()).has_codes = false;
        // Only where codes are at stake: elsewhere who can make them has a factor anyway.
        let has_codes = self.state.owner.has_codes || self.state.thief.has_codes;
        let is_at_stake = self.world.thief_has_owners_factor || has_codes;
        let is_possible = is_at_stake && self.has_counting_factor();
        is_possible.then_some(("makes new recovery codes", state))
    }
}

fn remove_factors(state: &mut State) {
    for side in state.both() {
        side.factor = None;
        side.lost_factor = None;
    }
}
