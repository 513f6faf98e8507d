//! What makes a device of the story a live one: the client that keeps its socket
//! and heeds what it is told, or, on the tablet, an app of before that heeds
//! nothing; and a film.

use std::time::{Duration, Instant};

use crate::Stage;
use anyhow::{Context, Result, bail};
use curfew_client::{
    Api, Client, DeviceInfo, Event, Frame, Secret, Session, Settings, Socket, Storage, Timing,
};
use curfew_terminal::film::{Piece, Projector, Shown};
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::device::Device;

/// Nothing that a device waits for takes so long, cold starts on a busy machine
/// included.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Pieces of a film come faster here than they play.
const PIECE: Duration = Duration::from_millis(200);

/// What a device keeps for the account, and must not keep when it is dark.
const DOWNLOAD: &str = "The Last Ferry, downloaded";

/// The live half of a device.
pub enum Live {
    /// With Curfew's client.
    Heedful(Box<Heedful>),
    /// With an app that knows of no sign-outs.
    Heedless(Heedless),
}

impl Live {
    /// Lets a device that has just signed in keep a socket open.
    ///
    /// # Errors
    /// When it can't.
    pub async fn begin(
        before: Option<Self>,
        record: &Stage,
        device: &Device,
        session: Session,
    ) -> Result<Self> {
        match before {
            _ if device.is_heedless => {
                let heedless = Heedless::begin(record, device, &session.token).await?;
                Ok(Self::Heedless(heedless))
            }
            Some(Self::Heedful(mut heedful)) => {
                heedful.client.begin(session, None).await?;
                heedful.download()?;
                Ok(Self::Heedful(heedful))
            }
            _ => Ok(Self::Heedful(
                Heedful::begin(record, device, session).await?,
            )),
        }
    }

    /// Whether its socket opens. An app that heeds nothing has none before it is
    /// open.
    pub async fn is_connected(&self) -> bool {
        let Self::Heedful(heedful) = self else {
            return true;
        };
        while let Some((news, _)) = heedful.next().await {
            match news {
                Event::Connected => return true,
                // Of the session before.
                Event::Disconnected => {}
                _ => return false,
            }
        }
        false
    }

    /// The client, of a device that has one.
    ///
    /// # Errors
    /// When it has none.
    pub fn heedful(&self) -> Result<&Heedful> {
        match self {
            Self::Heedful(heedful) => Ok(heedful),
            Self::Heedless(_) => bail!("the device heeds nothing"),
        }
    }

    /// The app that heeds nothing.
    ///
    /// # Errors
    /// When the device has another.
    pub fn heedless(&self) -> Result<&Heedless> {
        match self {
            Self::Heedful(_) => bail!("the device heeds what it is told"),
            Self::Heedless(heedless) => Ok(heedless),
        }
    }
}

fn api(record: &Stage, device: &Device) -> Result<Api> {
    let api = Api::from_address(&record.api_url, device.ip)?;
    Ok(api.with_user_agent(device.user_agent))
}

/// A device with Curfew's client.
pub struct Heedful {
    pub client: Client,
    told: Mutex<UnboundedReceiver<(Event, Instant)>>,
}

impl Heedful {
    async fn begin(record: &Stage, device: &Device, session: Session) -> Result<Box<Self>> {
        let settings = Settings {
            api: api(record, device)?,
            socket_url: Some(record.socket_url.clone()),
            device: DeviceInfo::default(),
            timing: Timing::default(),
        };
        let (mut client, news) = Client::new(settings, Storage::in_memory());
        let (tell, told) = unbounded_channel();
        tokio::spawn(stamp(news, tell));
        client.begin(session, None).await?;
        let heedful = Self {
            client,
            told: Mutex::new(told),
        };
        heedful.download()?;
        Ok(Box::new(heedful))
    }

    fn download(&self) -> Result<()> {
        let stored = self.client.storage().store("film".into(), DOWNLOAD.into());
        stored.context("nothing can be downloaded")
    }

    /// Whether nothing of the account is left on it.
    pub fn is_empty(&self) -> bool {
        let memory = self.client.storage();
        memory.session().is_none() && memory.entries().is_empty()
    }

