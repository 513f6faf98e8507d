//! The task of one session: keeps its socket open, and ends the session.
//!
//! A socket that opens proves that the session is valid: the handshake has checked
//! it. A socket that can't be opened proves nothing, so the device asks
//! `GET /v1/session`. Only an answer of the API, or a revocation that names the
//! session, ends it. Everything else is retried with back-off.

use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::{
    Api, Channel, EndReason, Event, Frame, NoAnswer, Secret, Session, SessionCheck, SignedOut,
    Socket, Storage, Timing,
};

/// The number of attempts to wipe.
const WIPE_ATTEMPTS: u32 = 3;

/// A message from the client to its session's task.
#[derive(Clone, Debug)]
pub(crate) enum Control {
    /// The network is gone.
    Offline,
    /// The network is back.
    Online,
    /// Ask at once whether the session is still valid.
    Check,
    /// The answer to a call said that the session has ended.
    Ended(EndReason),
    /// End the task, and stay signed in.
    Stop,
}

/// The task of one session.
#[derive(Debug)]
pub(crate) struct SessionTask {
    pub api: Api,
    pub socket_url: Option<String>,
    pub session: Session,
    pub timing: Timing,
    pub storage: Arc<Mutex<Storage>>,
    pub controls: UnboundedReceiver<Control>,
    pub events: UnboundedSender<Event>,
}

/// The end of one attempt to be connected.
enum Attempt {
    /// The session has ended. The socket is there if it is still open.
    Ended(EndReason, Channel, Option<Box<Socket>>),
    /// The connection was lost after this time; zero if there was none.
    Lost(NoAnswer, Duration),
    Offline,
    Stopped,
}

impl SessionTask {
    /// Runs until the session has ended, or until [`Control::Stop`].
    pub(crate) async fn run(mut self) {
        let mut failures = 0;
        loop {
            match self.attempt().await {
                Attempt::Ended(reason, channel, socket) => {
                    return self.end(reason, channel, socket).await;
                }
                Attempt::Stopped => return,
                Attempt::Offline => {
                    if !self.network_is_back().await {
                        return;
                    }
                    failures = 0;
                }
                Attempt::Lost(no_answer, lasted) => {
                    if lasted >= self.timing.settled {
                        failures = 0;
                    }
                    let NoAnswer {
                        reason,
                        retry_after,
                    } = no_answer;
                    let wait = self.timing.until_retry(failures) + retry_after.unwrap_or_default();
                    failures += 1;
                    self.report(Event::Retrying { reason, wait });
                    match self.wait_to_retry(wait).await {
                        Ok(true) => {}
                        Ok(false) => return,
                        Err(reason) => return self.end(reason, Channel::Call, None).await,
                    }
                }
            }
        }
    }

    /// Connects, and listens until the connection ends.
    async fn attempt(&mut self) -> Attempt {
        let socket = match self.connect().await {
            Ok(socket) => socket,
            Err(attempt) => return attempt,
        };
        self.report(Event::Connected);
        let attempt = self.listen(socket).await;
        if !matches!(attempt, Attempt::Ended(_, _, Some(_))) {
            self.report(Event::Disconnected);
        }
        attempt
    }

    async fn listen(&mut self, mut socket: Socket) -> Attempt {
        let connected = Instant::now();
        let lost = |reason: String| Attempt::Lost(reason.into(), connected.elapsed());
        let mut heartbeat = pin!(sleep(self.timing.until_heartbeat()));
        loop {
            tokio::select! {
                frame = socket.next() => match frame {
                    Ok(Some(Frame::SessionRevoked { session, signed_out })) => {
                        if session == self.session.id {
                            let reason = EndReason::SignedOut(signed_out);
                            return Attempt::Ended(reason, Channel::Socket, Some(Box::new(socket)));
                        }
                    }
                    Ok(Some(Frame::Problem(name))) => self.report(Event::Problem(name)),
                    Ok(Some(Frame::Unknown)) => {}
                    Ok(None) => return lost("the socket was closed".to_owned()),
                    Err(error) => return lost(error.to_string()),
                },
                () = &mut heartbeat => {
                    if let Err(error) = socket.heartbeat().await {
                        return lost(error.to_string());
                    }
                    self.report(Event::Heartbeat);
                    heartbeat.set(sleep(self.timing.until_heartbeat()));
                }
                control = self.controls.recv() => {
                    match self.obey(control, socket).await {
                        Ok(open) => socket = open,
                        Err(attempt) => return attempt,
                    }
                }
            }
        }
    }

    /// Follows a control while connected. Returns the socket if it stays open.
    async fn obey(&self, control: Option<Control>, socket: Socket) -> Result<Socket, Attempt> {
        let reason = match control {
            Some(Control::Online) => return Ok(socket),
            Some(Control::Offline) => {
                self.close(socket).await;
                return Err(Attempt::Offline);
            }
            Some(Control::Check) => match self.check().await {
                SessionCheck::Ended(reason) => reason,
                // Without a verdict the open socket still counts.
                SessionCheck::SignedIn | SessionCheck::Unknown(_) => return Ok(socket),
            },
            Some(Control::Ended(reason)) => reason,
            Some(Control::Stop) | None => {
                self.close(socket).await;
                return Err(Attempt::Stopped);
            }
        };
        let socket = Some(Box::new(socket));
        Err(Attempt::Ended(reason, Channel::Call, socket))
    }

