//! Codes by mail: asking for one, which is the one way from a request to a mail, and answering
//! it.
//!
//! Asking does the same for every address, and reads no account: answers, writes and messages are
//! alike by construction. A caller may pass a recognized device, which it has looked up
//! itself, or an account whose password it has verified.

mod answers;

use domain::attempts::{Budget, CounterKey};
use domain::challenge::{ChallengeRandom, ChallengeSecret, NewChallenge, PendingSignIn, Purpose};
use domain::networks::{NetworkRanges, networks_of};
use domain::session::Authenticated;
use domain::verification::has_proving_address;
use domain::{Account, DeviceId, EmailAddress, Timestamp};
use http_api::{Answer, Problem, Request};
use jiff::SignedDuration;
use mail::{Challenge, Language, MailQueue, Message};
use serde::Serialize;
use store::{Charge, Store, StoreError};
use utoipa::ToSchema;
use zeroize::Zeroizing;

pub use answers::{answered_challenge, open_or_completed_challenge, parse_answer, unproven_owner};

/// The mails of one kind to one mailbox, or for one device or one account: three an hour, ten
/// a day.
const TO_A_MAILBOX: [(&str, Budget); 2] = [
    ("hour", Budget::new(3, SignedDuration::from_mins(20))),
    ("day", Budget::new(10, SignedDuration::from_mins(144))),
];

/// The times by which the budget of a network is larger: a household, an office or a
/// provider's customers share one.
const TIMES_OF_A_NETWORK: u16 = 10;

/// The answer to a request for a code.
#[derive(Serialize, ToSchema)]
pub struct CodeRequested {
    /// The secret that the code in the mail works with. Only this answer has it.
    #[schema(value_type = String, pattern = "^cfc_[A-Za-z0-9_-]{49}$")]
    pub challenge: Zeroizing<String>,
}

impl CodeRequested {
    /// Returns an example for the document.
    #[must_use]
    pub fn example() -> Self {
        Self {
            challenge: Zeroizing::new(format!("cfc_{}", "x".repeat(49))),
        }
    }
}

/// Sends mails with codes.
#[derive(Debug, Clone)]
pub struct Codes {
    queue: MailQueue,
    /// The networks that are not counted.
    uncounted: NetworkRanges,
}

impl Codes {
    /// Takes the queue of mails with codes; does no I/O.
    #[must_use]
    pub fn new(queue: MailQueue, uncounted: NetworkRanges) -> Self {
        Self { queue, uncounted }
    }

    /// Takes the queue, for codes that are counted for a session alone; does no I/O.
    #[must_use]
    pub fn for_sessions(queue: MailQueue) -> Self {
        Self::new(queue, NetworkRanges::default())
    }

    /// Counts the mail, stores a challenge, queues the mail and answers 202. A device that is
    /// recognized for the account of the address has a budget of its own, which nobody else
    /// can use up.
    ///
    /// # Errors
    /// `request-invalid` for an address that SES can't send to; `too-many-attempts`, whether
    /// or not the address has an account; and `unavailable`.
    pub async fn request(
        &self,
        store: &Store,
        request: &Request,
        (purpose, email, recognized): (Purpose, EmailAddress, Option<DeviceId>),
        now: Timestamp,
        random: ChallengeRandom,
    ) -> Result<Answer, Problem> {
        require_ascii(&email)?;
        let counted = self.counters(request, purpose, &email, recognized);
        charge(store, request, counted, now).await?;
        let new = NewChallenge::new(purpose, email, now, random);
        self.send(store, request, &new, false).await?;
        request.note_outcome("code-requested");
        let challenge = new.secret.to_text();
        Ok(Answer::json(202, &CodeRequested { challenge }))
    }

    /// Mails a pass to the address of an account whose password the caller has shown, and
    /// returns the secret of its challenge. Counts the mail for the account's epoch alone: a
    /// stranger, who lacks the password, can't use up its budget, and a changed password gives
    /// the owner a new one. Call this only with the right password.
    ///
    /// # Errors
    /// `too-many-attempts` and `unavailable`.
    pub async fn send_pass(
        &self,
        store: &Store,
        request: &Request,
        (account, email): (&Account, EmailAddress),
        now: Timestamp,
        random: ChallengeRandom,
    ) -> Result<ChallengeSecret, Problem> {
        let epoch = account.epoch.0.to_be_bytes();
        let counters = TO_A_MAILBOX.map(|(period, budget)| {
            let parts = [period.as_bytes(), account.id.as_bytes(), &epoch[..]];
            (CounterKey::new("mail-account", &parts), budget)
        });
        charge(store, request, counters.to_vec(), now).await?;
        let new = NewChallenge::new(Purpose::Pass, email, now, random);
        self.send(store, request, &new, true).await?;
        Ok(new.secret)
    }

