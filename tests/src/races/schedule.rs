//! Schedules: the order of the calls of operations that race, and their faults.
//!
//! Operations run unchanged, through the real SDK, up to a call to a table. There they
//! wait until the schedule makes the call. A `BatchGetItem` reads its rows one by one in
//! any order, because DynamoDB promises no consistency between them. A write can lose
//! its answer and be retried by the SDK. It can arrive again after its caller was
//! answered and the token of its transaction was forgotten. An operation can crash at
//! any call.

mod calls;
mod choosers;
mod race;

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use domain::challenge::{Challenge, ChallengeRandom};
use domain::device::EndingActs;
use domain::limits::ENDING_ACTS_PER_HOUR;
use domain::ownership::factors::SETTLED_AFTER;
use domain::password::{Hasher, Params};
use domain::{
    Account, AccountId, EmailAddress, Epoch, NewChallenge, Notice, NoticeEvent, Purpose, Timestamp,
};
use factors::Sealer;
use jiff::SignedDuration;
use runtime::{Clock, PasswordHasher, lock};
use serde_json::json;

use self::calls::{Footprint, PendingCalls, receive};
pub use self::choosers::{Chooser, Exhaustive, Scripted, Turn};
use self::race::{Actor, Race};
use super::clauses::Clause;
use super::operations::{
    CHANGED_EMAIL, Functions, Operation, REFERENCE, address_change, recovery, undo_token,
};
use super::oracle::{FinalStatus, Violation};
use super::second_steps;
use crate::account::{EMAIL, PASSWORD, TestAccount, TestDevice, noon, register};
use crate::background::Background;
use crate::bundle::{Bundle, CHEAP, json_of};
use crate::engine::Engine;
use crate::kms;
use crate::tables::DEVICES;
use crate::wire;

/// A step of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// An operation begins and runs up to its first call.
    Begin(usize),
    /// A row or the whole of a query is read.
    Read(usize, usize),
    /// A write is made and answered.
    Write(usize),
    /// A write is made, its answer is lost, and the SDK retries it.
    WriteLosingAnswer(usize),
    /// A write is made and answered, and will arrive again later.
    WriteThenReplay(usize),
    /// A write that was made and answered arrives again.
    Replay(usize),
    /// An operation crashes.
    Crash(usize),
}

impl Step {
    fn actor(self) -> usize {
        match self {
            Self::Begin(actor)
            | Self::Read(actor, _)
            | Self::Write(actor)
            | Self::WriteLosingAnswer(actor)
            | Self::WriteThenReplay(actor)
            | Self::Replay(actor)
            | Self::Crash(actor) => actor,
        }
    }

    /// Returns whether it changes nothing: to begin counts as a read.
    fn is_read(self) -> bool {
        matches!(self, Self::Begin(_) | Self::Read(..))
    }

    fn is_write(self) -> bool {
        matches!(
            self,
            Self::Write(_) | Self::WriteLosingAnswer(_) | Self::WriteThenReplay(_)
        )
    }

    fn rank(self) -> (usize, usize) {
        match self {
            Self::Read(actor, part) => (actor, part),
            other => (other.actor(), 0),
        }
    }

    fn is_fault(self) -> bool {
        matches!(
            self,
            Self::WriteLosingAnswer(_) | Self::WriteThenReplay(_) | Self::Crash(_)
        )
    }
}

/// The sign-outs before a race.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum History {
    /// Three devices are signed in.
    Fresh,
    /// The owner named the second and the third device; the first one signed out the
    /// others, and the third one signed in again. No sweep has run.
    OneSignOut,
    /// The same, and then the third device signed out the others.
    TwoSignOuts,
    /// Three devices are signed in, and each may end others once more in this hour.
    AtTheLimit,
    /// Three devices are signed in, and one has changed the address.
    AddressChanged,
    /// Three devices are signed in, and the first has been verified. A fourth number stands
    /// for it with the token before, which it may still use.
    Verified,
    /// Three devices are signed in to an account with an authenticator app that has settled.
    WithApp,
    /// The same, and the app was reported as lost. The wait ends one second after a race begins.
    AppLost,
}

