//! The task of one session: keeps its socket open, and ends the session.
//!
//! A socket that opens proves that the session is valid: the handshake has checked
//! it. A socket that can't be opened proves nothing, so the device asks
//! `GET /v1/session`. Only an answer of the API, or a revocation that names the
//! session, ends it. Everything else is retried with back-off.

mod ending;

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::{
    Api, Channel, EndReason, Event, Frame, NoAnswer, Secret, Session, SessionCheck, Socket,
    Storage, Timing,
};

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
