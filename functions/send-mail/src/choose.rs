//! Decides which mail a message becomes.

use domain::EmailAddress;
use mail::{Challenge, Language, Message, Notice};

use crate::facts::Facts;
use crate::{Deps, Error};

/// A mail with what its text says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mail {
    /// The code that proves an address, for a new account.
    ConfirmAddress { code: String, link: String },
    /// Somebody wanted a new account with an address that has one.
    AddressTaken { link: String },
    /// The code with which an account is recovered.
    PasswordReset { code: String, link: String },
    /// The code that gives a few tries to sign in.
    Pass { code: String, link: String },
    /// Somebody wanted to recover or sign in to an account that does not exist.
    NoAccount { link: String },
    /// A device that was not known signed in.
    SignedIn { facts: Facts, link: String },
    /// A device signed out others.
    SignedOut { facts: Facts, link: String },
    /// The password was changed.
    PasswordChanged { facts: Facts, link: String },
    /// The account was recovered.
    Recovered { facts: Facts, link: String },
}

/// Who a mail goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addressee {
    pub email: EmailAddress,
    pub language: Language,
    /// Whether an account has the address. Mails to strangers must not use up what SES
    /// allows the owners' mails.
    pub is_proven: bool,
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
            Self::NoAccount { .. } => "no-account",
            Self::SignedIn { .. } => "signed-in",
            Self::SignedOut { .. } => "signed-out",
            Self::PasswordChanged { .. } => "password-changed",
            Self::Recovered { .. } => "recovered",
        }
    }
}

/// Returns the mail that a message becomes, and who it goes to.
pub(crate) async fn choose(deps: &Deps, message: &Message) -> Result<(Mail, Addressee), Error> {
    match message {
        Message::ConfirmAddress(challenge)
        | Message::PasswordReset(challenge)
        | Message::Pass(challenge) => of_challenge(deps, message, challenge).await,
        Message::Notice(notice) => of_notice(&deps.page_url, notice),
    }
}

/// Returns the mail about an event.
fn of_notice(page: &str, notice: &Notice) -> Result<(Mail, Addressee), Error> {
    let facts = Facts::of(notice);
    let receipt = |id: &String| format!("{page}#/sign-outs/{id}");
    let receipt = notice.sign_out.as_ref().map(receipt);
    let mail = match (&*notice.event, receipt, &notice.link_secret) {
        ("signed_in", _, Some(secret)) => Mail::SignedIn {
            facts,
            link: format!("{page}#/notice/{secret}"),
        },
        ("signed_out", Some(link), _) => Mail::SignedOut { facts, link },
        ("password_changed", Some(link), _) => Mail::PasswordChanged { facts, link },
        ("recovered", _, _) => Mail::Recovered {
            facts,
            link: page.to_owned(),
        },
        _ => return Err(Error::InvalidNotice),
    };
    let addressee = Addressee {
        email: EmailAddress::parse(&notice.email)?,
        language: notice.language,
        is_proven: true,
    };
    Ok((mail, addressee))
}

/// Returns the mail that somebody asked for.
async fn of_challenge(
    deps: &Deps,
    message: &Message,
    challenge: &Challenge,
) -> Result<(Mail, Addressee), Error> {
    let email = EmailAddress::parse(&challenge.email)?;
    let is_proven = deps.store.account_by_email(&email).await?.is_some();
    let page = &deps.page_url;
    let code = challenge.code.clone();
    let mail = match (message, is_proven) {
        (Message::ConfirmAddress(_), false) => Mail::ConfirmAddress {
            code,
            link: link(page, "confirm", challenge),
        },
        (Message::ConfirmAddress(_), true) => Mail::AddressTaken { link: page.clone() },
        (Message::PasswordReset(_), true) => Mail::PasswordReset {
            code,
            link: link(page, "recover", challenge),
        },
        (Message::Pass(_), true) => Mail::Pass {
            code,
            link: link(page, "pass", challenge),
        },
        (Message::PasswordReset(_) | Message::Pass(_) | Message::Notice(_), _) => {
            Mail::NoAccount { link: page.clone() }
        }
    };
    let addressee = Addressee {
        email,
        language: challenge.language,
        is_proven,
    };
    Ok((mail, addressee))
}

/// Returns the address of a view of the page. The secret is in the fragment, which no
/// server sees.
fn link(page: &str, view: &str, challenge: &Challenge) -> String {
    let Challenge {
        challenge_id,
        link_secret,
        ..
    } = challenge;
    format!("{page}#/{view}/{challenge_id}.{link_secret}")
}
