//! The rules that are left out in turn, each in a line where that costs the owner.
//!
//! Some rules stand behind others: only where those are left out, too, does the owner lose.

use super::lines::{Setting, Theft};
use super::rules::Rule;

/// Rules without which the owner loses, loses sooner, or loses even when moving first. Of several,
/// each alone is enough to prevent that.
pub const NEEDED: [(&[Rule], Theft, Setting); 21] = [
    (
        &[Rule::Verification],
        Theft::RecognizedToken,
        Setting::NoMail,
    ),
    (&[Rule::BothProofs], Theft::Password, Setting::Forgot),
    (&[Rule::FactorProves], Theft::OpenPhone, Setting::Factor),
    (
        &[Rule::YoungCountsNothing],
        Theft::TokenAndPassword,
        Setting::Forgot,
    ),
    (
        &[Rule::RecoveryEndsYoung],
        Theft::TokenAndPassword,
        Setting::Forgot,
    ),
    (
        &[Rule::RecoveryNeedsFactor],
        Theft::Mailbox,
        Setting::Factor,
    ),
    (
        &[Rule::RecoveryIsNotOutrun],
        Theft::Password,
        Setting::Forgot,
    ),
    (
        &[Rule::RecoveryHolds],
        Theft::MailboxForAnHour,
        Setting::NoFactor,
    ),
    (
        &[Rule::LostFactorWaits],
        Theft::PasswordAndMailbox,
        Setting::Factor,
    ),
    (&[Rule::Undo], Theft::TokenAndPassword, Setting::Forgot),
    (
        &[Rule::UndoEndsSessions],
        Theft::TokenAndPassword,
        Setting::Forgot,
    ),
    (&[Rule::WarningOnly], Theft::MailboxAlone, Setting::Factor),
    (
        &[Rule::OneChangeAtATime],
        Theft::TokenAndPassword,
        Setting::Forgot,
    ),
    (
        &[Rule::OnlyFactorStopsRemoval],
        Theft::TokenAndPassword,
        Setting::FactorLost,
    ),
    (
        &[Rule::RecoveryEndsCodes],
        Theft::CodesAndMailboxForAnHour,
        Setting::Factor,
    ),
    (
        &[Rule::ClaimLeavesNothing],
        Theft::ThiefFirst,
        Setting::NoFactor,
    ),
    (
        &[
            Rule::Verification,
            Rule::RecoveryEndsSessions,
            Rule::FactorNotice,
        ],
        Theft::TokenAndPassword,
        Setting::Forgot,
    ),
    (
        &[Rule::SignInEndsOthers, Rule::OthersNeedProof],
        Theft::RecognizedToken,
        Setting::NoMail,
    ),
    (
        &[Rule::SignInEndsOthers, Rule::FewUnproven],
        Theft::RecognizedToken,
        Setting::NoMail,
    ),
    (
        &[
            Rule::SignInEndsOthers,
            Rule::OthersNeedProof,
            Rule::RecoveryEndsSessions,
        ],
        Theft::TokenAndPassword,
        Setting::Forgot,
    ),
    (
        &[
            Rule::SignInEndsOthers,
            Rule::FewUnproven,
            Rule::RecoveryEndsSessions,
            Rule::RecoveryEndsRecognition,
        ],
        Theft::TokenAndPassword,
        Setting::Forgot,
    ),
];

/// Rules that change no line when one of them is left out: each stands behind another.
pub const CHANGE_NO_LINE: [Rule; 6] = [
    Rule::RecoveryEndsSessions,
    Rule::RecoveryEndsRecognition,
    Rule::SignInEndsOthers,
    Rule::OthersNeedProof,
    Rule::FewUnproven,
    Rule::FactorNotice,
];

impl Rule {
    /// Returns what the rule says.
    pub fn text(self) -> &'static str {
        match self {
            Self::Verification => "a sensitive act needs a fresh proof",
            Self::OthersNeedProof => "signing out all others needs a fresh proof",
            Self::BothProofs => "a session that is not recognized proves with password and code",
            Self::FactorProves => "a factor that counts is the only proof",
            Self::YoungCountsNothing => "a young factor counts for nothing but the sign-in",
            Self::RecoveryEndsYoung => "a recovery and an undo end every young factor",
            Self::RecoveryEndsSessions => "a recovery ends every session",
            Self::RecoveryEndsRecognition => "a recovery ends every recognition",
            Self::RecoveryNeedsFactor => "a recovery needs a settled factor",
            Self::RecoveryIsNotOutrun => "no sign-out or new password ends a recovery",
            Self::RecoveryHolds => "a recovery holds changes of the address",
            Self::LostFactorWaits => "a lost factor is removed after 72 hours",
            Self::Undo => "the old mailbox undoes a change of the address",
            Self::UndoEndsSessions => "an undo ends every session, recognition and the password",
            Self::WarningOnly => "a press only warns where a settled factor changed the address",
            Self::ClaimLeavesNothing => "a confirmed address gets a new account",
            Self::SignInEndsOthers => "a sign-in can sign out all others at once",
            Self::FewUnproven => "a recognized device signs out three devices a day unproven",
            Self::FactorNotice => "a press in its notice ends a young factor and its session",
            Self::RecoveryEndsCodes => "a recovery ends recovery codes",
            Self::OnlyFactorStopsRemoval => {
                "only a factor or a recovery code stops the removal of a lost factor"
            }
            Self::OneChangeAtATime => {
                "an address is not changed while its last change can be undone"
            }
        }
    }
}
