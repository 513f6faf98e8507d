//! The lines of the table: what the thief has, and what the account is like.

use super::moves::World;
use super::state::{Address, Player, SETTLED, Side, State};

/// What the thief has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theft {
    RecognizedToken,
    Token,
    Password,
    TokenAndPassword,
    Mailbox,
    MailboxForAnHour,
    OpenPhone,
    PhoneWithFactor,
    ThiefFirst,
    PasswordAndMailbox,
    MailboxAlone,
    PhoneWithFactorCodesKept,
    CodesAndMailboxForAnHour,
}

/// What the account is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    NoFactor,
    Factor,
    Forgot,
    NoMail,
    FactorLost,
}

pub const THEFTS: [(Theft, &str); 13] = [
    (Theft::RecognizedToken, "token of a recognized device"),
    (Theft::Token, "token of another device"),
    (Theft::Password, "password"),
    (
        Theft::TokenAndPassword,
        "token of a recognized device, and password",
    ),
    (Theft::Mailbox, "mailbox, which the owner reads, too"),
    (
        Theft::MailboxForAnHour,
        "mailbox for an hour, which the owner reads, too",
    ),
    (
        Theft::CodesAndMailboxForAnHour,
        "recovery codes, and mailbox for an hour; the owner has both, too",
    ),
    (
        Theft::OpenPhone,
        "mailbox, and token of a recognized device (an open phone)",
    ),
    (
        Theft::PhoneWithFactor,
        "open phone, and the owner's only factor",
    ),
    (
        Theft::PhoneWithFactorCodesKept,
        "token of a recognized device, and the owner's only factor; the owner has the mailbox back, and recovery codes",
    ),
    (Theft::ThiefFirst, "registered the address first"),
    (
        Theft::PasswordAndMailbox,
        "password, and mailbox, which the owner reads, too",
    ),
    (Theft::MailboxAlone, "mailbox, which the owner has lost"),
];

pub const SETTINGS: [(Setting, &str); 5] = [
    (Setting::NoFactor, "address, no factor"),
    (Setting::Factor, "settled factor"),
    (Setting::Forgot, "no factor, password forgotten"),
    (Setting::NoMail, "no mail in this deployment"),
    (Setting::FactorLost, "settled factor, which is lost"),
];

impl Theft {
    fn has_session(self) -> bool {
        use Theft::{Mailbox, MailboxAlone, Password, PasswordAndMailbox};
        let has_none = matches!(self, Password | Mailbox | PasswordAndMailbox | MailboxAlone);
        !has_none && !self.has_mailbox_for_an_hour()
    }

    fn has_password(self) -> bool {
        use Theft::{Password, PasswordAndMailbox, ThiefFirst, TokenAndPassword};
        matches!(
            self,
            Password | TokenAndPassword | ThiefFirst | PasswordAndMailbox
        )
    }

    fn has_mailbox(self) -> bool {
        use Theft::{Mailbox, MailboxAlone, OpenPhone, PasswordAndMailbox, PhoneWithFactor};
        matches!(
            self,
            Mailbox | MailboxAlone | OpenPhone | PasswordAndMailbox | PhoneWithFactor
        )
    }

    fn has_mailbox_for_an_hour(self) -> bool {
        matches!(
            self,
            Self::MailboxForAnHour | Self::CodesAndMailboxForAnHour
        )
    }

    fn has_factor(self) -> bool {
        matches!(self, Self::PhoneWithFactor | Self::PhoneWithFactorCodesKept)
    }

    /// Returns whether the line exists.
    pub fn is_with(self, setting: Setting) -> bool {
        match self {
            _ if setting == Setting::FactorLost => self == Self::TokenAndPassword,
            Self::PhoneWithFactor
            | Self::PhoneWithFactorCodesKept
            | Self::CodesAndMailboxForAnHour => setting == Setting::Factor,
            Self::ThiefFirst => setting != Setting::Factor,
            Self::MailboxForAnHour | Self::PasswordAndMailbox | Self::MailboxAlone => {
                matches!(setting, Setting::NoFactor | Setting::Factor)
            }
            _ => true,
        }
    }
}

/// Returns the position at the start of a line, and what stays as it is.
pub fn start(theft: Theft, setting: Setting) -> (World, State) {
    let world = World {
        has_mail: setting != Setting::NoMail,
        owner_reads_first_address: theft != Theft::MailboxAlone,
        thief_reads_first_address: theft.has_mailbox(),
        owner_has_own_factor: !theft.has_factor() && setting != Setting::FactorLost,
        thief_has_owners_factor: theft.has_factor(),
    };
    let is_first = theft == Theft::ThiefFirst;
    let have_both_codes = theft == Theft::CodesAndMailboxForAnHour;
    let has_factor = matches!(setting, Setting::Factor | Setting::FactorLost);
    let owner = Side {
        knows_password: setting != Setting::Forgot && !is_first,
        factor: has_factor.then_some(SETTLED),
        has_codes: have_both_codes || theft == Theft::PhoneWithFactorCodesKept,
        ..Side::default()
    };
    let thief = Side {
        session: theft.has_session().then_some(0),
        is_recognized: theft.has_session() && theft != Theft::Token,
        knows_password: theft.has_password(),
        has_codes: have_both_codes,
        ..Side::default()
    };
    let state = State {
        owner,
        thief,
        address: Address::First,
        is_unconfirmed: is_first,
        is_mailbox_lent: theft.has_mailbox_for_an_hour(),
        change: None,
        held: None,
        unproven: 0,
    };
    (world, state)
}

/// Returns whether a player has the account for now: a session, the password and the
/// address, and the other neither session nor factor.
pub fn is_in_control(world: World, state: &State, player: Player) -> bool {
    let (me, other) = (state.side(player), state.side(player.other()));
    let has_address = match (state.address, player) {
        _ if !world.has_mail => true,
        (Address::Of(reader), _) => reader == player,
        (Address::First, Player::Owner) => world.owner_reads_first_address,
        (Address::First, Player::Thief) => world.thief_reads_first_address || state.is_mailbox_lent,
    };
    let has_entry = me.session.is_some() && me.knows_password && has_address;
    has_entry && other.session.is_none() && other.factor.is_none()
}

impl Theft {
    pub fn name(self) -> &'static str {
        let named = THEFTS.iter().find(|(theft, _)| *theft == self);
        named.map_or("", |(_, name)| name)
    }
}

impl Setting {
    pub fn name(self) -> &'static str {
        let named = SETTINGS.iter().find(|(setting, _)| *setting == self);
        named.map_or("", |(_, name)| name)
    }
}
