//! What is open, and for whom.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::revocation::{Revocation, Session};

/// The open streams of this process.
///
/// Open a stream *first* and ask whether its session is valid *then*, as with
/// introspection: a sign-out in between is heard of by one or the other. The other
/// way round it could be missed by both.
#[derive(Clone, Default)]
pub struct Streams(Arc<Mutex<Open>>);

#[derive(Default)]
struct Open {
    last: u64,
    streams: HashMap<u64, (Session, oneshot::Sender<Infallible>)>,
}

/// A stream. It counts as open until it is dropped.
#[derive(Debug)]
pub struct Stream {
    id: u64,
    ended: oneshot::Receiver<Infallible>,
    streams: Streams,
}

impl Streams {
    /// Opens a stream for a session.
    #[must_use]
    pub fn open(&self, session: Session) -> Stream {
        let (end, ended) = oneshot::channel();
        let mut open = self.lock();
        open.last += 1;
        let id = open.last;
        open.streams.insert(id, (session, end));
        Stream {
            id,
            ended,
            streams: self.clone(),
        }
    }

    /// How many are open.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().streams.len()
    }

    /// Ends the streams of every session that has ended; how many there were.
    #[expect(clippy::must_use_candidate, reason = "it is done for what it does")]
    pub fn end(&self, revocation: &Revocation) -> usize {
        let mut open = self.lock();
        let ended = open
            .streams
            .extract_if(|_, (session, _)| revocation.ends(session));
        // Dropping the other end tells a stream.
        ended.count()
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams")
            .field("count", &self.count())
            .finish()
    }
}

impl Stream {
    /// Waits until the stream's session has ended.
    pub async fn ended(&mut self) {
        // Nothing is ever sent: that the other end is gone says it.
        let _ = (&mut self.ended).await;
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.streams.lock().streams.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(session_id: &str) -> Session {
        Session {
            account_id: "ours".to_owned(),
            session_id: session_id.to_owned(),
            epoch: 1,
        }
    }

    #[tokio::test]
    async fn the_streams_of_an_ended_session_end_and_the_others_go_on() {
        let streams = Streams::default();
        let mut tv = [streams.open(session("tv")), streams.open(session("tv"))];
        let _phone = streams.open(session("phone"));
        let revocation = Revocation::Session {
            account_id: "ours".to_owned(),
            session_id: "tv".to_owned(),
        };

        assert_eq!(streams.end(&revocation), 2);

        for stream in &mut tv {
            stream.ended().await;
        }
        assert_eq!(streams.count(), 1);
        assert_eq!(streams.end(&revocation), 0, "a message that comes twice");
    }

    #[test]
    fn a_stream_that_was_closed_is_not_open() {
        let streams = Streams::default();
        let stream = streams.open(session("tv"));

        drop(stream);

        assert_eq!(streams.count(), 0);
    }
}
