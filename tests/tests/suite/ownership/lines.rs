//! The lines of the table: what the thief has, and what the account is like.

use Part::{
    Codes, CodesAreKept, Factor, First, ForAnHour, Mailbox, MailboxIsLost, Password, Recognized,
    Session,
};

/// Something that the thief has, or that is special about the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The session of a recognized device, and its key.
    Recognized,
    /// The session of another device, and its key.
    Session,
    Password,
    /// The owner's only app.
    Factor,
    /// The mailbox of the account's address.
    Mailbox,
    /// The thief has the mailbox for an hour only.
    ForAnHour,
    /// The owner can't read it.
    MailboxIsLost,
    /// The owner has recovery codes.
    CodesAreKept,
    /// A copy of the owner's recovery codes.
    Codes,
    /// The thief has made the account, whose address nobody has confirmed.
    First,
}

/// What the thief has, as the page says it.
pub const THEFTS: [(&str, &[Part]); 13] = [
    ("token of a recognized device", &[Recognized]),
    ("token of another device", &[Session]),
    ("password", &[Password]),
    (
        "token of a recognized device, and password",
        &[Recognized, Password],
    ),
    ("mailbox, which the owner reads, too", &[Mailbox]),
    (
        "mailbox for an hour, which the owner reads, too",
        &[Mailbox, ForAnHour],
    ),
    (
        "recovery codes, and mailbox for an hour; the owner has both, too",
        &[Mailbox, ForAnHour, CodesAreKept, Codes],
    ),
    (
        "mailbox, and token of a recognized device (an open phone)",
        &[Recognized, Mailbox],
    ),
    (
        "open phone, and the owner's only factor",
        &[Recognized, Mailbox, Factor],
    ),
    (
        "token of a recognized device, and the owner's only factor; the owner has the mailbox back, and recovery codes",
        &[Recognized, Factor, CodesAreKept],
    ),
    (
        "registered the address first",
        &[Recognized, Password, First],
    ),
    (
        "password, and mailbox, which the owner reads, too",
        &[Password, Mailbox],
    ),
    (
        "mailbox, which the owner has lost",
        &[Mailbox, MailboxIsLost],
    ),
];

/// What the account is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    NoFactor,
    Factor,
    Forgot,
    NoMail,
    FactorLost,
}

/// What the account is like, as the page says it.
pub const ACCOUNTS: [(&str, Account); 5] = [
    ("address, no factor", Account::NoFactor),
    ("settled factor", Account::Factor),
    ("no factor, password forgotten", Account::Forgot),
    ("no mail in this deployment", Account::NoMail),
    ("settled factor, which is lost", Account::FactorLost),
];