    /// Mails a code for a verification to the address of the caller's account, and answers 202.
    /// Counts the mail for the session: another session, such as a thief's, can't use up its
    /// budget. Only this session can answer the challenge.
    ///
    /// # Errors
    /// `mail-unavailable` for an account without a confirmed address, `too-many-attempts` and
    /// `unavailable`.
    pub async fn send_verification(
        &self,
        store: &Store,
        request: &Request,
        caller: &Authenticated,
        now: Timestamp,
        random: ChallengeRandom,
    ) -> Result<Answer, Problem> {
        let email = Some(&caller.account).filter(|it| has_proving_address(it, true));
        let email = email.and_then(|account| EmailAddress::parse(&account.email).ok());
        let email = email.ok_or(Problem::MailUnavailable)?;
        let session = caller.device.session;
        let counters = TO_A_MAILBOX.map(|(period, budget)| {
            let parts = [period.as_bytes(), session.as_bytes()];
            (CounterKey::new("mail-session", &parts), budget)
        });
        charge(store, request, counters.to_vec(), now).await?;
        let new = NewChallenge::new(Purpose::Verification, email, now, random).bound_to(session);
        self.send(store, request, &new, true).await?;
        request.note_outcome("code-requested");
        let challenge = new.secret.to_text();
        Ok(Answer::json(202, &CodeRequested { challenge }))
    }

    /// Mails a code for a change of the address to the new one, and answers 202, the same for a
    /// free and a taken one. Counts the mail for the session and for the new mailbox. Only this
    /// session can answer the challenge, in the account's present epoch.
    ///
    /// # Errors
    /// `request-invalid` for an address that SES can't send to; `too-many-attempts` and
    /// `unavailable`.
    pub async fn send_address_change(
        &self,
        store: &Store,
        request: &Request,
        (caller, email): (&Authenticated, EmailAddress),
        now: Timestamp,
        random: ChallengeRandom,
    ) -> Result<Answer, Problem> {
        require_ascii(&email)?;
        let (session, purpose) = (caller.device.session, Purpose::AddressChange);
        let counters = TO_A_MAILBOX.into_iter().flat_map(|(period, budget)| {
            let key = |kind, of: &[u8]| {
                let parts = [purpose.as_str().as_bytes(), period.as_bytes(), of];
                (CounterKey::new(kind, &parts), budget)
            };
            [
                key("mail-session", session.as_bytes()),
                key("mail", email.mailbox().as_bytes()),
            ]
        });
        charge(store, request, counters.collect(), now).await?;
        let new = NewChallenge::new(purpose, email, now, random);
        let new = new.bound_to(session).in_epoch(caller.account.epoch);
        self.send(store, request, &new, false).await?;
        request.note_outcome("code-requested");
        let challenge = new.secret.to_text();
        Ok(Answer::json(202, &CodeRequested { challenge }))
    }

    /// Mails a code for the removal of lost factors to the address of an account, and answers
    /// 202. Counts the mail for the asker's network, and ten times as many for the account: a
    /// thief with the password does not use up the mails of an owner in another network. The
    /// challenge is bound to the sign-in and its epoch.
    ///
    /// # Errors
    /// `mail-unavailable` for an account without a confirmed address, `too-many-attempts` and
    /// `unavailable`.
    pub async fn send_lost_factor(
        &self,
        store: &Store,
        request: &Request,
        (account, sign_in): (&Account, PendingSignIn),
        now: Timestamp,
        random: ChallengeRandom,
    ) -> Result<Answer, Problem> {
        let email = Some(account).filter(|it| has_proving_address(it, true));
        let email = email.and_then(|account| EmailAddress::parse(&account.email).ok());
        let email = email.ok_or(Problem::MailUnavailable)?;
        let purpose = Purpose::LostFactor;
        let ip = request.place().ip.and_then(|ip| ip.parse().ok());
        let mut counters = Vec::new();
        for (period, budget) in TO_A_MAILBOX {
            let of = account.id.as_bytes();
            let parts = [purpose.as_str().as_bytes(), period.as_bytes(), of];
            // The widest network alone: with one for each /64, a /48 could use up the account's.
            if let Some((network, _)) = networks_of(ip, budget).pop() {
                let parts = [&parts[..], &[network.as_bytes()]].concat();
                counters.push((CounterKey::new("mail-account-network", &parts), budget));
            }
            let total = budget.times(TIMES_OF_A_NETWORK);
            counters.push((CounterKey::new("mail-account", &parts), total));
        }
        charge(store, request, counters, now).await?;
        let new = NewChallenge::new(purpose, email, now, random).of_sign_in(sign_in);
        self.send(store, request, &new, true).await?;
        request.note_outcome("code-requested");
        let challenge = new.secret.to_text();
        Ok(Answer::json(202, &CodeRequested { challenge }))
    }