/// A history that races start from, saved to a file.
#[derive(Debug)]
pub struct PlayedHistory {
    history: History,
    saved: PathBuf,
    account: TestAccount,
}

/// The functions, the clock and the pending calls of one thread.
pub struct Runner {
    pending: Arc<Mutex<PendingCalls>>,
    functions: Rc<Functions>,
    clock: Clock,
    earlier: Clock,
    hasher: Hasher,
    probed: HashSet<(Vec<Operation>, Option<Clause>, Vec<FinalStatus>)>,
    receipts: HashSet<(Option<Clause>, Vec<usize>)>,
    runtime: tokio::runtime::Runtime,
}

/// The outcome of a schedule.
#[derive(Debug)]
pub struct Run {
    /// Its steps.
    pub steps: Vec<Step>,
    /// The rule that it broke.
    pub violation: Option<Violation>,
    /// Whether it was stopped because it is equivalent to another schedule.
    pub is_equivalent: bool,
    /// The clauses of its writes.
    pub clauses: BTreeSet<Clause>,
    /// The number of calls to a table.
    pub calls: usize,
}

impl Default for Runner {
    fn default() -> Self {
        Self::new()
    }
}

impl Runner {
    /// Connects the functions.
    #[must_use]
    pub fn new() -> Self {
        let pending: Arc<Mutex<PendingCalls>> = Arc::default();
        let received = pending.clone();
        let clients = wire::clients(move |call| receive(&mut lock(&received), call));
        let client = clients.dynamodb();
        let (clock, earlier) = (noon(), noon());
        let mut rehashing = Bundle::new(client.clone(), clock.clone());
        let params = Params { t: 2, ..CHEAP };
        rehashing.login.hasher =
            PasswordHasher::new(Hasher::with_params(params).expect("in bounds"));
        let mut sweep = Background::new(&clients, &rehashing).sweep;
        sweep.page_size = 1;
        let handed_over = lock(&pending).handed_over.clone();
        let mut bundle = Bundle::new(client.clone(), clock.clone());
        let sealer = Some(Sealer::new(clients.config(), kms::KEY.to_owned()));
        bundle.second_step.checker.sealer = sealer;
        // A recovery has been asked for by mail, so a young app does not count against it.
        bundle.confirm_codes.checker.sends_mail = true;
        let functions = Functions {
            sweep,
            handed_over,
            bundle,
            earlier: Bundle::new(client.clone(), earlier.clone()),
            on_time: Bundle::new(client, Clock::fixed(begins_at())),
            rehashing,
        };
        Self {
            pending,
            functions: Rc::new(functions),
            clock,
            earlier,
            hasher: Hasher::with_params(CHEAP).expect("in bounds"),
            probed: HashSet::new(),
            receipts: HashSet::new(),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .expect("a runtime"),
        }
    }

    /// Plays a history once and saves its end to a file in the folder.
    #[must_use]
    pub fn play(&self, history: History, folder: &Path) -> PlayedHistory {
        self.set_clocks();
        lock(&self.pending).engine = Some(Engine::new());
        lock(&self.pending).actor = None;
        let saved = folder.join(format!("{history:?}-{:016x}.db", unique_name()));
        let account = self.runtime.block_on(self.live(history));
        self.verify_all();
        lock(&self.pending).engine().save(&saved);
        PlayedHistory {
            history,
            saved,
            account,
        }
    }

