//! What can race: every change of an account's sessions, and the check.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use domain::{DeviceId, Scope, SignOut, SignOutId};
use http_api::Reply;
use runtime::lock;
use serde_json::{Value, json};
use store::{Change, StoreError};

use crate::account::{TestAccount, disable};
use crate::app::event_of;
use crate::bundle::{Bundle, event, json_of};
use crate::delivery::queue_event_after;

/// One operation of the product, with the devices of the household that take
/// part in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// A new device signs in.
    SignIn,
    /// The same, with the password's hash due to be made anew.
    SignInWithRehash,
    /// A device signs in again, by its device key.
    SignInAgain(usize),
    /// A device signs itself out.
    SignOutThis(usize),
    /// A device signs one device out.
    SignOutOne(usize, Target),
    /// A device signs every other one out.
    SignOutOthers(usize),
    /// A device signs every one out.
    SignOutGlobal(usize),
    /// The password is changed on a device, which stays signed in.
    ChangePasswordKeeping(usize),
    /// The password is changed on a device, and it is signed out too.
    ChangePassword(usize),
    /// An operator disables the account.
    Disable,
    /// A device says that it is in use.
    Touch(usize),
    /// What a sign-out of many ended is marked, device by device.
    Sweep(Announced),
    /// Another service of the team asks whether a device may pass.
    Check(usize),
}

/// Which device is to be signed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// One of the household's.
    Device(usize),
    /// The one that has just signed in for the first time.
    Newest,
}

/// Which sign-out of many a sweep is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Announced {
    /// The first that there was.
    First,
    /// The last that there is when it begins.
    Last,
}

impl Operation {
    /// The device that asks, if one does.
    #[must_use]
    pub fn caller(self) -> Option<usize> {
        match self {
            Self::SignOutThis(by)
            | Self::SignOutOne(by, _)
            | Self::SignOutOthers(by)
            | Self::SignOutGlobal(by)
            | Self::ChangePasswordKeeping(by)
            | Self::ChangePassword(by)
            | Self::Touch(by)
            | Self::Check(by) => Some(by),
            Self::SignIn
            | Self::SignInWithRehash
            | Self::SignInAgain(_)
            | Self::Disable
            | Self::Sweep(_) => None,
        }
    }

    /// Whether it makes a session.
    #[must_use]
    pub fn is_sign_in(self) -> bool {
        matches!(
            self,
            Self::SignIn | Self::SignInWithRehash | Self::SignInAgain(_)
        )
    }

    /// Whether it changes the password.
    #[must_use]
    pub fn is_change_of_password(self) -> bool {
        matches!(
            self,
            Self::ChangePassword(_) | Self::ChangePasswordKeeping(_)
        )
    }

    /// Whether it can write into the part of a device, or takes away the row that
    /// tells of one, and does nothing else.
    #[must_use]
    pub fn is_about_parts(self) -> bool {
        matches!(self, Self::Check(_) | Self::SignInAgain(_) | Self::Sweep(_))
    }

    /// What it is, whoever takes part.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::SignIn => "sign in",
            Self::SignInWithRehash => "sign in, with a rehash",
            Self::SignInAgain(_) => "sign in again",
            Self::SignOutThis(_) => "sign out this",
            Self::SignOutOne(by, Target::Device(target)) if by == target => "sign out one, itself",
            Self::SignOutOne(..) => "sign out one",
            Self::SignOutOthers(_) => "sign out others",
            Self::SignOutGlobal(_) => "sign out global",
            Self::ChangePasswordKeeping(_) => "change password, keeping",
            Self::ChangePassword(_) => "change password",
            Self::Disable => "disable",
            Self::Touch(_) => "touch",
            Self::Sweep(_) => "sweep",
            Self::Check(_) => "check",
        }
    }
}

/// What came of an operation, as its caller is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A session was made.
    SignedIn {
        /// Its token.
        token: String,
        /// Its device.
        device: DeviceId,
    },
    /// Sessions were ended, by this sign-out.
    SignedOut {
        /// Which sign-out.
        id: SignOutId,
        /// Which sessions it says it was about.
        scope: Scope,
    },
    /// It was let in, or done.
    Passed,
    /// It was refused.
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
        if reply.status_code != 200 {
            let kind = text(&body["type"]);
            return Self::Refused {
                status: reply.status_code,
                problem: kind.rsplit(':').next().unwrap_or_default().to_owned(),
            };
        }
        if let Some(sign_out) = body.get("sign_out") {
            return Self::SignedOut {
                id: text(&sign_out["id"]).parse().expect("the id of a sign-out"),
                scope: Scope::parse(&text(&sign_out["scope"])).expect("a scope"),
            };
        }
        match body.get("token") {
            Some(token) => Self::SignedIn {
                token: text(token),
                device: text(&body["device"]["id"]).parse().expect("a device's id"),
            },
            None => Self::Passed,
        }
    }
}

/// An operation on its way.
pub type Running = Pin<Box<dyn Future<Output = Outcome>>>;

/// The functions that the operations are made of.
pub struct Functions {
    /// All of them.
    pub bundle: Bundle,
    /// All of them, on a clock by which no touch is due.
    pub earlier: Bundle,
    /// All of them, with other parameters for new hashes.
    pub dearer: Bundle,
    /// What stands behind the queue.
    pub sweep: sweep::Deps,
    /// What the sweep of each actor was handed over to: the place to go on.
    pub handed_over: Arc<Mutex<BTreeMap<usize, String>>>,
}

/// What an operation finds when it begins.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The device that has signed in for the first time since.
    pub newest: Option<DeviceId>,
    /// The sign-out that a sweep is told of.
    pub announced: Option<SignOut>,
}

/// The new password of the actor with this number.
#[must_use]
pub fn new_password(actor: usize) -> String {
    format!(
        "{} lanterns drift past the harbour",
        ["nine", "eleven", "thirteen", "fifteen"][actor]
    )
}

/// Begins an operation; it goes on when it is polled.
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
        let reply = match operation {
            Operation::SignIn => bundle.log_in(email, password, None).await,
            Operation::SignInWithRehash => functions.dearer.log_in(email, password, None).await,
            Operation::SignInAgain(member) => {
                // What it says of itself is not what it said before, so that a part
                // tells which of its sessions it is about.
                let said = json!({ "name": "Bedroom", "type": "tv" });
                let key = account.devices[member].key.as_str();
                bundle.log_in_as(email, password, key, &said).await
            }
            Operation::SignOutThis(by) => bundle.sign_out_this(token(by)).await,
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
            Operation::Touch(by) => bundle.who_am_i(token(by)).await,
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

/// Asks the authorizer whether the holder of a token may pass.
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

/// Walks the devices, page by page, as the queue has it do.
async fn sweep_all(functions: &Functions, actor: usize, told: Option<SignOut>) -> Outcome {
    let Some(sign_out) = told else {
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