    /// Closes the socket, so that the gateway notices at once. Waits a moment for
    /// the peer.
    async fn close(&self, socket: Socket) {
        let _ = timeout(self.timing.grace, socket.close()).await;
    }

    /// Opens the socket, unless a control comes first.
    async fn connect(&mut self) -> Result<Socket, Attempt> {
        self.take_token();
        let connected = self.connect_by_token().await;
        match connected {
            // By now there is another token.
            Err(Attempt::Ended(EndReason::Invalid, ..)) if self.take_token() => {
                let reason = "the token was replaced".to_owned();
                Err(Attempt::Lost(reason.into(), Duration::ZERO))
            }
            connected => connected,
        }
    }

    async fn connect_by_token(&mut self) -> Result<Socket, Attempt> {
        let Self {
            api,
            socket_url,
            session,
            controls,
            ..
        } = self;
        let mut connecting = pin!(open_or_check(api, socket_url.as_deref(), session));
        loop {
            tokio::select! {
                connected = &mut connecting => return connected,
                control = controls.recv() => match control {
                    Some(Control::Offline) => return Err(Attempt::Offline),
                    Some(Control::Ended(reason)) => {
                        return Err(Attempt::Ended(reason, Channel::Call, None));
                    }
                    Some(Control::Stop) | None => return Err(Attempt::Stopped),
                    Some(Control::Check | Control::Online) => {}
                },
            }
        }
    }

    /// Asks whether the session is still valid. A verification may replace the token
    /// meanwhile.
    async fn check(&self) -> SessionCheck {
        let token = self.token();
        match self.api.check_session(&token).await {
            SessionCheck::Ended(EndReason::Invalid) if self.token() != token => {
                SessionCheck::SignedIn
            }
            check => check,
        }
    }

    /// Returns the session's present token.
    fn token(&self) -> Secret {
        let storage = self.storage();
        let stored = storage.token_of(&self.session);
        stored.unwrap_or(&self.session.token).clone()
    }

    /// Takes the session's present token from the storage. Returns whether it is
    /// another one.
    fn take_token(&mut self) -> bool {
        let token = self.token();
        let is_other = token != self.session.token;
        self.session.token = token;
        is_other
    }

    /// Waits for the network. Returns false when the task must stop.
    async fn network_is_back(&mut self) -> bool {
        loop {
            match self.controls.recv().await {
                Some(Control::Online) => return true,
                // An end that was reported before the network went is found again
                // at the next contact.
                Some(Control::Offline | Control::Check | Control::Ended(_)) => {}
                Some(Control::Stop) | None => return false,
            }
        }
    }

    /// Waits before the next attempt. Returns false when the task must stop, and
    /// the reason as an error when the session has ended.
    async fn wait_to_retry(&mut self, wait: Duration) -> Result<bool, EndReason> {
        let until = Instant::now() + wait;
        match timeout_at(until, self.controls.recv()).await {
            Err(_) | Ok(Some(Control::Online | Control::Check)) => Ok(true),
            Ok(Some(Control::Ended(reason))) => Err(reason),
            Ok(Some(Control::Offline)) => Ok(self.network_is_back().await),
            Ok(Some(Control::Stop) | None) => Ok(false),
        }
    }

    /// Ends the session in the order of `infra/docs/devices.md`: stop, forget the
    /// token, wipe, show the sign-in screen, acknowledge, close.
    async fn end(&mut self, reason: EndReason, channel: Channel, socket: Option<Box<Socket>>) {
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

    fn storage(&self) -> MutexGuard<'_, Storage> {
        self.storage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, event: Event) {
        // The app may have dropped the receiver.
        let _ = self.events.send(event);
    }
}

/// Opens the socket. If that fails, asks the API whether the session has ended.
async fn open_or_check(api: &Api, url: Option<&str>, session: &Session) -> Result<Socket, Attempt> {
    let lost = |no_answer| Attempt::Lost(no_answer, Duration::ZERO);
    let no_answer = match open(api, url, session).await {
        Ok(socket) => return Ok(socket),
        Err(no_answer) => no_answer,
    };
    Err(match api.check_session(&session.token).await {
        SessionCheck::SignedIn => lost(no_answer),
        SessionCheck::Ended(reason) => Attempt::Ended(reason, Channel::Call, None),
        SessionCheck::Unknown(no_answer) => lost(no_answer),
    })
}

async fn open(api: &Api, url: Option<&str>, session: &Session) -> Result<Socket, NoAnswer> {
    let url = match url {
        Some(url) => url.to_owned(),
        None => api.socket_url(&session.token).await?,
    };
    let opened = Socket::open(api, &url, &session.token).await;
    opened.map_err(|error| error.to_string().into())
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
