//! The moves of a player: what the rules let them do with what they have.

mod changes;

use super::rules::{Rule, Rules, is_held};
use super::state::{Address, Player, Side, State};
use crate::ownership::{Act, Caller, Proof, Remnant};

/// What stays as it is during a game.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct World {
    /// Whether the deployment sends mail.
    pub has_mail: bool,
    pub owner_reads_first_address: bool,
    pub thief_reads_first_address: bool,
    pub owner_has_own_factor: bool,
    pub thief_has_owners_factor: bool,
}

/// A player who looks for a move.
pub struct Turn<'a> {
    pub world: World,
    pub rules: Rules<'a>,
    pub player: Player,
    pub state: State,
}

/// A move, and the position after it.
pub type Moved = (&'static str, State);

impl Turn<'_> {
    /// Returns every move but waiting.
    pub fn moves(&self) -> Vec<Moved> {
        let all = [
            self.claim(),
            self.sign_in(),
            self.sign_in_and_end_others(),
            self.sign_out_global(),
            self.sign_out_others(),
            self.sign_out_device(),
            self.change_password(),
            self.change_password_and_keep_device(),
            self.ask_recovery(),
            self.recover(),
            self.lose_factor(),
            self.finish_lost_factor(),
            self.stop_lost_factor(),
            self.change_address(),
            self.press_in_old_mailbox(),
            self.press_factor_notice(),
            self.add_factor(),
            self.remove_factor(),
            self.make_codes(),
        ];
        let changes = |(_, state): &Moved| *state != self.state;
        let normal = |(name, state): Moved| (name, state.normal());
        let all = all.into_iter().flatten();
        all.map(normal).filter(changes).collect()
    }

    fn me(&self) -> &Side {
        self.state.side(self.player)
    }

    fn reads(&self, player: Player, address: Address) -> bool {
        let reads = match (address, player) {
            (Address::First, Player::Owner) => self.world.owner_reads_first_address,
            (Address::First, Player::Thief) => {
                self.world.thief_reads_first_address || self.state.is_mailbox_lent
            }
            (Address::Of(reader), player) => reader == player,
        };
        self.world.has_mail && reads
    }

    /// Returns whether the notice of what this player does goes to a mailbox in which they
    /// delete it.
    pub(super) fn deletes_notice(&self) -> bool {
        let has_mailbox = self.state.is_mailbox_lent && self.state.address == Address::First;
        has_mailbox && self.player == Player::Thief
    }

    fn gets_mail(&self) -> bool {
        self.reads(self.player, self.state.address)
    }

    fn counts(&self, age: u8) -> bool {
        let standing = self.rules.standing(age, self.world.has_mail);
        standing.counts()
    }

    /// Returns whether the account has a factor that counts.
    fn has_counting_factor(&self) -> bool {
        let factors = [self.state.owner.factor, self.state.thief.factor];
        factors.into_iter().flatten().any(|age| self.counts(age))
    }

    /// Returns the ages of the factors that this player can show.
    fn factors(&self) -> impl Iterator<Item = u8> {
        let (owners, thiefs) = match self.player {
            Player::Owner => (self.world.owner_has_own_factor, false),
            Player::Thief => (self.world.thief_has_owners_factor, true),
        };
        let owners = self.state.owner.factor.filter(|_| owners);
        let thiefs = self.state.thief.factor.filter(|_| thiefs);
        owners.into_iter().chain(thiefs)
    }

    fn proofs(&self) -> Vec<Proof> {
        let has_factor = self.factors().any(|age| self.counts(age));
        let all = [
            (self.me().knows_password, Proof::Password),
            (self.gets_mail(), Proof::AddressCode),
            (has_factor, Proof::Factor),
            (self.me().has_codes, Proof::RecoveryCode),
        ];
        let given = all.into_iter().filter(|(has, _)| *has);
        given.map(|(_, proof)| proof).collect()
    }

    fn caller(&self) -> Caller {
        Caller {
            is_recognized: self.me().is_recognized,
            has_factor: self.has_counting_factor(),
            has_mail: self.world.has_mail,
            is_external: false,
        }
    }

    /// Returns the position to change if the session may do this.
    fn allowed(&self, act: Act) -> Option<State> {
        let unproven = self.state.unproven;
        let is_allowed = self
            .rules
            .allows(act, self.caller(), &self.proofs(), unproven);
        let by_factor = self.has_counting_factor();
        let is_held = |held| is_held(held, act, by_factor);
        let is_held = self.state.held.is_some_and(is_held);
        (self.me().session.is_some() && is_allowed && !is_held).then_some(self.state)
    }

    fn proves_by_settled_factor(&self) -> bool {
        self.factors().any(|age| self.counts(age))
    }

    /// Ends sessions and recognition of a player.
    fn end(state: &mut State, player: Player) {
        let side = state.side_mut(player);
        side.session = None;
        side.is_recognized = false;
    }

    /// Ends what a sign-out or a new password ends besides sessions: nothing, unless a rule is
    /// left out.
    fn outrun(&self, state: &mut State) {
        let keeps_recovery = self.rules.has(Rule::RecoveryIsNotOutrun);
        let keeps_removal = self.rules.has(Rule::OnlyFactorStopsRemoval);
        for side in state.both() {
            side.has_asked_recovery &= keeps_recovery;
            side.lost_factor = side.lost_factor.filter(|_| keeps_removal);
        }
    }

    fn set_password(&self, state: &mut State) {
        state.side_mut(self.player).knows_password = true;
        state.side_mut(self.player.other()).knows_password = false;
    }

    /// The reader of an address that nobody has confirmed makes an account for it.
    fn claim(&self) -> Option<Moved> {
        let reads = self.reads(self.player, Address::First);
        if !self.state.is_unconfirmed || !reads {
            return None;
        }
        let mut state = self.state;
        if self.rules.has(Rule::ClaimLeavesNothing) {
            state = State {
                owner: Side::default(),
                thief: Side::default(),
                address: Address::First,
                is_unconfirmed: false,
                is_mailbox_lent: self.state.is_mailbox_lent,
                change: None,
                held: None,
                unproven: 0,
            };
        }
        state.is_unconfirmed = false;
        self.set_password(&mut state);
        state.side_mut(self.player).session = Some(0);
        Some(("confirms the address", state))
    }

    /// Returns the position after a sign-in.
    fn signed_in(&self) -> Option<State> {
        let has_factor = self
            .state
            .owner
            .factor
            .or(self.state.thief.factor)
            .is_some();
        let has_shown = self.factors().next().is_some() || self.me().has_codes;
        let is_enough = !has_factor || has_shown || self.me().is_recognized;
        let mut state = self.state;
        let me = state.side_mut(self.player);
        me.session = Some(0);
        me.is_recognized |= has_factor && has_shown || self.gets_mail();
        (self.me().knows_password && is_enough).then_some(state)
    }

    fn sign_in(&self) -> Option<Moved> {
        let is_out = self.me().session.is_none();
        let state = self.signed_in().filter(|_| is_out)?;
        Some(("signs in", state))
    }

    fn sign_in_and_end_others(&self) -> Option<Moved> {
        let mut state = self.signed_in()?;
        let after = Turn {
            state,
            ..Turn { ..*self }
        };
        after.allowed(Act::SignOutOthers)?;
        Self::end(&mut state, self.player.other());
        self.outrun(&mut state);
        let is_built = self.rules.has(Rule::SignInEndsOthers);
        is_built.then_some(("signs in and signs out all others", state))
    }

    fn sign_out_global(&self) -> Option<Moved> {
        let mut state = self.allowed(Act::SignOutGlobal)?;
        Self::end(&mut state, Player::Owner);
        Self::end(&mut state, Player::Thief);
        self.outrun(&mut state);
        Some(("signs out all devices", state))
    }

    fn sign_out_others(&self) -> Option<Moved> {
        let mut state = self.allowed(Act::SignOutOthers)?;
        Self::end(&mut state, self.player.other());
        self.outrun(&mut state);
        Some(("signs out all others", state))
    }

    fn sign_out_device(&self) -> Option<Moved> {
        let mut state = self.allowed(Act::SignOutDevice)?;
        let other = self.player.other();
        state.side(other).session?;
        Self::end(&mut state, other);
        let is_verified = self.rules.is_verified(self.caller(), &self.proofs());
        if !is_verified {
            state.unproven = (state.unproven + 1).min(3);
        }
        Some(("signs out the other's device", state))
    }

    fn change_password(&self) -> Option<Moved> {
        let mut state = self.allowed(Act::ChangePassword)?;
        Self::end(&mut state, Player::Owner);
        Self::end(&mut state, Player::Thief);
        self.outrun(&mut state);
        self.set_password(&mut state);
        let knows = self.me().knows_password;
        knows.then_some(("changes the password", state))
    }

    fn change_password_and_keep_device(&self) -> Option<Moved> {
        self.allowed(Act::KeepDevice)?;
        let (_, mut state) = self.change_password()?;
        *state.side_mut(self.player) = *self.me();
        Some(("changes the password and keeps the device", state))
    }

    fn ask_recovery(&self) -> Option<Moved> {
        let mut state = self.state;
        state.side_mut(self.player).has_asked_recovery = true;
        let can_ask = self.gets_mail() && !self.state.is_unconfirmed;
        can_ask.then_some(("asks for a recovery", state))
    }

    fn recover(&self) -> Option<Moved> {
        let has_asked = self.me().has_asked_recovery && self.gets_mail();
        let is_proven = self
            .rules
            .can_recover(self.has_counting_factor(), &self.proofs());
        let state = self.recovered();
        (has_asked && is_proven).then_some(("completes the recovery", state))
    }

    /// Returns the position after a recovery.
    fn recovered(&self) -> State {
        let mut state = self.state;
        self.leave(&mut state, |remnant| self.rules.survives_recovery(remnant));
        self.set_password(&mut state);
        state.held = self.rules.after_recovery(self.state.held);
        state
    }

    /// Removes from both players what does not survive.
    fn leave(&self, state: &mut State, survives: impl Fn(Remnant) -> bool) {
        for side in state.both() {
            let keeps = |age: &u8| {
                self.rules.keeps_factor(*age, self.world.has_mail) && {
                    let is_settled = self.counts(*age);
                    !is_settled || survives(Remnant::SettledFactor)
                }
            };
            *side = Side {
                session: side.session.filter(|_| survives(Remnant::Session)),
                is_recognized: side.is_recognized && survives(Remnant::Recognition),
                knows_password: side.knows_password && survives(Remnant::Password),
                factor: side.factor.filter(keeps),
                factor_was_told: side.factor_was_told,
                has_codes: side.has_codes && survives(Remnant::RecoveryCodes),
                has_asked_recovery: false,
                lost_factor: side
                    .lost_factor
                    .filter(|_| survives(Remnant::PendingChange)),
            };
        }
        state.held = state.held.filter(|_| survives(Remnant::Hold));
    }
}
