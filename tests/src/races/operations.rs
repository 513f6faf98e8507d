//! The operations that race: every change of an account's sessions, and the check.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use domain::challenge::{ChallengeRandom, NewChallenge, Purpose};
use domain::{
    AccountId, DeviceId, DeviceKey, EmailAddress, Epoch, NoticeEvent, NoticeToken, Scope,
    SessionId, SignOut, SignOutId, Timestamp,
};
use http_api::Reply;
use jiff::SignedDuration;
use runtime::lock;
use serde_json::{Value, json};
use store::{Change, StoreError};

use super::second_steps;
use crate::account::{EMAIL, NOON, TestAccount, disable};
use crate::app::event_of;
use crate::bundle::{Bundle, event, json_of};
use crate::delivery::queue_event_after;

/// The kind of a sign-in that signs every other device out.
pub const ENDING_OTHERS: &str = "sign in, ending others";

/// An operation, with the numbers of the devices that take part in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// A new device signs in.
    SignIn,
    /// A new device signs in, and the password's hash has to be replaced.
    SignInWithRehash,
    /// A new device signs in by a key that it has made. Two of them are one device, which
    /// sends its request again.
    SignInFirst,
    /// A device signs in again, by its device key.
    SignInAgain(usize),
    /// A new device signs in and signs every other device out.
    SignInEndingOthers,
    /// A device signs itself out.
    SignOutThis(usize),
    /// A device gives another, or itself, the owner's name for it.
    Rename(usize, usize),
    /// A device signs out one device.
    SignOutOne(usize, Target),
    /// A device signs out the others.
    SignOutOthers(usize),
    /// A device signs out every device.
    SignOutGlobal(usize),
    /// A device changes the password and stays signed in.
    ChangePasswordKeeping(usize),
    /// A device changes the password and is signed out, too.
    ChangePassword(usize),
    /// An operator disables the account.
    Disable,
    /// Somebody who reads the address's mail recovers the account.
    Recover,
    /// A device changes the account's address.
    ChangeAddress(usize),
    /// Somebody who reads the mail of the address before undoes the change.
    UndoAddress,
    /// A new device completes the second step with this number, by the recovery code with that
    /// number.
    CompleteSignIn(u8, u8),
    /// A device confirms the authenticator app that it has begun to add.
    ConfirmApp(usize),
    /// A device removes the account's authenticator app.
    RemoveApp(usize),
    /// A device makes new recovery codes.
    MakeCodes(usize),
    /// A device turns codes by mail at sign-ins off.
    TurnOffCodes(usize),
    /// Somebody who has the password reports the account's app as lost, by the mailed code with
    /// this number.
    ReportLost(u8),
    /// A device proves again that it is the owner's, and gets another token.
    Verify(usize),
    /// The same, by a mailed code.
    VerifyByMail(usize),
    /// The same, by the recovery code with this number.
    VerifyByCode(usize, u8),
    /// A device makes a call when a touch is due.
    Touch(usize),
    /// The sweep marks the devices that a sign-out of many has ended.
    Sweep(Announced),
    /// The authorizer checks a session.
    Check(usize),
}

/// The device that is to be signed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// A device with this number.
    Device(usize),
    /// The device that has just signed in for the first time.
    Newest,
}

/// The sign-out that a sweep is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Announced {
    /// The first sign-out of many.
    First,
    /// The last sign-out of many at its begin.
    Last,
}

impl Operation {
    /// Returns the device that makes the request, if one does.
    #[must_use]
    pub fn caller(self) -> Option<usize> {
        match self {
            Self::SignOutThis(by)
            | Self::Rename(by, _)
            | Self::SignOutOne(by, _)
            | Self::SignOutOthers(by)
            | Self::SignOutGlobal(by)
            | Self::ChangePasswordKeeping(by)
            | Self::ChangePassword(by)
            | Self::ChangeAddress(by)
            | Self::ConfirmApp(by)
            | Self::RemoveApp(by)
            | Self::MakeCodes(by)
            | Self::TurnOffCodes(by)
            | Self::Verify(by)
            | Self::VerifyByMail(by)
            | Self::VerifyByCode(by, _)
            | Self::Touch(by)
            | Self::Check(by) => Some(by),
            Self::SignIn
            | Self::SignInWithRehash
            | Self::SignInFirst
            | Self::SignInAgain(_)
            | Self::SignInEndingOthers
            | Self::CompleteSignIn(..)
            | Self::ReportLost(_)
            | Self::Disable
            | Self::Recover
            | Self::UndoAddress
            | Self::Sweep(_) => None,
        }
    }

