//! The open streams.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::revocation::{Revocation, Session};

/// The open streams of this process.
///
/// Open a stream first, and check its session with introspection afterwards. The
/// check or the message then reports a sign-out in between. In the other order,
/// neither might.
#[derive(Clone, Default)]
pub struct Streams(Arc<Mutex<Open>>);

#[derive(Default)]
struct Open {
    last: u64,
    streams: HashMap<u64, (Session, oneshot::Sender<Infallible>)>,
}

/// A stream. It is open until it is dropped.
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

    /// Returns the number of open streams.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().streams.len()
    }

    /// Ends the streams of every ended session, and returns their number.
    #[expect(clippy::must_use_candidate, reason = "callers may ignore the number")]
    pub fn end(&self, revocation: &Revocation) -> usize {
        let mut open = self.lock();
        let ended = open
            .streams
            .extract_if(|_, (session, _)| revocation.ends(session));
        // Dropping the sender ends the stream.
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
        // No value is ever sent. Receiving fails when the sender is dropped.
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
    async fn the_streams_of_an_ended_session_end_and_the_others_stay_open() {
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
        assert_eq!(streams.end(&revocation), 0, "a duplicate message");
    }

    #[test]
    fn a_dropped_stream_is_not_open() {
        let streams = Streams::default();
        let stream = streams.open(session("tv"));

        drop(stream);

        assert_eq!(streams.count(), 0);
    }
}
