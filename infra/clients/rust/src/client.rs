//! The client: one device with its storage, signed in or not.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::Method;
use serde_json::Value;
use tokio::sync::Mutex as AsyncMutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::session_task::{Control, SessionTask};
use crate::{
    Answer, Api, Credentials, DeviceInfo, Error, Event, NoAnswer, Proof, Secret, Session, Storage,
    Timing, device_key,
};

/// The settings of a device.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The API.
    pub api: Api,
    /// The socket's address; the API is asked when it is not set.
    pub socket_url: Option<String>,
    /// The description sent at sign-in.
    pub device: DeviceInfo,
    /// The waits.
    pub timing: Timing,
}

/// One device. Dropping it ends it without signing out.
#[derive(Debug)]
pub struct Client {
    pub(crate) settings: Settings,
    /// Locked during a verification: each begins with the token of the one before.
    pub(crate) verifying: AsyncMutex<()>,
    storage: Arc<Mutex<Storage>>,
    events: UnboundedSender<Event>,
    running: Option<Running>,
}

/// The session in use, and the task that keeps its socket open.
#[derive(Debug)]
struct Running {
    session: Session,
    controls: UnboundedSender<Control>,
    task: JoinHandle<()>,
}

impl Client {
    /// Creates a device, and returns the receiver of its events. A stored session
    /// is resumed.
    ///
    /// # Panics
    /// Outside a Tokio runtime, if there is a session to resume.
    #[must_use]
    pub fn new(settings: Settings, storage: Storage) -> (Self, UnboundedReceiver<Event>) {
        let (events, receiver) = unbounded_channel();
        let stored = storage.session().cloned();
        let mut client = Self {
            settings,
            verifying: AsyncMutex::new(()),
            storage: Arc::new(Mutex::new(storage)),
            events,
            running: None,
        };
        if let Some(session) = stored {
            client.run(session);
        }
        (client, receiver)
    }