    /// Returns whether it begins a session.
    #[must_use]
    pub fn is_sign_in(self) -> bool {
        matches!(
            self,
            Self::SignIn
                | Self::SignInWithRehash
                | Self::SignInFirst
                | Self::SignInAgain(_)
                | Self::SignInEndingOthers
                | Self::CompleteSignIn(..)
        )
    }

    /// Returns whether it begins a session by the password, and shows no factor.
    #[must_use]
    pub fn is_sign_in_by_password(self) -> bool {
        self.is_sign_in() && !matches!(self, Self::CompleteSignIn(..))
    }

    /// Returns whether it begins a session on a device that gets its key in the answer.
    #[must_use]
    pub fn is_sign_in_without_key(self) -> bool {
        matches!(
            self,
            Self::SignIn | Self::SignInWithRehash | Self::SignInEndingOthers
        )
    }

    /// Returns whether it changes the password.
    #[must_use]
    pub fn is_change_of_password(self) -> bool {
        matches!(
            self,
            Self::ChangePassword(_) | Self::ChangePasswordKeeping(_)
        )
    }

    /// Returns whether it succeeds for every valid session, and ends none.
    #[must_use]
    pub fn needs_a_session_alone(self) -> bool {
        matches!(
            self,
            Self::Touch(_)
                | Self::Check(_)
                | Self::Rename(..)
                | Self::ChangeAddress(_)
                | Self::ConfirmApp(_)
                | Self::RemoveApp(_)
                | Self::MakeCodes(_)
                | Self::TurnOffCodes(_)
        )
    }

    /// Returns whether it gives the caller's session another token.
    #[must_use]
    pub fn is_verification(self) -> bool {
        matches!(
            self,
            Self::Verify(_) | Self::VerifyByMail(_) | Self::VerifyByCode(..)
        )
    }

    /// Returns whether it writes addresses.
    #[must_use]
    pub fn is_about_addresses(self) -> bool {
        matches!(self, Self::ChangeAddress(_) | Self::UndoAddress)
    }

    /// Returns whether it uses or writes a factor.
    #[must_use]
    pub fn is_about_factors(self) -> bool {
        matches!(
            self,
            Self::CompleteSignIn(..)
                | Self::ConfirmApp(_)
                | Self::RemoveApp(_)
                | Self::MakeCodes(_)
                | Self::TurnOffCodes(_)
                | Self::ReportLost(_)
                | Self::VerifyByCode(..)
        )
    }

    /// Returns whether it only writes receipt entries, or replaces a session that has
    /// one.
    #[must_use]
    pub fn is_about_parts(self) -> bool {
        matches!(self, Self::Check(_) | Self::SignInAgain(_) | Self::Sweep(_))
    }

    /// Returns its name without the devices.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::SignIn => "sign in",
            Self::SignInWithRehash => "sign in, with a rehash",
            Self::SignInFirst => "sign in first",
            Self::SignInAgain(_) => "sign in again",
            Self::SignInEndingOthers => ENDING_OTHERS,
            Self::SignOutThis(_) => "sign out this",
            Self::Rename(by, of) if by == of => "rename itself",
            Self::Rename(..) => "rename",
            Self::SignOutOne(by, Target::Device(target)) if by == target => "sign out one, itself",
            Self::SignOutOne(..) => "sign out one",
            Self::SignOutOthers(_) => "sign out others",
            Self::SignOutGlobal(_) => "sign out global",
            Self::ChangePasswordKeeping(_) => "change password, keeping",
            Self::ChangePassword(_) => "change password",
            Self::Disable => "disable",
            Self::Recover => "recover",
            Self::ChangeAddress(_) => "change address",
            Self::UndoAddress => "undo address",
            Self::CompleteSignIn(..) => "sign in, by a second step",
            Self::ConfirmApp(_) => "confirm app",
            Self::RemoveApp(_) => "remove app",
            Self::MakeCodes(_) => "make recovery codes",
            Self::TurnOffCodes(_) => "turn codes off",
            Self::ReportLost(_) => "report a lost app",
            Self::Verify(_) => "verify",
            Self::VerifyByMail(_) => "verify, by a mailed code",
            Self::VerifyByCode(..) => "verify, by a recovery code",
            Self::Touch(_) => "touch",
            Self::Sweep(_) => "sweep",
            Self::Check(_) => "check",
        }
    }
}

