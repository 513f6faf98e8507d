//! The end of a session: stop, wipe, acknowledge.

use std::io;

use tokio::time::{Instant, sleep, timeout_at};

use super::SessionTask;
use crate::{Channel, EndReason, Event, Frame, NoAnswer, Session, SignedOut, Socket};

/// The number of attempts to wipe.
const WIPE_ATTEMPTS: u32 = 3;

impl SessionTask {
    /// Ends the session in the order of `infra/docs/devices.md`: stop, forget the
    /// token, wipe, show the sign-in screen, acknowledge, close.
    pub(super) async fn end(
        &mut self,
        reason: EndReason,
        channel: Channel,
        socket: Option<Box<Socket>>,
    ) {
        // Only the last two are good for an acknowledgement.
        self.take_token();
        let was_connected = socket.is_some();
        match reason {
            EndReason::SignedOut(signed_out) => self.go_dark(signed_out, channel, socket).await,
            EndReason::Expired | EndReason::AccountDisabled | EndReason::Invalid => {
                if let Ok(true) = self.storage().forget(&self.session) {
                    self.report(Event::SignInScreen(reason));
                }
                drop(socket);
            }
        }
        if was_connected {
            self.report(Event::Disconnected);
        }
    }

    async fn go_dark(&self, signed_out: SignedOut, channel: Channel, socket: Option<Box<Socket>>) {
        // Counted from the revocation, not from the wipe: so does Curfew, which
        // then closes the socket unasked.
        let until = Instant::now() + self.timing.grace;
        self.report(Event::Stopped(signed_out.clone(), channel));
        let is_wiped = match self.wipe().await {
            // The stored data belongs to a new sign-in.
            Ok(false) => return,
            Ok(true) => {
                self.report(Event::Wiped);
                true
            }
            Err(error) => {
                self.report(Event::WipeFailed(error.to_string()));
                false
            }
        };
        let reason = EndReason::SignedOut(signed_out.clone());
        self.report(Event::SignInScreen(reason));
        let acknowledged = if is_wiped {
            self.acknowledge(signed_out, socket, until).await
        } else {
            None
        };
        self.report(acknowledged.map_or(Event::NotAcknowledged, Event::Acknowledged));
    }

    /// Forgets the token and wipes. Returns false when another sign-in has replaced
    /// the session.
    async fn wipe(&self) -> io::Result<bool> {
        let mut failures = 0;
        loop {
            let wiped = {
                let mut storage = self.storage();
                if storage
                    .session()
                    .is_some_and(|now| now.id != self.session.id)
                {
                    return Ok(false);
                }
                storage.wipe()
            };
            failures += 1;
            match wiped {
                Ok(()) => return Ok(true),
                Err(error) if failures == WIPE_ATTEMPTS => return Err(error),
                Err(_) => sleep(self.timing.until_retry(failures)).await,
            }
        }
    }

    /// Acknowledges the sign-out: over the socket if it is open, otherwise by a call
    /// with the dead token, retried until there is an answer.
    async fn acknowledge(
        &self,
        mut signed_out: SignedOut,
        socket: Option<Box<Socket>>,
        until: Instant,
    ) -> Option<Channel> {
        if let Some(mut socket) = socket.filter(|_| Instant::now() < until) {
            if signed_out.sign_out.is_none() {
                signed_out.sign_out = sign_out_id(&mut socket, &self.session, until).await;
            }
            if let Some(sign_out) = &signed_out.sign_out
                && acknowledged_over(&mut socket, sign_out, until).await
            {
                return Some(Channel::Socket);
            }
        }
        let sign_out = signed_out.sign_out?;
        let mut failures = 0;
        loop {
            match self.api.acknowledge(&self.session.token, &sign_out).await {
                Ok(true) => return Some(Channel::Call),
                Ok(false) => return None,
                Err(NoAnswer { retry_after, .. }) => {
                    let wait = self.timing.until_retry(failures) + retry_after.unwrap_or_default();
                    sleep(wait).await;
                    failures += 1;
                }
            }
        }
    }
}

/// Waits for the revocation on the socket, to learn the sign-out's id.
async fn sign_out_id(socket: &mut Socket, ours: &Session, until: Instant) -> Option<String> {
    loop {
        match timeout_at(until, socket.next()).await {
            Ok(Ok(Some(Frame::SessionRevoked {
                session,
                signed_out,
            }))) if session == ours.id => return signed_out.sign_out,
            Ok(Ok(Some(_))) => {}
            Ok(Ok(None) | Err(_)) | Err(_) => return None,
        }
    }
}

/// Acknowledges over the socket. Curfew accepts by closing it; any other frame but
/// a repeated revocation is a complaint.
async fn acknowledged_over(socket: &mut Socket, sign_out: &str, until: Instant) -> bool {
    if socket.acknowledge(sign_out).await.is_err() {
        return false;
    }
    loop {
        match timeout_at(until, socket.next()).await {
            Ok(Ok(Some(Frame::SessionRevoked { .. }))) => {}
            Ok(Ok(None)) => return true,
            Ok(Ok(Some(_)) | Err(_)) | Err(_) => return false,
        }
    }
}
