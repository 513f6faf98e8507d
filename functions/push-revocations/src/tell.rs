//! Telling devices: who is told what, and what becomes of a socket.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use domain::{AccountId, ConnectionId, Ended, SessionId, SignOutId, Step, Timestamp};
use futures_util::StreamExt as _;
use futures_util::stream;
use http_api::SignedOutBy;
use jiff::SignedDuration;
use serde::Serialize;
use sockets::{Asked, Reach};
use store::{Cause, Connection, Fate};

use crate::{Deps, Error};

/// How long a device has to say that it has wiped before its socket is ended.
const GRACE: Duration = Duration::from_secs(5);

/// The gateway gives a handshake 29 seconds. A socket that is not there before
/// they are over may still be on its way.
const HANDSHAKE: SignedDuration = SignedDuration::from_secs(30);

/// When a socket that may be on its way, or that the gateway did not serve, is
/// looked at again.
const LATER: Duration = Duration::from_secs(10);

/// How many sockets one message of ours ends: their ids fit into it easily.
const CLOSED_AT_ONCE: usize = 500;

/// How many calls are made at once, and until when new ones are begun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) until: Instant,
    pub(crate) width: usize,
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
    /// Ended without a word: the device has signed in again, or the session ran
    /// out.
    pub(crate) replaced: usize,
    /// Left alone: the session is valid.
    pub(crate) valid: usize,
    /// Ended after they were told.
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
/// # Errors
/// [`Error`] when not all of it was done.
pub(crate) async fn tell(
    deps: &Deps,
    account: AccountId,
    connections: &[Connection],
    failing: Failing,
    pace: Pace,
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
        .fates(account, &sessions, &deps.limits, now)
        .await?;
    let keys = sessions.iter().map(|key| key.session);
    let fates: HashMap<SessionId, Fate> = keys.zip(fates).collect();
    let fate = |connection: &Connection| &fates[&connection.session.session];

    let mut undone = Undone::default();
    let mut failed: Vec<(&Connection, Cause)> = Vec::new();
    let mut told: Vec<&Connection> = Vec::new();
    let became = each(pace, connections, async |connection| {
        reach(deps, connection, fate(connection), now).await
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
    counts.told = told.len();

    // A device with several sockets has one part in the receipt.
    let mut seen = HashSet::new();
    let sessions = told
        .iter()
        .filter(|connection| seen.insert(connection.session.session));
    let marks = each(pace, sessions, async |connection: &&Connection| {
        let Fate::Ended(ended) = fate(connection) else {
            return Ok(());
        };
        let (session, limits) = (&connection.session, &deps.limits);
        let mark = deps
            .store
            .mark(account, ended, session, Step::Pushed, now, limits);
        mark.await.map_err(Cause::from)
    });
    let mut marked = HashSet::new();
    for (connection, mark) in marks.await {
        match mark {
            Ok(()) => {
                marked.insert(connection.session.session);
            }
            Err(cause) => {
                let cause = store::chain(cause.as_ref());
                tracing::warn!(cause, connection = %connection.id, "A push was not written down.");
            }
        }
    }

    // What could not be written down is told and written again, so each socket of
    // its device stays, with its row, until then.
    let (told, unmarked): (Vec<&Connection>, Vec<_>) = told
        .into_iter()
        .partition(|connection| marked.contains(&connection.session.session));
    failed.extend(unmarked.into_iter().map(|one| (one, NotMarked.into())));
    for some in told.chunks(CLOSED_AT_ONCE) {
        let asked = Asked::Close {
            account_id: account,
            connection_ids: some
                .iter()
                .map(|connection| connection.id.clone())
                .collect(),
        };
        undone.take(deps.queue.ask(&asked, GRACE).await);
    }
    for (connection, cause) in failed {
        // Asking for each is for the few: what there was no time for comes with the
        // whole message again.
        let is_apart = failing == Failing::Apart && !cause.is::<NoTimeLeft>();
        if is_apart && look_later(deps, connection).await.is_ok() {
            let cause = store::chain(cause.as_ref());
            tracing::warn!(cause, connection = %connection.id, "A socket is looked at later.");
            counts.later += 1;
        } else {
            counts.failed += 1;
            undone.add(cause);
        }
    }
    undone.done()
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
    pace: Pace,
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
    fate: &Fate,
    now: Timestamp,
) -> Result<Became, Cause> {
    let (reach, became) = match fate {
        Fate::SignedIn => return Ok(Became::Valid),
        Fate::Ended(ended) => {
            let frame = frame(connection, ended);
            let sent = deps.sockets.send(&connection.id, &frame).await?;
            (sent, Became::Told)
        }
        Fate::Replaced | Fate::Expired => {
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
fn frame(connection: &Connection, ended: &Ended) -> String {
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
    pace: Pace,
    items: impl IntoIterator<Item = T>,
    act: impl AsyncFn(T) -> Result<R, Cause>,
) -> Vec<(T, Result<R, Cause>)> {
    let act = &act;
    stream::iter(items)
        .map(|item| async move {
            let done = if Instant::now() < pace.until {
                act(item).await
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

    #[tokio::test]
    async fn nothing_is_begun_when_the_time_is_over() {
        let pace = Pace {
            until: Instant::now(),
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
        let pace = Pace {
            until: Instant::now() + Duration::from_mins(1),
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
