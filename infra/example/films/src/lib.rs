//! An example of your own API: a few films, streamed piece by piece to devices that
//! are signed in.
//!
//! No code here checks a token. Curfew's authorizer lets a request through only
//! while its session is valid, and passes the account, device and session in the
//! request context. Each piece is a separate request, so a film stops at the first
//! piece after the sign-out.

mod library;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use aws_lambda_events::encodings::Body;
use aws_lambda_events::http::HeaderValue;
use serde::{Deserialize, Serialize};

pub use library::{FILMS, Film};

/// A request of the gateway, in payload format 2.0.
pub type Request = ApiGatewayV2httpRequest;
/// A response to the gateway.
pub type Response = ApiGatewayV2httpResponse;

/// The playing time of a piece.
const PIECE_SECONDS: u32 = 1;

/// The caller, from the context that the authorizer has set. No client can set it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The account's id.
    pub account_id: String,
    /// The device's id.
    pub device_id: String,
    /// The session's id.
    pub session_id: String,
}

impl Caller {
    /// Reads the context. Returns `None` if the authorizer has not set it.
    fn of(request: &Request) -> Option<Self> {
        let context = &request.request_context.authorizer.as_ref()?.fields;
        let text = |name: &str| Some(context.get(name)?.as_str()?.to_owned());
        Some(Self {
            account_id: text("account_id")?,
            device_id: text("device_id")?,
            session_id: text("session_id")?,
        })
    }
}

/// The answer to `GET /films`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalogue {
    /// All films.
    pub films: Vec<Listed>,
}

/// A film of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its id in paths.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Its playing time.
    pub duration_seconds: u32,
    /// The path of its first piece.
    pub stream: String,
}

/// The answer to `GET /films/{film_id}/stream?position=…`: a piece of a film, and the
/// path of the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// The title of the film.
    pub title: String,
    /// The number of the piece, from 0.
    pub position: u32,
    /// The number of pieces.
    pub of: u32,
    /// What the device shows.
    pub scene: String,
    /// The playing time of the piece.
    pub plays_seconds: u32,
    /// The path of the next piece, if there is one.
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
        // A route without the authorizer is a fault of the deployment. It must not
        // serve callers without a session.
        tracing::error!(route, "request without authorizer");
        return problem(500, "This route has no authorizer.");
    };
    let response = match route {
        "GET /films" => json(200, &catalogue()),
        "GET /films/{film_id}/stream" => stream(request),
        "GET /me" => json(200, &caller),
        _ => problem(404, "Not found."),
    };
    tracing::info!(
        route,
        account = caller.account_id,
        device = caller.device_id,
        status = response.status_code,
        "request"
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
        return problem(404, "Film not found.");
    };
    let position = match request.query_string_parameters.first("position") {
        None => 0,
        Some(text) => match text.parse() {
            Ok(position) => position,
            Err(_) => return problem(400, "`position` must be a whole number."),
        },
    };
    let Some(scene) = film.scene(position) else {
        return problem(404, "The film has no piece at this `position`.");
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

fn problem(status: i64, title: &'static str) -> Response {
    let mut response = json(status, &Problem { title });
    let kind = HeaderValue::from_static("application/problem+json");
    response.headers.insert("content-type", kind);
    response
}

fn json<T: Serialize>(status: i64, body: &T) -> Response {
    let body = serde_json::to_string(body).expect("the answers are structs of text and numbers");
    let mut response = Response::default();
    response.status_code = status;
    for (name, value) in [
        ("content-type", "application/json"),
        // A cached piece would play without a session.
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

    /// Returns a request that the authorizer has let through.
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
    fn following_the_paths_plays_every_film_to_its_end() {
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
    fn a_film_starts_at_its_first_piece() {
        assert_eq!(body(&piece(FILMS[0].id, None))["position"], 0);
    }

    #[test]
    fn unknown_films_and_pieces_are_not_found() {
        let film = FILMS[0].id;
        assert_eq!(piece("nothing", None).status_code, 404);
        assert_eq!(piece(film, Some("4294967295")).status_code, 404);
        for position in ["", "x", "-1", "4294967296"] {
            assert_eq!(piece(film, Some(position)).status_code, 400, "{position}");
        }
    }

    #[test]
    fn the_caller_is_taken_from_the_authorizers_context() {
        let caller = body(&handle(&request("GET /me", "", None)));

        assert_eq!(caller["account_id"], "an account");
        assert_eq!(caller["device_id"], "a device");
        assert_eq!(caller["session_id"], "a session");
    }

    #[test]
    fn a_request_without_the_authorizer_is_not_answered() {
        let mut request = request("GET /films", "", None);
        request.request_context.authorizer = None;

        assert_eq!(handle(&request).status_code, 500);
    }
}
