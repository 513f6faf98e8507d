//! Decides which mail a message becomes.

use domain::notice::NOTICE_LINK_LIFETIME;
use domain::{EmailAddress, Timestamp};
use jiff::SignedDuration;
use mail::{Challenge, Language, Message, Notice};

use store::AddressOwner;

use crate::facts::{Facts, FailureFacts};
use crate::{Deps, Error};

/// A mail with what its text says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mail {
    /// The code that proves an address, for a new account.
    ConfirmAddress { code: String, link: String },
    /// A new account was asked for with an address that has one.
    AddressTaken { link: String },
    /// The code with which an account is recovered.
    PasswordReset { code: String, link: String },
    /// The code that gives a few tries to sign in.
    Pass { code: String, link: String },
    /// The code for a verification. It has no link: only the session that asked can use it.
    Verification { code: String },
    /// The code that changes the address of an account to this one. It has no link, as for a
    /// verification.
    ChangeAddress { code: String },
    /// The code that asks for the removal of lost factors. It has no link, as for a verification.
    LostFactor { code: String },
    /// Something was asked for with an address that an account had until a change, which its
    /// mailbox can still undo.
    AddressKept { link: String },
    /// A recovery or a sign-in was asked for, and there is no such account.
    NoAccount { link: String },
    /// A device that was not known signed in. If the link of the notice has expired, the
    /// mail links to the page.
    SignedIn {
        facts: Facts,
        link: String,
        is_expired: bool,
    },
    /// A device signed out others.
    SignedOut { facts: Facts, link: String },
    /// The password was changed.
    PasswordChanged { facts: Facts, link: String },
    /// The account was recovered.
    Recovered { facts: Facts, link: String },
    /// The address was changed. For the mailbox before, which can undo it.
    AddressChanged {
        facts: Facts,
        link: String,
        is_expired: bool,
    },
    /// A change of the address was undone. For the address that is back.
    AddressRestored { facts: Facts, link: String },
    /// The mailbox before a change of the address warned of it. For the account's address.
    AddressWarned { facts: Facts, link: String },
    /// A change was undone. For the address that the account no longer has.
    AddressLost { facts: Facts, link: String },
    /// An authenticator app was added. Its link removes it, unless it has expired.
    FactorAdded {
        facts: Facts,
        link: String,
        is_expired: bool,
    },
    /// An authenticator app was removed.
    FactorRemoved { facts: Facts, link: String },
    /// New recovery codes were made.
    RecoveryCodesMade { facts: Facts, link: String },
    /// A recovery code was used.
    RecoveryCodeUsed { facts: Facts, link: String },
    /// Codes by mail at sign-ins were turned off.
    SignInCodesOff { facts: Facts, link: String },
    /// Somebody knew the password, and did not complete the second step.
    SecondStepMissing { facts: Facts, link: String },
    /// Somebody with the password and the mail asked to have the authenticator apps removed.
    FactorRemovalAsked { facts: Facts, link: String },
    /// A device was signed out because it gave wrong passwords.
    WrongPassword { facts: Facts, link: String },
    /// Somebody gave many wrong passwords in a row.
    ManyFailures {
        facts: Facts,
        failures: FailureFacts,
        link: String,
    },
}

/// Who a mail goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addressee {
    pub email: EmailAddress,
    pub language: Language,
    /// Whether an account has proven the address, or has it and its password was shown. Mails
    /// to strangers must not use up what SES allows the owners' mails.
    pub is_proven: bool,
    /// The account and the notice, which SES repeats if the mail comes back.
    pub notice: Option<[String; 2]>,
}

