//! Keeps the socket of one session open, and ends the session when it is over.
//!
//! A socket that opens shows that the session is valid: the handshake has checked
//! it. One that can't be opened, for whatever reason, says nothing: the device asks
//! `GET /v1/session`, and only an answer of the API, or a revocation that names the
//! session, ends it. What can't answer is asked again, later and later.

use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::api::{Acknowledgement, Unanswered, Verdict};
use super::{Api, Because, Frame, Memory, News, Pace, Session, SignedOut, Socket, Way};

/// How often a wipe is tried.
const WIPES: u32 = 3;

/// What the device is told by the rest of the client.
#[derive(Clone, Debug)]
pub(super) enum Control {
    /// The network is gone.
    Offline,
    /// It is back.
    Online,
    /// Ask at once whether the session is still valid.
    Ask,
    /// An answer to another call of this session said that it is over.
    Over(Because),
    /// End, and stay signed in.
    Stop,
}

/// One session, for as long as it lasts.
#[derive(Debug)]
pub(super) struct Keeper {
    pub api: Api,
    pub socket_url: Option<String>,
    pub session: Session,
    pub pace: Pace,
    pub memory: Arc<Mutex<Memory>>,
    pub controls: UnboundedReceiver<Control>,
    pub news: UnboundedSender<News>,
}

/// What came of one attempt to be connected.
enum Turn {
    Over(Because, Way, Option<Box<Socket>>),
    /// It held for a while, or not at all.
    Lost(Unanswered, Duration),
    Offline,
    Stopped,
}

impl Turn {
    fn failed(why: Unanswered) -> Self {
        Self::Lost(why, Duration::ZERO)
    }
}

impl Keeper {
    /// Keeps the session until it is over, or until it is told to stop.
    pub(super) async fn keep(mut self) {
        let mut failed = 0;
        loop {
            match self.turn().await {
                Turn::Over(because, way, socket) => return self.end(because, way, socket).await,
                Turn::Stopped => return,
                Turn::Offline => {
                    if !self.comes_online().await {
                        return;
                    }
                    failed = 0;
                }
                Turn::Lost(Unanswered { why, retry_after }, held) => {
                    if held >= self.pace.settled {
                        failed = 0;
                    }
                    let wait = self.pace.to_attempt(failed) + retry_after.unwrap_or_default();
                    failed += 1;
                    self.tell(News::Waits { why, wait });
                    match self.waits(wait).await {
                        Ok(true) => {}
                        Ok(false) => return,
                        Err(because) => return self.end(because, Way::Call, None).await,
                    }
                }
            }
        }
    }

    /// Connects, and stays connected for as long as it lasts.
    async fn turn(&mut self) -> Turn {
        let socket = match self.reached().await {
            Ok(socket) => socket,
            Err(turn) => return turn,
        };
        self.tell(News::Connected);
        let turn = self.listen(socket).await;
        if !matches!(turn, Turn::Over(_, _, Some(_))) {
            self.tell(News::Disconnected);
        }
        turn
    }