    /// Returns the API that the device calls.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.settings.api
    }

    /// Returns the session, as long as the device has one.
    #[must_use]
    pub fn session(&self) -> Option<Session> {
        self.storage().session().cloned()
    }

    /// Locks the storage. Don't hold the guard across an `await`.
    pub fn storage(&self) -> MutexGuard<'_, Storage> {
        // Every change of the storage is complete before it can panic.
        self.storage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Signs in, with the account's device key, and keeps a socket open from then on. A
    /// first sign-in stores a new key before it is sent: if its answer is lost, the next
    /// one is the same device in the owner's list.
    ///
    /// # Errors
    /// When the API refuses, can't be reached, or the storage fails. `second-step-required`, with
    /// its challenge: [`complete_sign_in`](Self::complete_sign_in).
    pub async fn sign_in(&mut self, credentials: &Credentials) -> Result<Session, Error> {
        self.sign_in_as(credentials, None).await
    }

    /// Signs in as [`sign_in`](Self::sign_in) with a pass, for which
    /// [`request_pass`](Self::request_pass) asks.
    ///
    /// # Errors
    /// As [`sign_in`](Self::sign_in).
    pub async fn sign_in_with_pass(
        &mut self,
        credentials: &Credentials,
        pass: &Proof,
    ) -> Result<Session, Error> {
        self.sign_in_as(credentials, Some(pass)).await
    }

    /// Asks as [`Api::request_password_reset`], with the account's device key.
    ///
    /// # Errors
    /// When the API refuses, can't be reached, or the storage fails.
    pub async fn request_password_reset(&self, email: &str) -> Result<Secret, Error> {
        let key = self.stored_key(email)?;
        let Settings { api, .. } = &self.settings;
        api.request_password_reset(email, key.as_ref()).await
    }

    /// Asks as [`Api::request_pass`], with the account's device key.
    ///
    /// # Errors
    /// As [`request_password_reset`](Self::request_password_reset).
    pub async fn request_pass(&self, email: &str) -> Result<Secret, Error> {
        let key = self.stored_key(email)?;
        self.settings.api.request_pass(email, key.as_ref()).await
    }

    pub(crate) fn stored_key(&self, email: &str) -> Result<Option<Secret>, Error> {
        self.storage().device_key_of(email).map_err(Error::storage)
    }

    async fn sign_in_as(
        &mut self,
        credentials: &Credentials,
        pass: Option<&Proof>,
    ) -> Result<Session, Error> {
        let email = &credentials.email;
        let stored = self.stored_key(email)?;
        let is_first = stored.is_none();
        let key = match stored {
            Some(key) => key,
            None => device_key::make()?,
        };
        if is_first {
            let stored = self.storage().store_key(email, &key);
            stored.map_err(Error::storage)?;
        }
        let Settings { api, device, .. } = &self.settings;
        let answer = api.sign_in(credentials, device, Some(&key), pass).await?;
        if answer.problem() == Some("second-step-required") {
            // Only the device that was asked can complete it.
            if let Some(key) = answer.member("/device_key") {
                let stored = self.storage().store_key(email, &Secret::new(key));
                stored.map_err(Error::storage)?;
            }
        } else if is_first && answer.is_refusal() {
            // A mistyped address must not use up the place of an account's key.
            let removed = self.storage().remove_key(email);
            removed.map_err(Error::storage)?;
        }
        self.begin_answered(&answer).await
    }

    /// Uses the session in the answer to a sign-in.
    pub(crate) async fn begin_answered(&mut self, answer: &Answer) -> Result<Session, Error> {
        let (session, key) = answer.sign_in()?;
        self.begin(session.clone(), Some(&key)).await?;
        Ok(session)
    }

    /// Uses a session that was begun elsewhere in the app.
    ///
    /// # Errors
    /// When the session can't be stored.
    pub async fn begin(&mut self, session: Session, key: Option<&Secret>) -> Result<(), Error> {
        self.stop().await;
        let replaced = self.storage().begin(session.clone(), key);
        if let Some(replaced) = replaced.map_err(Error::storage)? {
            let is_wiped = replaced.account != session.account;
            let Settings { api, timing, .. } = self.settings.clone();
            tokio::spawn(end_replaced(api, timing, replaced.token, is_wiped));
        }
        self.run(session);
        Ok(())
    }

    fn run(&mut self, session: Session) {
        let (controls, receiver) = unbounded_channel();
        let Settings {
            api,
            socket_url,
            timing,
            ..
        } = self.settings.clone();
        let task = SessionTask {
            api,
            socket_url,
            session: session.clone(),
            timing,
            storage: self.storage.clone(),
            controls: receiver,
            events: self.events.clone(),
        };
        self.running = Some(Running {
            session,
            controls,
            task: tokio::spawn(task.run()),
        });
    }

    /// Simulates a lost network, or restores it.
    pub fn set_offline(&self, is_offline: bool) {
        self.settings.api.set_offline(is_offline);
        self.control(if is_offline {
            Control::Offline
        } else {
            Control::Online
        });
    }

    /// Asks the API in the background whether the session is still valid. Call it
    /// when your own API refuses the token, which alone proves nothing.
    pub fn check_session(&self) {
        self.control(Control::Check);
    }

    pub(crate) fn control(&self, control: Control) {
        if let Some(running) = &self.running {
            // Fails only when the session has just ended.
            let _ = running.controls.send(control);
        }
    }

    /// Calls the API with the session's token. If the answer says that the session
    /// has ended, the device ends it. A call whose token a verification has replaced
    /// meanwhile is repeated once.
    ///
    /// # Errors
    /// When there is no session, or no answer.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Error> {
        let session = self.signed_in()?;
        let mut answer = self.send(&session, &method, path, body).await?;
        if answer.is_of_old_token() {
            let newer = self.signed_in()?;
            if newer.id == session.id && newer.token != session.token {
                answer = self.send(&newer, &method, path, body).await?;
            }
        }
        if let Some(control) = consequence(&answer) {
            self.control(control);
        }
        Ok(answer)
    }

    /// Returns the session with its present token.
    pub(crate) fn signed_in(&self) -> Result<Session, Error> {
        let running = self.running.as_ref();
        // A session that is ending is not the stored one any more.
        let stored = running.and_then(|running| {
            let stored = self.session()?;
            (stored.id == running.session.id).then_some(stored)
        });
        stored.ok_or_else(|| Error::new("the device is not signed in"))
    }

    async fn send(
        &self,
        session: &Session,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Error> {
        let call = self.settings.api.call(method.clone(), path);
        let mut call = call.token(&session.token);
        if let Some(body) = body {
            call = call.json(body);
        }
        call.send().await.map_err(|no_answer| {
            // The call may have ended the session before its answer was lost.
            self.control(Control::Check);
            no_answer.into()
        })
    }

    /// Ends the device without signing out.
    pub async fn close(mut self) {
        self.stop().await;
    }

    /// Stops the session's task. One that is ending its session goes on to the end.
    async fn stop(&mut self) {
        let Some(mut running) = self.running.take() else {
            return;
        };
        let _ = running.controls.send(Control::Stop);
        // Only an acknowledgement without an answer takes longer. It is retried in
        // the background.
        let limit = self.settings.timing.grace * 2;
        let _ = timeout(limit, &mut running.task).await;
    }
}

/// Signs out a session that another one has replaced on this device, and acknowledges
/// it if its data is wiped.
async fn end_replaced(api: Api, timing: Timing, token: Secret, is_wiped: bool) {
    let mut sign_out: Option<String> = None;
    for failures in 0.. {
        let answer = match &sign_out {
            None => api.sign_out(&token).await.map(|id| id.filter(|_| is_wiped)),
            Some(id) => api.acknowledge(&token, id).await.map(|_| None),
        };
        match answer {
            Ok(None) => return,
            Ok(id) => sign_out = id,
            Err(NoAnswer { retry_after, .. }) => {
                sleep(timing.until_retry(failures) + retry_after.unwrap_or_default()).await;
            }
        }
    }
}

/// Returns what an answer means for the session whose token the call carried.
fn consequence(answer: &Answer) -> Option<Control> {
    match (answer.status, answer.problem()) {
        (401, Some(_)) => answer.session_end().map(Control::Ended),
        // Not this API's refusal: a proxy's, or a login page's.
        (401 | 403, None) => Some(Control::Check),
        _ => None,
    }
}