    /// What happens to it next; nothing when that takes too long.
    pub async fn next(&self) -> Option<(Event, Instant)> {
        let mut told = self.told.lock().await;
        timeout(PATIENCE, told.recv()).await.ok().flatten()
    }

    /// What has happened to it that nobody has waited for.
    pub async fn pending(&self) -> Vec<Event> {
        let mut told = self.told.lock().await;
        let mut pending = Vec::new();
        while let Ok((news, _)) = told.try_recv() {
            pending.push(news);
        }
        pending
    }
}

async fn stamp(mut news: UnboundedReceiver<Event>, tell: UnboundedSender<(Event, Instant)>) {
    while let Some(news) = news.recv().await {
        if tell.send((news, Instant::now())).is_err() {
            return;
        }
    }
}

/// A device with an app that keeps a socket and heeds nothing.
pub struct Heedless {
    told: Mutex<UnboundedReceiver<(Option<Frame>, Instant)>>,
    listening: JoinHandle<()>,
}

impl Drop for Heedless {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Heedless {
    async fn begin(record: &Stage, device: &Device, token: &Secret) -> Result<Self> {
        let api = api(record, device)?;
        let mut socket = Socket::open(&api, &record.socket_url, token).await?;
        let (tell, told) = unbounded_channel();
        let listening = tokio::spawn(async move {
            loop {
                let frame = socket.next().await.ok().flatten();
                let is_over = frame.is_none();
                if tell.send((frame, Instant::now())).is_err() || is_over {
                    return;
                }
            }
        });
        Ok(Self {
            told: Mutex::new(told),
            listening,
        })
    }

    /// What it is told next: a frame, or that its socket was closed. Nothing when
    /// that takes too long.
    pub async fn next(&self) -> Option<(Option<Frame>, Instant)> {
        let mut told = self.told.lock().await;
        timeout(PATIENCE, told.recv()).await.ok().flatten()
    }
}

/// A film that a device plays, until it is refused.
pub struct Film {
    shown: UnboundedReceiver<(Shown, Instant)>,
    playing: JoinHandle<()>,
}

impl Drop for Film {
    fn drop(&mut self) {
        self.playing.abort();
    }
}

/// How a film ended.
pub struct Refused {
    pub status: u16,
    pub at: Instant,
    /// When the last piece was asked for that came.
    pub last_asked: Option<Instant>,
}

impl Film {
    /// Begins to play the film of this number.
    ///
    /// # Errors
    /// When the device can't.
    pub fn begin(record: &Stage, device: &Device, film: usize) -> Result<Self> {
        let token = device.token.as_deref();
        let token = Secret::new(token.context("nobody plays without a token")?);
        let mut projector = Projector::new(&api(record, device)?, &record.example_url, film)?;
        let (tell, shown) = unbounded_channel();
        let playing = tokio::spawn(async move {
            loop {
                let asked = Instant::now();
                let shown = projector.show(&token).await;
                let is_over = matches!(shown, Shown::Refused(_));
                if tell.send((shown, asked)).is_err() || is_over {
                    return;
                }
                sleep(PIECE).await;
            }
        });
        Ok(Self { shown, playing })
    }

    /// Waits until some pieces have come, and tells the last of them.
    ///
    /// # Errors
    /// When something else comes.
    pub async fn pieces(&mut self, count: usize) -> Result<Piece> {
        let mut last = None;
        for _ in 0..count {
            match timeout(PATIENCE, self.shown.recv()).await {
                Ok(Some((Shown::Piece(piece), _))) => last = Some(piece),
                Ok(other) => bail!("the film does not play: {other:?}"),
                Err(_) => bail!("the film does not go on"),
            }
        }
        last.context("no piece was waited for")
    }

    /// Waits until it is refused.
    ///
    /// # Errors
    /// When that does not happen.
    pub async fn refused(&mut self) -> Result<Refused> {
        let mut last_asked = None;
        let refused = timeout(PATIENCE, async {
            loop {
                match self.shown.recv().await {
                    Some((Shown::Piece(_), asked)) => last_asked = Some(asked),
                    Some((Shown::Refused(status), _)) => return Ok(status),
                    other => bail!("the film does not play: {other:?}"),
                }
            }
        });
        let status = refused.await.context("the film plays on and on")??;
        Ok(Refused {
            status,
            at: Instant::now(),
            last_asked,
        })
    }
}