    async fn live(&self, history: History) -> TestAccount {
        let bundle = &self.functions.bundle;
        let has_app = matches!(history, History::WithApp | History::AppLost);
        if has_app {
            self.clock.advance(-SETTLED_AFTER);
        }
        let (store, now) = (&bundle.store, bundle.clock.now());
        // The address was confirmed long ago, so that an app does not settle at once.
        let confirmed_at = Some(now - SETTLED_AFTER);
        let registered = register(store, EMAIL, PASSWORD, confirmed_at, now).await;
        registered.expect("the tables answer");
        let mut devices = Vec::new();
        for _ in 0..3 {
            devices.push(self.sign_in(None).await);
        }
        let others = async |by: &TestDevice| {
            self.clock.advance(SignedDuration::from_secs(1));
            let reply = bundle.sign_out_scope(&by.token, "others").await;
            assert_eq!(reply.status_code, 200);
        };
        if history == History::Verified {
            let device = self.verify(devices[0].clone()).await;
            let before = std::mem::replace(&mut devices[0], device);
            devices.push(before);
        } else if history == History::AtTheLimit {
            self.use_up_acts();
        } else if history == History::AddressChanged {
            self.change_address(&devices[0]).await;
        } else if has_app {
            second_steps::add_app(bundle, &devices[0]).await;
            self.clock.advance(SETTLED_AFTER);
        } else if history != History::Fresh {
            let named = async |device: &TestDevice| {
                let renamed = bundle.rename_device(&devices[0].token, device.id, "Home");
                assert_eq!(renamed.await.status_code, 200);
            };
            named(&devices[1]).await;
            named(&devices[2]).await;
            others(&devices[0]).await;
            devices[2] = self.sign_in(Some(&devices[2].key)).await;
        }
        if history == History::TwoSignOuts {
            others(&devices[2]).await;
        }
        let rows = store.rows(devices[0].account, &[]).await;
        let account = rows.expect("the tables answer").account;
        let account = account.expect("the account");
        self.ask(&devices, &account).await;
        if history == History::Fresh {
            self.notify_of_change(account.id, begins_at()).await;
        }
        if history == History::Fresh || has_app {
            second_steps::prepare(bundle, &account, &devices).await;
        }
        if history == History::AppLost {
            let due_at = begins_at() + SignedDuration::from_secs(1);
            second_steps::lose_app(bundle, &account, due_at).await;
        }
        TestAccount {
            id: devices[0].account,
            email: account.email,
            password: PASSWORD.to_owned(),
            devices,
        }
    }

    /// Verifies a device a minute before a race, and returns it with its new token.
    async fn verify(&self, device: TestDevice) -> TestDevice {
        let at = begins_at() - SignedDuration::from_mins(1);
        self.clock.advance(at.duration_since(self.clock.now()));
        let verified = self.functions.bundle.verify(&device.token, PASSWORD).await;
        let token = json_of(&verified)["token"].as_str().map(str::to_owned);
        TestDevice {
            token: token.expect("a new token"),
            ..device
        }
    }

    /// Asks for the recoveries and the changes of the address of the races.
    async fn ask(&self, devices: &[TestDevice], account: &Account) {
        let email = EmailAddress::parse(&account.email).expect("an address");
        for actor in 0..3 {
            let mut asked = vec![Challenge {
                email: email.clone(),
                ..recovery(actor).challenge
            }];
            for (member, device) in devices.iter().enumerate() {
                let change = address_change(actor, member, device.session, account.epoch);
                asked.push(change.challenge);
            }
            for challenge in asked {
                let put = self.functions.bundle.store.put_challenge(&challenge).await;
                put.expect("the tables answer");
            }
        }
    }

    /// Changes the address from a device, and mails the notice to the one before.
    async fn change_address(&self, by: &TestDevice) {
        let bundle = &self.functions.bundle;
        let (store, now) = (&bundle.store, bundle.clock.now());
        let email = EmailAddress::parse(CHANGED_EMAIL).expect("an address");
        let random = ChallengeRandom {
            secret: [8; 32],
            code: [8; 5],
            link: [8; 32],
        };
        let asked = NewChallenge::new(Purpose::AddressChange, email, now, random);
        let asked = asked.bound_to(by.session).in_epoch(Epoch::FIRST);
        let put = store.put_challenge(&asked.challenge).await;
        put.expect("the tables answer");
        let changed = bundle.change_address(&by.token, &asked).await;
        assert_eq!(changed.status_code, 200);
        self.notify_of_change(by.account, now).await;
    }

    /// Makes the mail about a change of the address at `at`.
    async fn notify_of_change(&self, account: AccountId, at: Timestamp) {
        let token = undo_token(account, at);
        let notice = Notice {
            account,
            id: token.notice(),
            event: NoticeEvent::AddressChanged,
            at,
            device: None,
            reference: REFERENCE.to_owned(),
            answer: None,
            returned_at: None,
        };
        let store = &self.functions.bundle.store;
        let recorded = store.record_notice(&notice, &token.hash(), (at, at)).await;
        recorded.expect("the tables answer");
    }

