//! The client: one device with its storage, signed in or not.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::api::Unanswered;
use super::keep::{Control, Keeper};
use super::{
    Answer, Api, Because, By, Credentials, Facts, Memory, News, Pace, Secret, Session, SignedOut,
};

/// What a device is set up with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The API.
    pub api: Api,
    /// Where the socket is; when nobody said it, the API is asked.
    pub socket_url: Option<String>,
    /// What the device says of itself.
    pub facts: Facts,
    /// How long it waits for what.
    pub pace: Pace,
}

/// Why something that the device was asked to do did not happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The problem's name, when the API answered with one.
    pub problem: Option<String>,
    /// What went wrong, for people.
    pub detail: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.detail)
    }
}

impl std::error::Error for Failure {}

impl Failure {
    fn of(detail: impl Into<String>) -> Self {
        Self {
            problem: None,
            detail: detail.into(),
        }
    }

    fn storage(error: &io::Error) -> Self {
        Self::of(format!("the device can't store anything: {error}"))
    }
}

impl From<Unanswered> for Failure {
    fn from(unanswered: Unanswered) -> Self {
        Self::of(unanswered.why)
    }
}

impl From<&Answer> for Failure {
    fn from(answer: &Answer) -> Self {
        Self {
            problem: answer.problem().map(str::to_owned),
            detail: answer.why(),
        }
    }
}

/// One device. It ends, without signing out, when it is dropped.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    memory: Arc<Mutex<Memory>>,
    news: UnboundedSender<News>,
    keeping: Option<Keeping>,
}

/// The session that is kept.
#[derive(Debug)]
struct Keeping {
    session: Session,
    controls: UnboundedSender<Control>,
    task: JoinHandle<()>,
}

impl Client {
    /// A device with this storage, and what will happen to it. If a session is
    /// stored, it goes on with it.
    #[must_use]
    pub fn new(settings: Settings, memory: Memory) -> (Self, UnboundedReceiver<News>) {
        let (news, told) = unbounded_channel();
        let stored = memory.session().cloned();
        let mut client = Self {
            settings,
            memory: Arc::new(Mutex::new(memory)),
            news,
            keeping: None,
        };
        if let Some(session) = stored {
            client.keep(session);
        }
        (client, told)
    }

