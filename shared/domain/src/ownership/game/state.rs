//! A position of the game: who holds what, and how old it is in half weeks.

/// The hours of a half week. The rules' times of 72 hours and of seven days end at the end
/// of one and of two.
pub const HALF_WEEK: i64 = 84;

/// The ages, in half weeks, at which nothing changes any more.
pub const SETTLED: u8 = 2;
pub const WAITED: u8 = 1;

/// A player.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Player {
    Owner,
    Thief,
}

impl Player {
    pub fn other(self) -> Self {
        match self {
            Self::Owner => Self::Thief,
            Self::Thief => Self::Owner,
        }
    }
}

/// The account's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// The one that the account had at the start.
    First,
    /// One whose mail this player alone reads.
    Of(Player),
}

/// What one player has.
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Side {
    /// The age of the session.
    pub session: Option<u8>,
    pub is_recognized: bool,
    pub knows_password: bool,
    /// The age of the factor that this player has added.
    pub factor: Option<u8>,
    /// Whether the other player got the factor's notice.
    pub factor_was_told: bool,
    pub has_codes: bool,
    pub has_asked_recovery: bool,
    /// The age of a request to remove lost factors.
    pub lost_factor: Option<u8>,
}

/// A change of the address that can be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Change {
    pub from: Address,
    pub age: u8,
    pub by_settled_factor: bool,
    /// Whether the thief has deleted its notice, so that the owner has nothing to press.
    pub is_hidden: bool,
}

/// A hold, with its age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Held {
    pub is_warning: bool,
    pub age: u8,
}

/// A position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct State {
    pub owner: Side,
    pub thief: Side,
    pub address: Address,
    /// Whether nobody has ever confirmed the address.
    pub is_unconfirmed: bool,
    /// Whether the thief still has the mailbox that they have for an hour.
    pub is_mailbox_lent: bool,
    pub change: Option<Change>,
    pub held: Option<Held>,
    /// The single devices that the thief has signed out today without a proof.
    pub unproven: u8,
}

impl State {
    pub fn side(&self, player: Player) -> &Side {
        match player {
            Player::Owner => &self.owner,
            Player::Thief => &self.thief,
        }
    }

    pub fn side_mut(&mut self, player: Player) -> &mut Side {
        match player {
            Player::Owner => &mut self.owner,
            Player::Thief => &mut self.thief,
        }
    }

    pub fn both(&mut self) -> [&mut Side; 2] {
        [&mut self.owner, &mut self.thief]
    }

    /// Lets half a week pass.
    pub fn later(mut self) -> Self {
        let older = |age: u8, last: u8| last.min(age + 1);
        for side in self.both() {
            side.session = side.session.map(|age| older(age, SETTLED));
            side.is_recognized |= side.session == Some(SETTLED);
            side.factor = side.factor.map(|age| older(age, SETTLED));
            side.lost_factor = side.lost_factor.map(|age| older(age, WAITED));
            side.has_asked_recovery = false;
        }
        let aged = |change: Change| Change {
            age: change.age + 1,
            ..change
        };
        let can_be_undone = |change: &Change| change.age < SETTLED;
        self.change = self.change.map(aged).filter(can_be_undone);
        let aged = |held: Held| Held {
            age: held.age + 1,
            ..held
        };
        self.held = self.held.map(aged).filter(|held| held.age < WAITED);
        self.unproven = 0;
        self.is_mailbox_lent = false;
        self.normal()
    }

    /// Leaves out what nobody can tell apart: the owner's device counts as not recognized,
    /// which can only cost the owner; the age of a recognized session decides nothing.
    pub fn normal(mut self) -> Self {
        self.owner.is_recognized = false;
        self.owner.session = self.owner.session.map(|_| 0);
        if self.thief.is_recognized {
            self.thief.session = self.thief.session.map(|_| 0);
        }
        for side in self.both() {
            side.factor_was_told &= side.factor.is_some_and(|age| age < SETTLED);
        }
        self
    }
}