    /// Lets every session end others in the races, which begin ten minutes later.
    fn verify_all(&self) {
        let pending = lock(&self.pending);
        let engine = pending.engine();
        let at = begins_at();
        for row in engine.rows(DEVICES) {
            let mut row = serde_json::to_value(&row).expect("a row is JSON");
            row["verified_at"] = json!({ "N": at.as_millisecond().to_string() });
            engine.put(DEVICES, &row);
        }
    }

    /// Leaves one act to each session.
    fn use_up_acts(&self) {
        let pending = lock(&self.pending);
        let engine = pending.engine();
        for row in engine.rows(DEVICES) {
            let mut row = serde_json::to_value(&row).expect("a row is JSON");
            let hour = EndingActs::hour_of(self.clock.now());
            row["acts_hour"] = json!({ "N": hour.to_string() });
            row["acts"] = json!({ "N": (ENDING_ACTS_PER_HOUR - 1).to_string() });
            engine.put(DEVICES, &row);
        }
    }

    async fn sign_in(&self, key: Option<&str>) -> TestDevice {
        self.clock.advance(SignedDuration::from_secs(1));
        TestDevice::of(&self.functions.bundle.log_in(EMAIL, PASSWORD, key).await)
    }

    fn set_clocks(&self) {
        let noon = noon().now();
        self.clock.advance(noon.duration_since(self.clock.now()));
        self.earlier
            .advance(noon.duration_since(self.earlier.now()));
    }

    /// Runs operations against each other in one schedule, after a history.
    ///
    /// # Panics
    /// When an operation waits for anything but a table.
    pub fn run(
        &mut self,
        played: &PlayedHistory,
        operations: &[Operation],
        chooser: &mut dyn Chooser,
        knocked_out: Option<&Clause>,
    ) -> Run {
        self.set_clocks();
        // A touch is due, except on the earlier clock.
        self.clock.advance(SignedDuration::from_mins(10));
        self.earlier.advance(SignedDuration::from_mins(1));
        let engine = Engine::from_saved(&played.saved);
        let handed_over = self.functions.handed_over.clone();
        lock(&handed_over).clear();
        *lock(&self.pending) = PendingCalls {
            engine: Some(engine.clone()),
            knocked_out: knocked_out.cloned(),
            reads_addresses: operations.iter().any(|it| it.is_about_addresses()),
            handed_over,
            ..PendingCalls::default()
        };
        let mut run = Run {
            steps: Vec::new(),
            violation: None,
            is_equivalent: false,
            clauses: BTreeSet::new(),
            calls: 0,
        };
        let account = Rc::new(played.account.clone());
        let mut race = Race {
            runner: self,
            engine,
            account,
            actors: operations.iter().map(|op| Actor::new(*op)).collect(),
            is_fault_used: false,
            is_exhaustive: chooser.is_exhaustive(),
            are_contacts_steps: !chooser.is_exhaustive()
                || operations
                    .iter()
                    .all(|it| it.is_about_parts() || matches!(it, Operation::Touch(_))),
            last_footprint: Footprint::default(),
            has_just_written: false,
            epoch: Epoch::FIRST,
            changed_at: begins_at(),
            is_app_lost: false,
            run: &mut run,
            knocked_out,
        };
        if let Err(violation) = race.go(chooser) {
            run.violation = Some(violation);
        }
        run
    }
}

/// Returns the time at which a race begins, and the address is changed in it.
fn begins_at() -> Timestamp {
    noon().now() + SignedDuration::from_mins(10)
}

/// Returns a random name for a file.
fn unique_name() -> u64 {
    u64::from_be_bytes(runtime::random())
}

impl PlayedHistory {
    /// Returns the history.
    #[must_use]
    pub fn history(&self) -> History {
        self.history
    }
}

impl Drop for PlayedHistory {
    fn drop(&mut self) {
        let _left_behind_at_worst = std::fs::remove_file(&self.saved);
    }
}
