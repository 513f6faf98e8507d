//! An example of an adopting team's own API: a few films, streamed piece by piece
//! to devices that are signed in.
//!
//! Nothing here looks at a token. Curfew's authorizer lets a request through only
//! while its session is valid, and tells whose it is; the function takes that from
//! the context, and nothing from the request itself. Each piece is a request of
//! its own, so a film stops with the first piece that is asked for after the
//! sign-out.

mod library;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use aws_lambda_events::encodings::Body;
use aws_lambda_events::http::HeaderValue;
use serde::{Deserialize, Serialize};

pub use library::{FILMS, Film};

/// What the gateway sends: payload format 2.0.
pub type Request = ApiGatewayV2httpRequest;
/// What the gateway takes.
pub type Response = ApiGatewayV2httpResponse;

/// How long a piece plays.
const PIECE_SECONDS: u32 = 1;

/// Whose request it is, as the authorizer has told the gateway. No client can
/// write there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The account.
    pub account_id: String,
    /// The device.
    pub device_id: String,
    /// The session.
    pub session_id: String,
}

impl Caller {
    /// Reads the context of a request that came through the authorizer.
    fn of(request: &Request) -> Option<Self> {
        let told = &request.request_context.authorizer.as_ref()?.fields;
        let text = |name: &str| Some(told.get(name)?.as_str()?.to_owned());
        Some(Self {
            account_id: text("account_id")?,
            device_id: text("device_id")?,
            session_id: text("session_id")?,
        })
    }
}

/// `GET /films`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalogue {
    /// Every film.
    pub films: Vec<Listed>,
}

/// A film of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its name in paths.
    pub id: String,
    /// Its title.
    pub title: String,
    /// How long it plays.
    pub duration_seconds: u32,
    /// Where its first piece is.
    pub stream: String,
}

/// `GET /films/{film_id}/stream?position=…`: a piece of a film, and where the
/// next one is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Where the next piece is; none after the last.
    pub next: Option<String>,
}

#[derive(Debug, Serialize)]
struct Problem {
    title: &'static str,
}

/// Answers a request.
#[must_use]
pub fn handle(request: &Request) -> Response {
    let route = request.route_key.as_deref().unwrap_or_default();
    let Some(caller) = Caller::of(request) else {
        // A route without the authorizer is a fault of the deployment, and never
        // a caller who needs no session.
        tracing::error!(route, "A request came past the authorizer.");
        return refused(500, "This route is not protected.");
    };
    let response = match route {
        "GET /films" => json(200, &catalogue()),
        "GET /films/{film_id}/stream" => stream(request),
        "GET /me" => json(200, &caller),
        _ => refused(404, "There is nothing here."),
    };
    tracing::info!(
        route,
        account = caller.account_id,
        device = caller.device_id,
        status = response.status_code,
        "A request was answered."
    );
    response
}

fn catalogue() -> Catalogue {
    let films = FILMS.iter().map(|film| Listed {
        id: film.id.to_owned(),
        title: film.title.to_owned(),
        duration_seconds: film.pieces() * PIECE_SECONDS,
        stream: stream_path(film, 0),
    });
    Catalogue {
        films: films.collect(),
    }
}

fn stream(request: &Request) -> Response {
    let id = request.path_parameters.get("film_id");
    let Some(film) = FILMS.iter().find(|film| id.is_some_and(|id| id == film.id)) else {
        return refused(404, "There is no such film.");
    };
    let position = match request.query_string_parameters.first("position") {
        None => 0,
        Some(text) => match text.parse() {
            Ok(position) => position,
            Err(_) => return refused(400, "A position is a whole number."),
        },
    };
    let Some(scene) = film.scene(position) else {
        return refused(404, "The film has no such piece.");
    };
    let next = position + 1;
    json(
        200,
        &Piece {
            title: film.title.to_owned(),
            position,
            of: film.pieces(),
            scene: scene.to_owned(),
            plays_seconds: PIECE_SECONDS,
            next: (next < film.pieces()).then(|| stream_path(film, next)),
        },
    )
}

fn stream_path(film: &Film, position: u32) -> String {
    format!("/films/{}/stream?position={position}", film.id)
}

fn refused(status: i64, title: &'static str) -> Response {
    let mut response = json(status, &Problem { title });
    let kind = HeaderValue::from_static("application/problem+json");
    response.headers.insert("content-type", kind);
    response
}

fn json<T: Serialize>(status: i64, body: &T) -> Response {
    let body = serde_json::to_string(body).expect("the answers are plain structs of text");
    let mut response = Response::default();
    response.status_code = status;
    for (name, value) in [
        ("content-type", "application/json"),
        // A copy would play on without a session.
        ("cache-control", "no-store"),
    ] {
        response
            .headers
            .insert(name, HeaderValue::from_static(value));
    }
    response.body = Some(Body::Text(body));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// A request as the gateway sends it after the authorizer has let it through.
    fn request(route: &str, film: &str, position: Option<&str>) -> Request {
        let mut event = json!({
            "version": "2.0",
            "routeKey": route,
            "pathParameters": { "film_id": film },
            "requestContext": {
                "http": { "method": "GET" },
                "authorizer": { "lambda": {
                    "account_id": "an account",
                    "device_id": "a device",
                    "session_id": "a session",
                }},
            },
        });
        if let Some(position) = position {
            event["queryStringParameters"] = json!({ "position": position });
        }
        serde_json::from_value(event).unwrap()
    }

    fn piece(film: &str, position: Option<&str>) -> Response {
        handle(&request("GET /films/{film_id}/stream", film, position))
    }

    fn body(response: &Response) -> Value {
        match &response.body {
            Some(Body::Text(text)) => serde_json::from_str(text).unwrap(),
            _ => Value::Null,
        }
    }

    #[test]
    fn every_film_can_be_played_to_its_end_by_what_the_answers_say() {
        let films = body(&handle(&request("GET /films", "", None)));
        let films: Catalogue = serde_json::from_value(films).unwrap();
        assert_eq!(films.films.len(), FILMS.len());

        for film in films.films {
            let mut next = Some(film.stream);
            let mut played = 0;
            while let Some(path) = next {
                let (_, position) = path.split_once("position=").unwrap();
                let piece = body(&piece(&film.id, Some(position)));
                let piece: Piece = serde_json::from_value(piece).unwrap();
                assert_eq!(piece.position, played);
                assert!(!piece.scene.is_empty());
                played += 1;
                next = piece.next;
            }
            assert_eq!(played * PIECE_SECONDS, film.duration_seconds);
        }
    }

    #[test]
    fn a_film_begins_at_its_beginning() {
        assert_eq!(body(&piece(FILMS[0].id, None))["position"], 0);
    }

    #[test]
    fn what_is_no_piece_of_a_film_is_refused() {
        let film = FILMS[0].id;
        assert_eq!(piece("nothing", None).status_code, 404);
        assert_eq!(piece(film, Some("4294967295")).status_code, 404);
        for position in ["", "x", "-1", "4294967296"] {
            assert_eq!(piece(film, Some(position)).status_code, 400, "{position}");
        }
    }

    #[test]
    fn the_caller_is_whom_the_authorizer_names() {
        let told = body(&handle(&request("GET /me", "", None)));

        assert_eq!(told["account_id"], "an account");
        assert_eq!(told["device_id"], "a device");
        assert_eq!(told["session_id"], "a session");
    }

    #[test]
    fn a_request_that_came_past_the_authorizer_is_answered_to_nobody() {
        let mut request = request("GET /films", "", None);
        request.request_context.authorizer = None;

        assert_eq!(handle(&request).status_code, 500);
    }
}
