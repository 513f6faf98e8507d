//! Telling devices: who is told what, and what becomes of a socket.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::time::Duration;

use domain::{AccountId, ConnectionId, EndInfo, SessionId, SignOutId, Step, Timestamp};
use futures_util::StreamExt as _;
use futures_util::stream;
use http_api::SignedOutBy;
use jiff::SignedDuration;
use runtime::Clock;
use serde::Serialize;
use sockets::{Asked, Reach};
use store::{Cause, Connection, ResolvedStatus};
use tokio::time::timeout;

use crate::{Deps, Error};

/// How long a device has to say that it has wiped before its socket is ended.
const GRACE: Duration = Duration::from_secs(5);

/// The gateway gives a handshake 29 seconds. A socket that is not there before
/// they are over may still be on its way.
const HANDSHAKE: SignedDuration = SignedDuration::from_secs(30);

/// When a socket that may be on its way, or that the gateway did not serve, is
/// looked at again.
const LATER: Duration = Duration::from_secs(10);

/// How many sockets are told before those are given their end by one message of
/// ours: their ids fit into it easily.
const AT_ONCE: usize = 500;

/// What was begun in time is given so long when the time is over, and then up.
const FINISHING: Duration = Duration::from_secs(5);

/// And so long has the asking for the end of those that were told. With
/// [`crate::BUDGET`] and [`FINISHING`] it ends before Lambda (30 s) ends it.
const ASKING: Duration = Duration::from_secs(4);

/// How many calls are made at once, and until when new ones are begun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace<'a> {
    pub(crate) clock: &'a Clock,
    pub(crate) until: Timestamp,
    pub(crate) width: usize,
}

impl Pace<'_> {
    /// How much time is left, if any.
    fn left(&self) -> Option<Duration> {
        let left = self.until.duration_since(self.clock.now());
        Duration::try_from(left).ok().filter(|left| !left.is_zero())
    }

    /// Does something in what is left and `more`.
    async fn within<T>(
        &self,
        more: Duration,
        act: impl Future<Output = Result<T, Cause>>,
    ) -> Result<T, Cause> {
        let time = self.left().unwrap_or_default() + more;
        timeout(time, act)
            .await
            .unwrap_or_else(|_| Err(NoTimeLeft.into()))
    }
}

/// What was done for a message, by the number of sockets.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Told.
    pub(crate) told: usize,
    /// No longer there, and forgotten.
    pub(crate) gone: usize,
    /// Maybe not there yet, and looked at later.
    pub(crate) early: usize,
    /// EndInfo without a word: the device has signed in again, or the session ran
    /// out.
    pub(crate) replaced: usize,
    /// Left alone: the session is valid.
    pub(crate) valid: usize,
    /// EndInfo after they were told.
    pub(crate) closed: usize,
    /// Not dealt with now, and looked at later by a message of their own.
    pub(crate) later: usize,
    /// Not dealt with.
    pub(crate) failed: usize,
}

/// What becomes of a socket that could not be dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failing {
    /// It gets a message of its own, soon: the others need not be told again for
    /// it, and it need not wait until this message is delivered again.
    Apart,
    /// Its message, which has none but it, is delivered again.
    Together,
}

/// What became of one socket.
enum Became {
    Told,
    Gone,
    Early,
    Replaced,
    Valid,
}

/// What a device is told: the only frame that is ever sent to one whose session
/// has ended.
#[derive(Debug, Serialize)]
struct Frame<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    sign_out: SignOutId,
    session: SessionId,
    reason: &'static str,
    signed_out_at: Timestamp,
    signed_out_by: Option<&'a SignedOutBy>,
}

/// The time for this message is over.
#[derive(Debug, thiserror::Error)]
#[error("no time was left for it")]
struct NoTimeLeft;

/// A device was told, and that was not written into the receipt.
#[derive(Debug, thiserror::Error)]
#[error("the push was not written down")]
struct NotMarked;

/// What could not be done.
#[derive(Default)]
struct Undone {
    number: usize,
    first: Option<Cause>,
}