    async fn listen(&mut self, mut socket: Socket) -> Turn {
        let connected = Instant::now();
        let lost = |why: String| Turn::Lost(why.into(), connected.elapsed());
        let mut beat = pin!(sleep(self.pace.to_heartbeat()));
        loop {
            tokio::select! {
                frame = socket.next() => match frame {
                    Ok(Some(Frame::SessionRevoked { session, signed_out })) => {
                        if session == self.session.id {
                            let because = Because::SignedOut(signed_out);
                            return Turn::Over(because, Way::Socket, Some(Box::new(socket)));
                        }
                    }
                    Ok(Some(Frame::Problem(name))) => self.tell(News::Problem(name)),
                    Ok(Some(Frame::Unknown)) => {}
                    Ok(None) => return lost("the socket was closed".to_owned()),
                    Err(error) => return lost(error.to_string()),
                },
                () = &mut beat => {
                    if let Err(error) = socket.heartbeat().await {
                        return lost(error.to_string());
                    }
                    self.tell(News::Heartbeat);
                    beat.set(sleep(self.pace.to_heartbeat()));
                }
                control = self.controls.recv() => match control {
                    Some(Control::Online) => {}
                    Some(Control::Offline) => {
                        self.close(socket).await;
                        return Turn::Offline;
                    }
                    Some(Control::Ask) => {
                        // What does not answer is no worse for it: the socket stands.
                        let verdict = self.api.session(&self.session.token).await;
                        if let Verdict::Over(because) = verdict {
                            return Turn::Over(because, Way::Call, Some(Box::new(socket)));
                        }
                    }
                    Some(Control::Over(because)) => {
                        return Turn::Over(because, Way::Call, Some(Box::new(socket)));
                    }
                    Some(Control::Stop) | None => {
                        self.close(socket).await;
                        return Turn::Stopped;
                    }
                },
            }
        }
    }

    /// Says goodbye, so that the gateway knows at once; nobody waits long for a
    /// peer that does not answer.
    async fn close(&self, socket: Socket) {
        let _ = timeout(self.pace.grace, socket.close()).await;
    }

    /// An open socket, unless something else is said before.
    async fn reached(&mut self) -> Result<Socket, Turn> {
        let Self {
            api,
            socket_url,
            session,
            controls,
            ..
        } = self;
        let mut reaching = pin!(reach(api, socket_url.as_deref(), session));
        loop {
            tokio::select! {
                reached = &mut reaching => return reached,
                control = controls.recv() => match control {
                    Some(Control::Offline) => return Err(Turn::Offline),
                    Some(Control::Over(because)) => {
                        return Err(Turn::Over(because, Way::Call, None));
                    }
                    Some(Control::Stop) | None => return Err(Turn::Stopped),
                    Some(Control::Ask | Control::Online) => {}
                },
            }
        }
    }

    /// Waits for the network; false when it is told to end before.
    async fn comes_online(&mut self) -> bool {
        loop {
            match self.controls.recv().await {
                Some(Control::Online) => return true,
                // What an answer said before the network went is said again.
                Some(Control::Offline | Control::Ask | Control::Over(_)) => {}
                Some(Control::Stop) | None => return false,
            }
        }
    }

    /// Waits before the next attempt; false when it is told to end before.
    async fn waits(&mut self, wait: Duration) -> Result<bool, Because> {
        let until = Instant::now() + wait;
        match timeout_at(until, self.controls.recv()).await {
            Err(_) | Ok(Some(Control::Online | Control::Ask)) => Ok(true),
            Ok(Some(Control::Over(because))) => Err(because),
            Ok(Some(Control::Offline)) => Ok(self.comes_online().await),
            Ok(Some(Control::Stop) | None) => Ok(false),
        }
    }

    /// The end, in its order: stop, forget the token, wipe, show the sign-in
    /// screen, acknowledge, close.
    async fn end(&self, because: Because, way: Way, socket: Option<Box<Socket>>) {
        let had_socket = socket.is_some();
        match because {
            Because::SignedOut(signed_out) => self.go_dark(signed_out, way, socket).await,
            Because::Expired | Because::Invalid => {
                if let Ok(true) = self.memory().forget(&self.session) {
                    self.tell(News::SignInScreen(because));
                }
                drop(socket);
            }
        }
        if had_socket {
            self.tell(News::Disconnected);
        }
    }

    async fn go_dark(&self, signed_out: SignedOut, way: Way, socket: Option<Box<Socket>>) {
        // From when it has learnt of it, not from when it has wiped: Curfew counts so,
        // and hangs up unasked.
        let until = Instant::now() + self.pace.grace;
        self.tell(News::Stopped(signed_out.clone(), way));
        let is_wiped = match self.wiped().await {
            // Another sign-in has taken its place; what is stored is that one's.
            Ok(false) => return,
            Ok(true) => {
                self.tell(News::Wiped);
                true
            }
            Err(error) => {
                self.tell(News::NotWiped(error.to_string()));
                false
            }
        };
        let because = Because::SignedOut(signed_out.clone());
        self.tell(News::SignInScreen(because));
        let acknowledged = if is_wiped {
            self.acknowledge(signed_out, socket, until).await
        } else {
            None
        };
        self.tell(acknowledged.map_or(News::NotAcknowledged, News::Acknowledged));
    }