    /// Stores a challenge and queues its mail.
    async fn send(
        &self,
        store: &Store,
        request: &Request,
        new: &NewChallenge,
        is_for_password: bool,
    ) -> Result<(), Problem> {
        store.put_challenge(&new.challenge).await?;
        let language = Language::preferred(request.header("accept-language").unwrap_or_default());
        let message = message(new, language, is_for_password).ok_or(Problem::MailUnavailable)?;
        if let Err(error) = self.queue.send(&message).await {
            tracing::error!(cause = store::chain(&*error), "mail not queued");
            return Err(Problem::Unavailable);
        }
        Ok(())
    }

    /// Returns the counters of a mail: of the recognized device; or else of the network and of
    /// the mailbox, which is the address without what follows a `+`. The network first, so that
    /// it can't use up a mailbox's budget beyond its own.
    fn counters(
        &self,
        request: &Request,
        purpose: Purpose,
        email: &EmailAddress,
        recognized: Option<DeviceId>,
    ) -> Vec<(CounterKey, Budget)> {
        let purpose = purpose.as_str().as_bytes();
        let ip = request.place().ip.and_then(|ip| ip.parse().ok());
        let mut counters = Vec::new();
        for (period, budget) in TO_A_MAILBOX {
            let key = |kind, of: &[u8]| CounterKey::new(kind, &[purpose, period.as_bytes(), of]);
            if let Some(device) = recognized {
                counters.push((key("mail-device", device.as_bytes()), budget));
                continue;
            }
            if !ip.is_some_and(|ip| self.uncounted.contains(ip)) {
                let networks = networks_of(ip, budget.times(TIMES_OF_A_NETWORK)).into_iter();
                let of = |network: CounterKey| key("mail", network.as_bytes());
                counters.extend(networks.map(|(network, budget)| (of(network), budget)));
            }
            counters.push((key("mail", email.mailbox().as_bytes()), budget));
        }
        counters
    }
}

/// Requires an address that SES can send to.
fn require_ascii(email: &EmailAddress) -> Result<(), Problem> {
    if email.is_ascii() {
        return Ok(());
    }
    let detail = "must have only ASCII letters before the `@`: no mail can be sent to others";
    Err(Problem::invalid("email", detail))
}

/// Counts a mail.
async fn charge(
    store: &Store,
    request: &Request,
    counters: Vec<(CounterKey, Budget)>,
    now: Timestamp,
) -> Result<(), Problem> {
    for (counter, budget) in counters {
        match store.charge(counter, &budget, now).await? {
            Charge::Admitted(_) => {}
            Charge::Refused(wait) => {
                request.note_outcome("too-many-mails");
                return Err(Problem::too_many_attempts(wait));
            }
            Charge::Spent => return Err(StoreError::Contended.into()),
        }
    }
    Ok(())
}

/// Returns the mail with the code; `None` for a purpose that has no mail.
fn message(new: &NewChallenge, language: Language, is_for_password: bool) -> Option<Message> {
    let challenge = Challenge {
        email: new.challenge.email.as_normal().to_owned(),
        challenge_id: new.challenge.id.to_string(),
        code: new.code.to_text().to_string(),
        link_secret: new.link.as_ref().map(|link| link.secret_text().to_string()),
        expires_at_s: new.challenge.expires_at().as_second(),
        language,
        is_for_password,
    };
    let message = match new.challenge.purpose {
        Purpose::Confirmation => Message::ConfirmAddress(challenge),
        Purpose::Recovery => Message::PasswordReset(challenge),
        Purpose::Pass => Message::Pass(challenge),
        Purpose::Verification => Message::Verification(challenge),
        Purpose::AddressChange => Message::ChangeAddress(challenge),
        Purpose::LostFactor => Message::LostFactor(challenge),
        // A factor answers it, and no code.
        Purpose::SecondStep
        | Purpose::AddressChanged
        | Purpose::LostFactorReported
        | Purpose::External => return None,
    };
    Some(message)
}
