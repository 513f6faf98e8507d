//! The films of the example API in `infra/example`, fetched piece by piece for as
//! long as the device's token is accepted.

use curfew_client::{AddressError, Api, Secret};
use http::Method;
use serde::Deserialize;
use serde_json::Value;

/// A piece of a film.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Piece {
    pub title: String,
    /// The number of the piece, from 0.
    pub position: u32,
    /// The number of pieces.
    pub of: u32,
    /// The picture, in words.
    pub scene: String,
    pub plays_seconds: u32,
    next: Option<String>,
}

/// The result of fetching a piece.
pub(crate) enum Fetched {
    Piece(Piece),
    /// Refused with this status. Only Curfew's API knows why.
    Refused(u16),
    /// Failed for this reason.
    Failed(String),
}

#[derive(Deserialize)]
struct Listed {
    stream: String,
}

/// Fetches one film after the other, forever.
#[derive(Clone)]
pub(crate) struct Projector {
    api: Api,
    films: Vec<String>,
    film: usize,
    next: Option<String>,
}

impl Projector {
    /// Creates a projector on the network of this device. It starts with the film
    /// of this number, modulo their count.
    pub(crate) fn new(device: &Api, example_url: &str, film: usize) -> Result<Self, AddressError> {
        Ok(Self {
            api: device.at(example_url)?,
            films: Vec::new(),
            film,
            next: None,
        })
    }

    /// Fetches the next piece. A piece that did not come is fetched again.
    pub(crate) async fn fetch(&mut self, token: &Secret) -> Fetched {
        match self.piece(token).await {
            Ok(piece) => Fetched::Piece(piece),
            Err(failed) => failed,
        }
    }

    async fn piece(&mut self, token: &Secret) -> Result<Piece, Fetched> {
        if self.films.is_empty() {
            let answer = self.get("/films", token).await?;
            let films = Vec::<Listed>::deserialize(&answer["films"]).map_err(malformed)?;
            self.films = films.into_iter().map(|film| film.stream).collect();
        }
        let count = self.films.len();
        let none = || Fetched::Failed("there are no films".to_owned());
        let first = self.film.checked_rem(count).ok_or_else(none)?;
        let path = self.next.as_ref().unwrap_or(&self.films[first]);
        let piece = Piece::deserialize(&self.get(path, token).await?).map_err(malformed)?;
        if piece.next.is_none() {
            self.film += 1;
        }
        self.next.clone_from(&piece.next);
        Ok(piece)
    }

    async fn get(&self, path: &str, token: &Secret) -> Result<Value, Fetched> {
        let call = self.api.call(Method::GET, path).token(token);
        match call.send().await {
            Ok(answer) => match answer.status {
                200 => Ok(answer.json),
                401 | 403 => Err(Fetched::Refused(answer.status)),
                _ => Err(Fetched::Failed(answer.message())),
            },
            Err(no_answer) => Err(Fetched::Failed(no_answer.reason)),
        }
    }
}

fn malformed(_: serde_json::Error) -> Fetched {
    Fetched::Failed("the answer is malformed".to_owned())
}