    /// Forgets the token and wipes, unless the session was replaced already.
    async fn wiped(&self) -> io::Result<bool> {
        let mut failed = 0;
        loop {
            let tried = {
                let mut memory = self.memory();
                if memory.session().is_some_and(|now| *now != self.session) {
                    return Ok(false);
                }
                memory.wipe()
            };
            failed += 1;
            match tried {
                Ok(()) => return Ok(true),
                Err(error) if failed == WIPES => return Err(error),
                Err(_) => sleep(self.pace.to_attempt(failed)).await,
            }
        }
    }

    /// Says that the device has wiped itself, over the socket if that is open, or
    /// else by a call with the dead token, for as long as nothing answers.
    async fn acknowledge(
        &self,
        mut signed_out: SignedOut,
        socket: Option<Box<Socket>>,
        until: Instant,
    ) -> Option<Way> {
        if let Some(mut socket) = socket.filter(|_| Instant::now() < until) {
            if signed_out.sign_out.is_none() {
                signed_out.sign_out = named(&mut socket, &self.session, until).await;
            }
            if let Some(sign_out) = &signed_out.sign_out
                && is_taken(&mut socket, sign_out, until).await
            {
                return Some(Way::Socket);
            }
        }
        let sign_out = signed_out.sign_out?;
        let mut failed = 0;
        loop {
            match self.api.acknowledge(&self.session.token, &sign_out).await {
                Ok(Acknowledgement::Known) => return Some(Way::Call),
                Ok(Acknowledgement::Refused) => return None,
                Err(Unanswered { retry_after, .. }) => {
                    let wait = self.pace.to_attempt(failed) + retry_after.unwrap_or_default();
                    sleep(wait).await;
                    failed += 1;
                }
            }
        }
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, news: News) {
        // Nobody has to listen.
        let _ = self.news.send(news);
    }
}

/// Opens the socket, or else asks what that means.
async fn reach(api: &Api, url: Option<&str>, session: &Session) -> Result<Socket, Turn> {
    let why = match open(api, url, session).await {
        Ok(socket) => return Ok(socket),
        Err(why) => why,
    };
    match api.session(&session.token).await {
        Verdict::SignedIn => Err(Turn::failed(why)),
        Verdict::Over(because) => Err(Turn::Over(because, Way::Call, None)),
        Verdict::None(why) => Err(Turn::failed(why)),
    }
}

async fn open(api: &Api, url: Option<&str>, session: &Session) -> Result<Socket, Unanswered> {
    let url = match url {
        Some(url) => url.to_owned(),
        None => api.socket_url(&session.token).await?,
    };
    let opened = Socket::open(api, &url, &session.token).await;
    opened.map_err(|error| error.to_string().into())
}

/// The id of the sign-out that the socket tells of, if it still does.
async fn named(socket: &mut Socket, ours: &Session, until: Instant) -> Option<String> {
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

/// Acknowledges over the socket. It is taken when the other side hangs up upon
/// it; whatever else is said is a complaint.
async fn is_taken(socket: &mut Socket, sign_out: &str, until: Instant) -> bool {
    if socket.acknowledge(sign_out).await.is_err() {
        return false;
    }
    loop {
        match timeout_at(until, socket.next()).await {
            // The same revocation may come twice.
            Ok(Ok(Some(Frame::SessionRevoked { .. }))) => {}
            Ok(Ok(None)) => return true,
            Ok(Ok(Some(_)) | Err(_)) | Err(_) => return false,
        }
    }
}