/// The answer of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A session began.
    SignedIn {
        /// Its token.
        token: String,
        /// Its device.
        device: DeviceId,
    },
    /// The session has another token.
    Verified {
        /// That token.
        token: String,
    },
    /// Sessions were ended.
    SignedOut {
        /// The sign-out.
        id: SignOutId,
        /// Its scope in the answer.
        scope: Scope,
    },
    /// The request succeeded.
    Passed,
    /// The request was refused.
    Refused {
        /// The HTTP status.
        status: i64,
        /// The problem's name.
        problem: String,
    },
}

impl Outcome {
    fn of(reply: &Reply) -> Self {
        let body = json_of(reply);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if !matches!(reply.status_code, 200..=202) {
            let kind = text(&body["type"]);
            return Self::Refused {
                status: reply.status_code,
                problem: kind.rsplit(':').next().unwrap_or_default().to_owned(),
            };
        }
        if let Some(token) = body.get("token")
            && body.get("verified_until").is_some()
        {
            let token = text(token);
            return Self::Verified { token };
        }
        if let Some(token) = body.get("token") {
            return Self::SignedIn {
                token: text(token),
                device: text(&body["device"]["id"]).parse().expect("a device's id"),
            };
        }
        if let Some(sign_out) = body.get("sign_out") {
            return Self::SignedOut {
                id: text(&sign_out["id"]).parse().expect("the id of a sign-out"),
                scope: Scope::parse(&text(&sign_out["scope"])).expect("a scope"),
            };
        }
        Self::Passed
    }
}

/// An operation that runs.
pub type Running = Pin<Box<dyn Future<Output = Outcome>>>;

/// The functions that the operations call.
pub struct Functions {
    /// The functions behind HTTP.
    pub bundle: Bundle,
    /// The same, on a clock by which no touch is due.
    pub earlier: Bundle,
    /// The same, on the clock of the begin of a race: the mail about a change of the address has
    /// this time, and the wait for a lost app is not over.
    pub on_time: Bundle,
    /// The same, with other parameters for new hashes.
    pub rehashing: Bundle,
    /// The sweep.
    pub sweep: sweep::Deps,
    /// The position at which the sweep of each actor goes on.
    pub handed_over: Arc<Mutex<BTreeMap<usize, String>>>,
}

/// The state at the begin of an operation.
#[derive(Debug, Clone)]
pub struct Found {
    /// The device that was the last to sign in for the first time.
    pub newest: Option<DeviceId>,
    /// The sign-out that a sweep is about.
    pub announced: Option<SignOut>,
    /// The account's epoch before the race.
    pub epoch: Epoch,
    /// The time of the change of the address before the race, or in it.
    pub changed_at: Timestamp,
    /// Whether the account's app was reported as lost before the race. Then operations that stop
    /// the report run on a clock on which the wait is not over; the others on one on which it is.
    pub is_app_lost: bool,
}

/// Returns the key of the device that signs in first. It is newer than all others.
#[must_use]
pub fn first_key() -> DeviceKey {
    let noon: Timestamp = NOON.parse().expect("a well-formed timestamp");
    DeviceKey::new(noon + SignedDuration::from_mins(10), [7; 32])
}

