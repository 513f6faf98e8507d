//! What a device plays: the films of the example API in `infra/example`, piece by
//! piece, for as long as it is let in.

use http::Method;
use serde::Deserialize;
use serde_json::Value;

use curfew_client::{AddressError, Answer, Api, Secret};

/// A piece of a film, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Piece {
    /// The title of the film.
    pub title: String,
    /// Which piece it is, from 0.
    pub position: u32,
    /// How many there are.
    pub of: u32,
    /// What is to be seen.
    pub scene: String,
    /// How long it plays.
    pub plays_seconds: u32,
    next: Option<String>,
}

/// What came of asking for a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// It.
    Piece(Piece),
    /// A refusal, with its status. What it means, Curfew's API says.
    Refused(u16),
    /// Nothing; why.
    Nothing(String),
}

#[derive(Deserialize)]
struct Listed {
    stream: String,
}

/// Shows one film after the other, for ever.
#[derive(Clone, Debug)]
pub struct Projector {
    api: Api,
    films: Vec<String>,
    film: usize,
    next: Option<String>,
}

impl Projector {
    /// A projector of the films at this address, on the network of this device,
    /// which begins with the film of this number.
    ///
    /// # Errors
    /// [`AddressError`] when a token can't go there.
    pub fn new(device: &Api, example_url: &str, film: usize) -> Result<Self, AddressError> {
        Ok(Self {
            api: device.at(example_url)?,
            films: Vec::new(),
            film,
            next: None,
        })
    }

    /// Asks for the next piece. After something else than a piece, it is the same
    /// one.
    pub async fn show(&mut self, token: &Secret) -> Shown {
        let shown = self.ask(token).await;
        shown.unwrap_or_else(|shown| shown)
    }

    async fn ask(&mut self, token: &Secret) -> Result<Shown, Shown> {
        if self.films.is_empty() {
            let answer = self.get("/films", token).await?;
            let films = Vec::<Listed>::deserialize(&answer["films"]).map_err(unread)?;
            self.films = films.into_iter().map(|film| film.stream).collect();
        }
        let count = self.films.len();
        let nothing = || Shown::Nothing("there are no films".to_owned());
        let first = self.film.checked_rem(count).ok_or_else(nothing)?;
        let path = self.next.as_ref().unwrap_or(&self.films[first]);
        let piece = Piece::deserialize(&self.get(path, token).await?).map_err(unread)?;
        if piece.next.is_none() {
            self.film += 1;
        }
        self.next.clone_from(&piece.next);
        Ok(Shown::Piece(piece))
    }

    async fn get(&self, path: &str, token: &Secret) -> Result<Value, Shown> {
        let answer = self.api.call(Method::GET, path).token(token).send().await;
        match answer {
            Ok(Answer {
                status: 200, json, ..
            }) => Ok(json),
            Ok(Answer {
                status: status @ (401 | 403),
                ..
            }) => Err(Shown::Refused(status)),
            Ok(answer) => Err(Shown::Nothing(answer.message())),
            Err(unanswered) => Err(Shown::Nothing(unanswered.reason)),
        }
    }
}

fn unread(_: serde_json::Error) -> Shown {
    Shown::Nothing("the answer is no film".to_owned())
}