/// Tells the devices of those sockets whose sessions a sign-out has ended, writes
/// down that they were told, and asks for the sockets' end after a grace. What
/// goes wrong with one does not hold up the others.
///
/// Each that is told is written down at once, and some are given their end before the
/// next: when the time is over, those that were told need not be told again.
///
/// # Errors
/// [`Error`] when not all of it was done.
pub(crate) async fn tell(
    deps: &Deps,
    account: AccountId,
    connections: &[Connection],
    failing: Failing,
    pace: Pace<'_>,
    now: Timestamp,
    counts: &mut Counts,
) -> Result<(), Error> {
    let mut seen = HashSet::new();
    let sessions: Vec<_> = connections
        .iter()
        .map(Connection::session_key)
        .filter(|key| seen.insert(key.session))
        .collect();
    if sessions.is_empty() {
        return Ok(());
    }
    let fates = deps
        .store
        .resolved_statuses(account, &sessions, &deps.limits, now)
        .await?;
    let keys = sessions.iter().map(|key| key.session);
    let telling = Telling {
        deps,
        account,
        fates: keys.zip(fates).collect(),
        marked: RefCell::default(),
        pace,
        now,
    };
    let mut undone = Undone::default();
    let mut failed = Vec::new();
    for some in connections.chunks(AT_ONCE) {
        failed.extend(telling.tell(some, counts, &mut undone).await);
    }

    // Asking for each is for the few: what there was no time for comes with the
    // whole message again.
    let is_apart = |cause: &Cause| failing == Failing::Apart && !cause.is::<NoTimeLeft>();
    let (apart, together): (Vec<_>, Vec<_>) =
        failed.into_iter().partition(|(_, cause)| is_apart(cause));
    let causes: HashMap<&ConnectionId, Cause> = apart
        .into_iter()
        .map(|(connection, cause)| (&connection.id, cause))
        .collect();
    let asked = connections
        .iter()
        .filter(|connection| causes.contains_key(&connection.id));
    let asked = each(pace, asked, async |connection| {
        look_later(deps, connection).await
    });
    for (connection, asked) in asked.await {
        let cause = store::chain(causes[&connection.id].as_ref());
        match asked {
            Ok(()) => {
                tracing::warn!(cause, connection = %connection.id, "A socket is looked at later.");
                counts.later += 1;
            }
            Err(error) => {
                tracing::warn!(cause, connection = %connection.id, "A socket was not served.");
                counts.failed += 1;
                undone.add(error);
            }
        }
    }
    counts.failed += together.len();
    for (_, cause) in together {
        undone.add(cause);
    }
    undone.done()
}

/// The sockets of an account that are told of by one message.
struct Telling<'a> {
    deps: &'a Deps,
    account: AccountId,
    /// What became of each session.
    fates: HashMap<SessionId, ResolvedStatus>,
    /// The sessions whose devices were told, as the receipt says by now: a device
    /// with several sockets has one part in it.
    marked: RefCell<HashSet<SessionId>>,
    pace: Pace<'a>,
    now: Timestamp,
}

impl Telling<'_> {
    /// Tells some of them, writes that down, asks for their end, and gives back those
    /// that could not be dealt with.
    async fn tell<'c>(
        &self,
        connections: &'c [Connection],
        counts: &mut Counts,
        undone: &mut Undone,
    ) -> Vec<(&'c Connection, Cause)> {
        let mut failed = Vec::new();
        let mut told: Vec<&Connection> = Vec::new();
        let became = each(self.pace, connections, async |connection| {
            let fate = &self.fates[&connection.session.session];
            let became = reach(self.deps, connection, fate, self.now).await?;
            // At once, and not when all are told: there may be no time then.
            if let (Became::Told, ResolvedStatus::SignedOut(ended)) = (&became, fate) {
                self.mark(connection, ended).await;
            }
            Ok(became)
        });
        for (connection, became) in became.await {
            match became {
                Ok(Became::Told) => told.push(connection),
                Ok(Became::Gone) => counts.gone += 1,
                Ok(Became::Early) => counts.early += 1,
                Ok(Became::Replaced) => counts.replaced += 1,
                Ok(Became::Valid) => counts.valid += 1,
                Err(cause) => failed.push((connection, cause)),
            }
        }
        counts.told += told.len();

        // What could not be written down is told and written again, so each socket
        // of its device stays, with its row, until then.
        let (told, unmarked): (Vec<&Connection>, Vec<_>) = told
            .into_iter()
            .partition(|connection| self.is_marked(connection));
        failed.extend(unmarked.into_iter().map(|one| (one, NotMarked.into())));
        if !told.is_empty() {
            let asked = Asked::Close {
                account_id: self.account,
                connection_ids: told
                    .iter()
                    .map(|connection| connection.id.clone())
                    .collect(),
            };
            let asking = self.deps.queue.ask(&asked, GRACE);
            undone.take(self.pace.within(FINISHING + ASKING, asking).await);
        }
        failed
    }

    fn is_marked(&self, connection: &Connection) -> bool {
        self.marked.borrow().contains(&connection.session.session)
    }

    /// Writes down that a device was told, unless another socket of it has been.
    async fn mark(&self, connection: &Connection, ended: &EndInfo) {
        if self.is_marked(connection) {
            return;
        }
        let (store, limits) = (&self.deps.store, &self.deps.limits);
        let (session, step) = (&connection.session, Step::Pushed);
        match store
            .record_step(self.account, ended, session, step, self.now, limits)
            .await
        {
            Ok(()) => {
                self.marked.borrow_mut().insert(session.session);
            }
            Err(error) => {
                let cause = store::chain(&error);
                tracing::warn!(cause, connection = %connection.id, "A push was not written down.");
            }
        }
    }
}

/// Asks for a socket to be looked at again, by a message of its own.
async fn look_later(deps: &Deps, connection: &Connection) -> Result<(), Cause> {
    let asked = Asked::Check {
        account_id: connection.account,
        connection_id: connection.id.clone(),
    };
    deps.queue.ask(&asked, LATER).await
}