/// Returns the new password of the actor with this number.
#[must_use]
pub fn new_password(actor: usize) -> String {
    format!(
        "{} lanterns drift past the harbour",
        ["nine", "eleven", "thirteen", "fifteen"][actor]
    )
}

/// Returns the challenge of the actor with this number, which is asked for before the race.
#[must_use]
pub fn recovery(actor: usize) -> NewChallenge {
    let byte = u8::try_from(actor).expect("few actors");
    let random = ChallengeRandom {
        secret: [byte; 32],
        code: [byte; 5],
        link: [byte; 32],
    };
    let email = EmailAddress::parse(EMAIL).expect("an address");
    let noon: Timestamp = NOON.parse().expect("a well-formed timestamp");
    // A race begins ten minutes after noon, when a code of noon is too old.
    let asked_at = noon + SignedDuration::from_mins(5);
    NewChallenge::new(Purpose::Recovery, email, asked_at, random)
}

/// The address after the change in a history that has one.
pub const CHANGED_EMAIL: &str = "changed@example.com";
/// The reference of the mail about that change.
pub const REFERENCE: &str = "7K3Q9D";

/// Returns the new address of the actor with this number.
#[must_use]
pub fn new_address(actor: usize) -> String {
    format!("new{actor}@example.com")
}

/// Returns the challenge by which an actor changes the address of the account from a device.
#[must_use]
pub fn address_change(
    actor: usize,
    member: usize,
    session: SessionId,
    epoch: Epoch,
) -> NewChallenge {
    let byte = u8::try_from(64 + 8 * actor + member).expect("few actors and devices");
    let random = ChallengeRandom {
        secret: [byte; 32],
        code: [byte; 5],
        link: [byte; 32],
    };
    let email = EmailAddress::parse(&new_address(actor)).expect("an address");
    let asked_at = recovery(actor).challenge.asked_at;
    let asked = NewChallenge::new(Purpose::AddressChange, email, asked_at, random);
    asked.bound_to(session).in_epoch(epoch)
}

/// Returns the token in the mail about a change of the address.
#[must_use]
pub fn undo_token(account: AccountId, at: Timestamp) -> NoticeToken {
    let notice = NoticeEvent::AddressChanged.notice_id(at, None);
    NoticeToken::new(account, notice, [9; 32])
}

/// Returns the name that the actor with this number gives a device.
#[must_use]
pub fn new_name(actor: usize) -> String {
    format!("Device of actor {actor}")
}