    /// The API.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.settings.api
    }

    /// The session, as long as the device has one.
    #[must_use]
    pub fn session(&self) -> Option<Session> {
        self.memory().session().cloned()
    }

    /// Its storage.
    pub fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Signs in, with the device key of an earlier sign-in, and keeps a socket
    /// open from then on.
    ///
    /// # Errors
    /// Why the device is not signed in.
    pub async fn sign_in(&mut self, credentials: &Credentials) -> Result<Session, Failure> {
        let key = self.memory().key().map_err(|e| Failure::storage(&e))?;
        let answer = self
            .settings
            .api
            .sign_in(credentials, &self.settings.facts, key.as_ref())
            .await?;
        if answer.status != 200 {
            return Err(Failure::from(&answer));
        }
        let text = |pointer| {
            let text = answer.text(pointer).map(str::to_owned);
            text.ok_or_else(|| Failure::of(format!("the sign-in has no {pointer}")))
        };
        let session = Session {
            token: Secret::new(text("/token")?),
            id: text("/session")?,
            device: text("/device/id")?,
            account: text("/account/id")?,
        };
        let key = Secret::new(text("/device_key")?);
        self.begin(session.clone(), Some(&key)).await?;
        Ok(session)
    }

    /// Takes a session that has just begun for its own.
    ///
    /// # Errors
    /// When it can't be stored.
    pub async fn begin(&mut self, session: Session, key: Option<&Secret>) -> Result<(), Failure> {
        self.stop().await;
        let begun = self.memory().begin(session.clone(), key);
        begun.map_err(|error| Failure::storage(&error))?;
        self.keep(session);
        Ok(())
    }

    fn keep(&mut self, session: Session) {
        let (controls, heard) = unbounded_channel();
        let Settings {
            api,
            socket_url,
            pace,
            ..
        } = self.settings.clone();
        let keeper = Keeper {
            api,
            socket_url,
            session: session.clone(),
            pace,
            memory: self.memory.clone(),
            controls: heard,
            news: self.news.clone(),
        };
        self.keeping = Some(Keeping {
            session,
            controls,
            task: tokio::spawn(keeper.keep()),
        });
    }

    /// Loses the network, or has it again.
    pub fn set_offline(&self, is_offline: bool) {
        self.settings.api.set_offline(is_offline);
        self.tell(if is_offline {
            Control::Offline
        } else {
            Control::Online
        });
    }

    /// Another service has refused the token, which says nothing by itself: asks
    /// the API.
    pub fn doubt(&self) {
        self.tell(Control::Ask);
    }

    fn tell(&self, control: Control) {
        if let Some(keeping) = &self.keeping {
            // A session that has just ended needs to hear nothing.
            let _ = keeping.controls.send(control);
        }
    }

    /// Calls the API with the token of the session, and judges the answer: it
    /// may say that the session is over.
    ///
    /// # Errors
    /// When there is no session, or no answer.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let nobody = || Failure::of("the device is not signed in");
        let keeping = self.keeping.as_ref().ok_or_else(nobody)?;
        if self.memory().session() != Some(&keeping.session) {
            return Err(nobody());
        }
        let token = &keeping.session.token;
        let called = self.settings.api.call(method, path, Some(token), body);
        let answer = match called.await {
            Ok(answer) => answer,
            Err(why) => {
                // Whether it was done is not known; whether the session stands
                // can be.
                let _ = keeping.controls.send(Control::Ask);
                return Err(why.into());
            }
        };
        if let Some(control) = judged(&answer) {
            let _ = keeping.controls.send(control);
        }
        Ok(answer)
    }

    /// Signs out: `local` (this device), `others` or `global`. Tells the id of
    /// the sign-out.
    ///
    /// # Errors
    /// Why it is not known to have happened.
    pub async fn sign_out(&self, scope: &str) -> Result<String, Failure> {
        let (path, body) = match scope {
            "local" => ("/v1/sign-out", None),
            _ => ("/v1/sign-out-all", Some(json!({ "scope": scope }))),
        };
        let answer = self.call(Method::POST, path, body.as_ref()).await?;
        let taken = self.take_sign_out(&answer, "signed_out");
        taken.ok_or_else(|| Failure::from(&answer))
    }

    /// Changes the password, and signs out every session, or every other one.
    /// Tells the id of the sign-out.
    ///
    /// # Errors
    /// Why it is not known to have happened.
    pub async fn change_password(
        &self,
        current: &Secret,
        new: &Secret,
        keep_current: bool,
    ) -> Result<String, Failure> {
        let body = json!({
            "current_password": current.reveal(),
            "new_password": new.reveal(),
            "keep_current": keep_current,
        });
        let answer = self.call(Method::PUT, "/v1/password", Some(&body)).await?;
        let taken = self.take_sign_out(&answer, "password_changed");
        taken.ok_or_else(|| Failure::from(&answer))
    }

    /// Takes the answer to a sign-out of one's own for what it is: it may have
    /// ended this session. Tells the id of the sign-out, if it is one.
    #[must_use]
    pub fn take_sign_out(&self, answer: &Answer, reason: &str) -> Option<String> {
        let sign_out = &answer.body["sign_out"];
        let text = |name: &str| sign_out[name].as_str().map(str::to_owned);
        let id = text("id").filter(|_| answer.status == 200)?;
        let at = text("requested_at")?;
        let scope = text("scope")?;
        if ["local", "global"].contains(&scope.as_str()) {
            let by = By::deserialize(&sign_out["requested_by"]).ok();
            self.tell(Control::Over(Because::SignedOut(SignedOut {
                sign_out: Some(id.clone()),
                at,
                by,
                reason: reason.to_owned(),
            })));
        }
        Some(id)
    }

    /// Ends without signing out.
    pub async fn close(mut self) {
        self.stop().await;
    }

    /// Lets go of the session that is kept. One that is at its end goes on to it.
    async fn stop(&mut self) {
        let Some(mut keeping) = self.keeping.take() else {
            return;
        };
        let _ = keeping.controls.send(Control::Stop);
        let patience = self.settings.pace.grace * 2;
        // What takes longer is an acknowledgement that nobody answers, and it
        // goes on by itself.
        let _ = timeout(patience, &mut keeping.task).await;
    }
}

/// What an answer says about the session whose token the call carried.
fn judged(answer: &Answer) -> Option<Control> {
    match (answer.status, answer.problem()) {
        (401, Some(_)) => answer.over().map(Control::Over),
        (401 | 403, None) => Some(Control::Ask),
        _ => None,
    }
}
