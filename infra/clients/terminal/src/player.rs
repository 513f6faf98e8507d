//! The player: fetches a film piece by piece in the background.

use std::time::Duration;

use curfew_client::Secret;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use crate::film::{Fetched, Piece, Projector};
use crate::screen::{Ink, Screen, bar};

/// The wait before a piece that did not come is fetched again.
const RETRY: Duration = Duration::from_secs(2);

/// The width of the progress bar.
const CELLS: usize = 24;

pub(crate) struct Player {
    /// The films; none without an example API.
    projector: Option<Projector>,
    task: Option<AbortHandle>,
    sender: UnboundedSender<Fetched>,
    receiver: UnboundedReceiver<Fetched>,
    /// The piece on the screen, and since when.
    piece: Option<(Piece, Instant)>,
    has_played: bool,
    /// The reason why nothing plays, if it was shown.
    trouble: Option<String>,
}

impl Player {
    pub(crate) fn new(projector: Option<Projector>) -> Self {
        let (sender, receiver) = unbounded_channel();
        Self {
            projector,
            task: None,
            sender,
            receiver,
            piece: None,
            has_played: false,
            trouble: None,
        }
    }

    /// Starts to fetch pieces with this token.
    pub(crate) fn start(&mut self, token: Secret) {
        let Some(mut projector) = self.projector.clone() else {
            return;
        };
        let sender = self.sender.clone();
        let task = tokio::spawn(async move {
            loop {
                let fetched = projector.fetch(&token).await;
                let wait = match &fetched {
                    Fetched::Piece(piece) => Duration::from_secs(piece.plays_seconds.into()),
                    Fetched::Refused(_) | Fetched::Failed(_) => RETRY,
                };
                if sender.send(fetched).is_err() {
                    return;
                }
                sleep(wait).await;
            }
        });
        self.task = Some(task.abort_handle());
    }

    pub(crate) fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        self.piece = None;
    }

    pub(crate) fn is_playing(&self) -> bool {
        self.task.is_some()
    }

    /// Waits for the next piece.
    pub(crate) async fn next(&mut self) -> Fetched {
        match self.receiver.recv().await {
            Some(fetched) => fetched,
            // The player holds a sender itself.
            None => std::future::pending().await,
        }
    }

    /// Shows a piece. Returns a text when the film starts, breaks off or goes on.
    pub(crate) fn take(&mut self, fetched: Fetched) -> Option<String> {
        // A piece that was fetched before the end must not be shown after it.
        if !self.is_playing() {
            return None;
        }
        let trouble = match fetched {
            Fetched::Piece(piece) => {
                let text = if !self.has_played {
                    Some(format!("Playing “{}”.", piece.title))
                } else if self.trouble.is_some() {
                    Some("Playing again.".to_owned())
                } else {
                    None
                };
                self.has_played = true;
                self.trouble = None;
                self.piece = Some((piece, Instant::now()));
                return text;
            }
            Fetched::Refused(status) => format!("The film was refused ({status})."),
            Fetched::Failed(reason) => format!("The film can't be fetched: {reason}."),
        };
        if self.trouble.as_ref() == Some(&trouble) {
            return None;
        }
        self.trouble = Some(trouble.clone());
        Some(trouble)
    }

    /// Returns the moving line, with the state of the connection.
    pub(crate) fn line(&self, screen: &Screen, is_offline: bool, state: &str) -> String {
        let Some((piece, since)) = &self.piece else {
            return state.to_owned();
        };
        let is_paused = is_offline || self.trouble.is_some();
        let played = if is_paused {
            Duration::ZERO
        } else {
            since.elapsed()
        };
        let length = f64::from(piece.plays_seconds.max(1));
        let within = (played.as_secs_f64() / length).min(1.0);
        let share = (f64::from(piece.position) + within) / f64::from(piece.of.max(1));
        let (played, rest) = bar(CELLS, share);
        let sign = if is_paused { "⏸" } else { "▶" };
        format!(
            "{sign} {}  {played}{}  {state}  {}",
            screen.inked(Ink::Bold, &piece.title),
            screen.inked(Ink::Faint, &rest),
            screen.inked(Ink::Faint, &piece.scene)
        )
    }
}