impl Mail {
    /// Returns its name, which is that of its template and of its line in the log.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::ConfirmAddress { .. } => "confirm-address",
            Self::AddressTaken { .. } => "address-taken",
            Self::PasswordReset { .. } => "password-reset",
            Self::Pass { .. } => "pass",
            Self::Verification { .. } => "verification",
            Self::ChangeAddress { .. } => "change-address",
            Self::LostFactor { .. } => "lost-factor",
            Self::AddressKept { .. } => "address-kept",
            Self::NoAccount { .. } => "no-account",
            Self::SignedIn { .. } => "signed-in",
            Self::SignedOut { .. } => "signed-out",
            Self::PasswordChanged { .. } => "password-changed",
            Self::Recovered { .. } => "recovered",
            Self::AddressChanged { .. } => "address-changed",
            Self::AddressRestored { .. } => "address-restored",
            Self::AddressLost { .. } => "address-lost",
            Self::AddressWarned { .. } => "address-warned",
            Self::FactorAdded { .. } => "factor-added",
            Self::FactorRemoved { .. } => "factor-removed",
            Self::RecoveryCodesMade { .. } => "recovery-codes-made",
            Self::RecoveryCodeUsed { .. } => "recovery-code-used",
            Self::SignInCodesOff { .. } => "sign-in-codes-off",
            Self::SecondStepMissing { .. } => "second-step-missing",
            Self::FactorRemovalAsked { .. } => "factor-removal-asked",
            Self::WrongPassword { .. } => "wrong-password",
            Self::ManyFailures { .. } => "many-failures",
        }
    }

    /// Returns whether somebody waits for a code in it.
    #[must_use]
    pub fn has_code(&self) -> bool {
        matches!(
            self,
            Self::ConfirmAddress { .. }
                | Self::PasswordReset { .. }
                | Self::Pass { .. }
                | Self::Verification { .. }
                | Self::ChangeAddress { .. }
                | Self::LostFactor { .. }
        )
    }
}

/// Whose address it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// No account has it.
    Nobody,
    /// An account has it, but never proved it. The first account that proves it gets it.
    Unconfirmed,
    /// An account has proven it.
    Confirmed,
    /// An account had it, and its mailbox can still undo the change.
    Former,
}

/// Returns the mail that a message becomes, and who it goes to.
pub(crate) async fn choose(deps: &Deps, message: &Message) -> Result<(Mail, Addressee), Error> {
    match message {
        Message::ConfirmAddress(challenge)
        | Message::PasswordReset(challenge)
        | Message::Pass(challenge)
        | Message::Verification(challenge)
        | Message::ChangeAddress(challenge)
        | Message::LostFactor(challenge) => of_challenge(deps, message, challenge).await,
        Message::Notice(notice) => of_notice(&deps.page_url, notice, deps.clock.now()),
    }
}

/// Returns the mail about an event.
fn of_notice(page: &str, notice: &Notice, now: Timestamp) -> Result<(Mail, Addressee), Error> {
    let mail = about(notice, Links::of(page, notice, now))?;
    let addressee = Addressee {
        email: EmailAddress::parse(&notice.email)?,
        language: notice.language,
        is_proven: true,
        // Whether the mail to a lost address comes back says nothing about the account's.
        notice: (notice.event != "address_lost")
            .then(|| [notice.account_id.clone(), notice.notice_id.clone()]),
    };
    Ok((mail, addressee))
}

/// What the mail of a notice may link to.
struct Links {
    /// The page.
    home: String,
    /// The receipt, if the notice is about a sign-out.
    receipt: Option<String>,
    /// Where the owner answers the notice, if it takes an answer: the page once the link has
    /// expired.
    press: Option<String>,
    is_expired: bool,
}

impl Links {
    fn of(page: &str, notice: &Notice, now: Timestamp) -> Self {
        let age = SignedDuration::from_secs(now.as_second() - notice.at_s);
        let is_expired = age >= NOTICE_LINK_LIFETIME;
        let receipt = |id: &String| format!("{page}#/sign-outs/{id}");
        let press = |secret: &String| {
            if is_expired {
                page.to_owned()
            } else {
                format!("{page}#/notice/{secret}")
            }
        };
        Self {
            home: page.to_owned(),
            receipt: notice.sign_out.as_ref().map(receipt),
            press: notice.link_secret.as_ref().map(press),
            is_expired,
        }
    }
}