/// Begins an operation, which runs when it is polled.
#[must_use]
pub fn begin(
    operation: Operation,
    actor: usize,
    functions: &Rc<Functions>,
    account: &Rc<TestAccount>,
    found: Found,
) -> Running {
    let (functions, account) = (functions.clone(), account.clone());
    Box::pin(async move {
        let bundle = &functions.bundle;
        let token = |member: usize| account.devices[member].token.as_str();
        let (email, password) = (account.email.as_str(), account.password.as_str());
        let in_time = if found.is_app_lost {
            &functions.on_time
        } else {
            bundle
        };
        let reply = match operation {
            Operation::SignIn => bundle.log_in(email, password, None).await,
            Operation::SignInWithRehash => functions.rehashing.log_in(email, password, None).await,
            Operation::SignInFirst => {
                let key = first_key().to_text();
                bundle.log_in(email, password, Some(&key)).await
            }
            Operation::SignInAgain(member) => {
                // It sends other details than before, so that a receipt entry shows which
                // session it is about.
                let details = json!({ "name": "Bedroom", "type": "tv" });
                let key = account.devices[member].key.as_str();
                bundle.log_in_as(email, password, key, &details).await
            }
            Operation::SignInEndingOthers => bundle.log_in_alone(email, password).await,
            Operation::SignOutThis(by) => bundle.sign_out_this(token(by)).await,
            Operation::Rename(by, of) => {
                let name = new_name(actor);
                bundle
                    .rename_device(token(by), account.devices[of].id, &name)
                    .await
            }
            Operation::SignOutOne(by, target) => {
                let target = match target {
                    Target::Device(member) => account.devices[member].id,
                    Target::Newest => found
                        .newest
                        .unwrap_or_else(|| DeviceId::new(bundle.clock.now(), [7; 10])),
                };
                bundle.sign_out_device(token(by), target).await
            }
            Operation::SignOutOthers(by) => bundle.sign_out_scope(token(by), "others").await,
            Operation::SignOutGlobal(by) => bundle.sign_out_scope(token(by), "global").await,
            Operation::ChangePasswordKeeping(by) | Operation::ChangePassword(by) => {
                let keep = matches!(operation, Operation::ChangePasswordKeeping(_));
                let new = new_password(actor);
                bundle
                    .change_password(token(by), password, &new, keep)
                    .await
            }
            Operation::Verify(by) => bundle.verify(token(by), password).await,
            Operation::VerifyByMail(by) => {
                second_steps::verify_by_mail(bundle, by, token(by)).await
            }
            Operation::VerifyByCode(by, code) => {
                second_steps::verify_by_code(in_time, code, token(by)).await
            }
            Operation::Touch(by) => bundle.who_am_i(token(by)).await,
            Operation::CompleteSignIn(challenge, code) => {
                second_steps::complete(in_time, &account, challenge, code).await
            }
            Operation::ConfirmApp(by) => second_steps::confirm_app(bundle, by, token(by)).await,
            Operation::RemoveApp(by) => second_steps::remove_app(bundle, token(by)).await,
            Operation::MakeCodes(by) => second_steps::make_codes(bundle, token(by)).await,
            Operation::TurnOffCodes(by) => second_steps::turn_off_codes(bundle, token(by)).await,
            Operation::ReportLost(code) => second_steps::report_lost(in_time, code).await,
            Operation::Recover => bundle.recover(&recovery(actor), &new_password(actor)).await,
            Operation::ChangeAddress(by) => {
                let device = &account.devices[by];
                let epoch = found.epoch;
                let asked = address_change(actor, by, device.session, epoch);
                let bundle = &functions.on_time;
                bundle.change_address(&device.token, &asked).await
            }
            Operation::UndoAddress => {
                let secret = undo_token(account.id, found.changed_at).to_text();
                bundle.undo_address(&secret, REFERENCE).await
            }
            Operation::Disable => {
                let (limits, now) = (&bundle.limits, bundle.clock.now());
                let disabled = disable(&bundle.store, account.id, limits, now).await;
                return store_outcome(&disabled);
            }
            Operation::Sweep(_) => return sweep_all(&functions, actor, found.announced).await,
            Operation::Check(by) => return check(&functions.earlier, token(by)).await,
        };
        Outcome::of(&reply)
    })
}

fn store_outcome<T>(result: &Result<T, StoreError>) -> Outcome {
    match result {
        Ok(_) => Outcome::Passed,
        Err(_) => unavailable(),
    }
}

fn unavailable() -> Outcome {
    Outcome::Refused {
        status: 503,
        problem: "unavailable".to_owned(),
    }
}

/// Asks the authorizer about a token.
pub async fn check(bundle: &Bundle, token: &str) -> Outcome {
    let event = event("GET", "/films", Some(token), None);
    match authorizer::handle(&bundle.authorizer, event).await {
        Ok(decision) if decision.is_authorized => Outcome::Passed,
        Ok(_) => Outcome::Refused {
            status: 403,
            problem: String::new(),
        },
        Err(error) => store_outcome::<()>(&Err(error)),
    }
}

/// Runs the sweep page by page.
async fn sweep_all(functions: &Functions, actor: usize, announced: Option<SignOut>) -> Outcome {
    let Some(sign_out) = announced else {
        return Outcome::Passed;
    };
    let body = event_of(&Change::SignedOut(sign_out));
    let mut place = None;
    loop {
        let handled =
            sweep::handle(&functions.sweep, queue_event_after(&body, place.as_deref())).await;
        if !handled.batch_item_failures.is_empty() {
            return unavailable();
        }
        place = lock(&functions.handed_over).remove(&actor);
        if place.is_none() {
            return Outcome::Passed;
        }
    }
}