/// Ends sockets whose devices were told and forgets them.
///
/// # Errors
/// [`Error`] when not all of it was done.
pub(crate) async fn close(
    deps: &Deps,
    account: AccountId,
    ids: &[ConnectionId],
    pace: Pace<'_>,
    counts: &mut Counts,
) -> Result<(), Error> {
    let mut undone = Undone::default();
    let ends = each(pace, ids, async |id| {
        deps.sockets.close(id).await?;
        deps.store.disconnect(account, id).await?;
        Ok(())
    });
    for (_, end) in ends.await {
        match end {
            Ok(()) => counts.closed += 1,
            Err(cause) => {
                counts.failed += 1;
                undone.add(cause);
            }
        }
    }
    undone.done()
}

/// Does for one socket what the fate of its session asks for.
async fn reach(
    deps: &Deps,
    connection: &Connection,
    fate: &ResolvedStatus,
    now: Timestamp,
) -> Result<Became, Cause> {
    let (reach, became) = match fate {
        ResolvedStatus::SignedIn => return Ok(Became::Valid),
        ResolvedStatus::SignedOut(ended) => {
            let frame = frame(connection, ended);
            let sent = deps.sockets.send(&connection.id, &frame).await?;
            (sent, Became::Told)
        }
        ResolvedStatus::Replaced | ResolvedStatus::Expired => {
            let closed = deps.sockets.close(&connection.id).await?;
            (closed, Became::Replaced)
        }
    };
    let (account, id) = (connection.account, &connection.id);
    match (reach, became) {
        (Reach::Reached, Became::Told) => Ok(Became::Told),
        (Reach::Reached, became) => {
            deps.store.disconnect(account, id).await?;
            Ok(became)
        }
        (Reach::Gone, _) if is_over(connection, now) => {
            deps.store.disconnect(account, id).await?;
            Ok(Became::Gone)
        }
        (Reach::Gone, _) => {
            look_later(deps, connection).await?;
            Ok(Became::Early)
        }
    }
}

/// Whether the handshake of a connection is over, so that a socket that is not
/// there will not come.
fn is_over(connection: &Connection, now: Timestamp) -> bool {
    now.duration_since(connection.connected_at) >= HANDSHAKE
}

/// The frame for a session that has ended.
fn frame(connection: &Connection, ended: &EndInfo) -> String {
    let by = ended.by.as_ref().map(SignedOutBy::from);
    let frame = Frame {
        kind: "session-revoked",
        sign_out: ended.sign_out,
        session: connection.session.session,
        reason: ended.reason.as_str(),
        signed_out_at: ended.at,
        signed_out_by: by.as_ref(),
    };
    serde_json::to_string(&frame).expect("a frame is texts under names")
}

/// Does the same for each, some at a time, while there is time.
async fn each<T: Copy, R>(
    pace: Pace<'_>,
    items: impl IntoIterator<Item = T>,
    act: impl AsyncFn(T) -> Result<R, Cause>,
) -> Vec<(T, Result<R, Cause>)> {
    let act = &act;
    stream::iter(items)
        .map(|item| async move {
            let done = if pace.left().is_some() {
                pace.within(FINISHING, act(item)).await
            } else {
                Err(NoTimeLeft.into())
            };
            (item, done)
        })
        .buffer_unordered(pace.width)
        .collect()
        .await
}

impl Undone {
    fn add(&mut self, cause: Cause) {
        self.number += 1;
        self.first.get_or_insert(cause);
    }

    fn take(&mut self, done: Result<(), Cause>) {
        if let Err(cause) = done {
            self.add(cause);
        }
    }

    fn done(self) -> Result<(), Error> {
        match self.first {
            None => Ok(()),
            Some(first) => Err(Error::Undone {
                undone: self.number,
                first,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const NOON: Timestamp = Timestamp::UNIX_EPOCH;

    #[tokio::test]
    async fn nothing_is_begun_when_the_time_is_over() {
        let clock = Clock::fixed(NOON);
        let pace = Pace {
            clock: &clock,
            until: NOON,
            width: 2,
        };
        let begun = Cell::new(0);
        let done = each(pace, [1, 2, 3], async |_| {
            begun.set(begun.get() + 1);
            Ok(())
        });
        let done = done.await;
        assert_eq!(done.len(), 3, "each of them is accounted for");
        assert!(done.iter().all(|(_, done)| done.is_err()));
        assert_eq!(begun.get(), 0);
    }

    #[tokio::test]
    async fn as_many_run_at_once_as_the_pace_allows_and_no_more() {
        let clock = Clock::fixed(NOON);
        let pace = Pace {
            clock: &clock,
            until: NOON + Duration::from_mins(1),
            width: 3,
        };
        let (running, most) = (Cell::new(0), Cell::new(0));
        let done = each(pace, 0..10, async |n| {
            running.set(running.get() + 1);
            most.set(running.get().max(most.get()));
            tokio::task::yield_now().await;
            running.set(running.get() - 1);
            Ok(n)
        });
        let mut done: Vec<i32> = done.await.into_iter().map(|(n, _)| n).collect();
        done.sort_unstable();
        assert_eq!(done, (0..10).collect::<Vec<_>>());
        assert_eq!(most.get(), 3);
    }
}