/// Returns what the mail about an event says.
fn about(notice: &Notice, links: Links) -> Result<Mail, Error> {
    let facts = Facts::of(notice);
    let (home, is_expired) = (links.home, links.is_expired);
    Ok(match (&*notice.event, links.receipt, links.press) {
        ("signed_in", _, Some(link)) => Mail::SignedIn {
            facts,
            link,
            is_expired,
        },
        ("address_changed", _, Some(link)) => Mail::AddressChanged {
            facts,
            link,
            is_expired,
        },
        ("factor_added", _, Some(link)) => Mail::FactorAdded {
            facts,
            link,
            is_expired,
        },
        ("signed_out", Some(link), _) => Mail::SignedOut { facts, link },
        ("password_changed", Some(link), _) => Mail::PasswordChanged { facts, link },
        ("wrong_password", Some(link), _) => Mail::WrongPassword { facts, link },
        ("many_failures", _, _) => Mail::ManyFailures {
            facts,
            failures: FailureFacts::of(notice).ok_or(Error::InvalidNotice)?,
            link: home,
        },
        ("factor_removed", _, _) => Mail::FactorRemoved { facts, link: home },
        ("recovery_codes_made", _, _) => Mail::RecoveryCodesMade { facts, link: home },
        ("recovery_code_used", _, _) => Mail::RecoveryCodeUsed { facts, link: home },
        ("sign_in_codes_off", _, _) => Mail::SignInCodesOff { facts, link: home },
        ("second_step_missing", _, _) => Mail::SecondStepMissing { facts, link: home },
        ("factor_removal_asked", _, _) => Mail::FactorRemovalAsked { facts, link: home },
        ("address_restored", _, _) => Mail::AddressRestored { facts, link: home },
        ("address_warned", _, _) => Mail::AddressWarned { facts, link: home },
        ("address_lost", _, _) => Mail::AddressLost { facts, link: home },
        ("recovered", _, _) => Mail::Recovered { facts, link: home },
        _ => return Err(Error::InvalidNotice),
    })
}

/// Returns the mail that was asked for.
async fn of_challenge(
    deps: &Deps,
    message: &Message,
    challenge: &Challenge,
) -> Result<(Mail, Addressee), Error> {
    let email = EmailAddress::parse(&challenge.email)?;
    let owner = owner_of(deps, &email).await?;
    let mail = asked_for(&deps.page_url, message, challenge, owner);
    let addressee = Addressee {
        email,
        language: challenge.language,
        is_proven: is_proven(owner, challenge),
        notice: None,
    };
    Ok((mail, addressee))
}

/// Returns what the mail says, by whose address it is.
fn asked_for(page: &str, message: &Message, challenge: &Challenge, owner: Owner) -> Mail {
    let home = page.to_owned();
    let code = challenge.code.clone();
    match (message, owner) {
        (_, Owner::Former) => Mail::AddressKept { link: home },
        (Message::ConfirmAddress(_) | Message::ChangeAddress(_), Owner::Confirmed) => {
            Mail::AddressTaken { link: home }
        }
        (Message::ChangeAddress(_), Owner::Nobody | Owner::Unconfirmed) => {
            Mail::ChangeAddress { code }
        }
        (Message::ConfirmAddress(_), Owner::Nobody | Owner::Unconfirmed) => Mail::ConfirmAddress {
            link: link(page, "confirm", challenge),
            code,
        },
        (Message::PasswordReset(_), Owner::Confirmed) => Mail::PasswordReset {
            link: link(page, "recover", challenge),
            code,
        },
        (Message::Pass(_), Owner::Confirmed | Owner::Unconfirmed) => Mail::Pass {
            link: link(page, "pass", challenge),
            code,
        },
        (Message::Verification(_), Owner::Confirmed) => Mail::Verification { code },
        (Message::LostFactor(_), Owner::Confirmed) => Mail::LostFactor { code },
        (
            Message::PasswordReset(_)
            | Message::Pass(_)
            | Message::Verification(_)
            | Message::LostFactor(_)
            | Message::Notice(_),
            _,
        ) => Mail::NoAccount { link: home },
    }
}

fn is_proven(owner: Owner, challenge: &Challenge) -> bool {
    match owner {
        Owner::Confirmed | Owner::Former => true,
        Owner::Unconfirmed => challenge.is_for_password,
        Owner::Nobody => false,
    }
}

async fn owner_of(deps: &Deps, email: &EmailAddress) -> Result<Owner, Error> {
    let owner = deps.store.address_owner(email, deps.clock.now());
    let id = match owner.await? {
        AddressOwner::Nobody => return Ok(Owner::Nobody),
        AddressOwner::Former => return Ok(Owner::Former),
        AddressOwner::Account(id) => id,
    };
    let account = deps.store.rows(id, &[]).await?.account;
    let is_confirmed = account.is_some_and(|account| account.confirmed_at.is_some());
    Ok(if is_confirmed {
        Owner::Confirmed
    } else {
        Owner::Unconfirmed
    })
}

/// Returns the address of a view of the page: with the secret of a link that works anywhere,
/// or with the code, which works where it was asked for. Both are in the fragment, which no
/// server sees.
fn link(page: &str, view: &str, challenge: &Challenge) -> String {
    match &challenge.link_secret {
        Some(secret) => format!("{page}#/{view}/{}.{secret}", challenge.challenge_id),
        None => format!("{page}#/{view}/{}", challenge.code),
    }
}
