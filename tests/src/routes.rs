//! The routes of the API, read from its OpenAPI document, and the callers that each
//! accepts. A new route is in every suite that goes through them without being
//! named there.

use http_api::Event;
use serde_json::Value;

use crate::bundle::event_about;

/// The callers that a route accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// Every caller.
    Open,
    /// Holders of the token of a valid session.
    Session,
    /// Holders of the token of a session that the sign-out has ended.
    EndedSession,
    /// Callers that IAM has authorized.
    Iam,
}

/// The routes that are not for the holder of a valid session. Every other one must
/// be.
const EXCEPTIONS: [(&str, Guard); 17] = [
    ("register", Guard::Open),
    ("confirmAccount", Guard::Open),
    ("requestPasswordReset", Guard::Open),
    ("requestPass", Guard::Open),
    ("confirmPasswordReset", Guard::Open),
    ("login", Guard::Open),
    ("completeSignIn", Guard::Open),
    ("reportLostFactors", Guard::Open),
    ("confirmLostFactors", Guard::Open),
    ("getOpenApi", Guard::Open),
    ("getAsyncApi", Guard::Open),
    ("readNotice", Guard::Open),
    ("answerNotice", Guard::Open),
    ("acknowledgeSignOut", Guard::EndedSession),
    ("introspect", Guard::Iam),
    ("loginByBackend", Guard::Iam),
    ("verifyByBackend", Guard::Iam),
];

/// An operation of the document.
#[derive(Debug, Clone)]
pub struct Route {
    /// Its operation id.
    pub id: String,
    /// `GET`, `POST` and so on.
    pub method: String,
    /// Its path, with names in braces.
    pub path: String,
    /// The example of its JSON body, if it has one.
    pub example: Option<Value>,
    /// The callers that it accepts.
    pub guard: Guard,
}

impl Route {
    fn new(method: &str, path: &str, operation: &Value) -> Self {
        let id = operation["operationId"].as_str().expect("an operation id");
        let exception = EXCEPTIONS.iter().find(|(known, _)| *known == id);
        let example = &operation["requestBody"]["content"]["application/json"]["example"];
        Self {
            id: id.to_owned(),
            method: method.to_uppercase(),
            path: path.to_owned(),
            example: (!example.is_null()).then(|| example.clone()),
            guard: exception.map_or(Guard::Session, |(_, guard)| *guard),
        }
    }

    /// Returns whether it is about one device that its path names.
    #[must_use]
    pub fn names_device(&self) -> bool {
        self.path.contains("{device_id}")
    }

    /// Returns whether it is about one sign-out that its path names.
    #[must_use]
    pub fn names_sign_out(&self) -> bool {
        self.path.contains("{sign_out_id}")
    }

    /// Returns its path with an id in the place of the name.
    #[must_use]
    pub fn path_to(&self, id: &str) -> String {
        self.path
            .replace("{device_id}", id)
            .replace("{sign_out_id}", id)
            .replace("{factor_id}", id)
    }

    /// Returns a request for it, with the example as its body.
    #[must_use]
    pub fn event(&self, token: Option<&str>, id: &str) -> Event {
        let route = format!("{} {}", self.method, self.path);
        event_about(&route, token, id, self.example.as_ref())
    }
}

/// Returns every route, and checks that the document asks for the credential that
/// the route's guard demands.
#[must_use]
pub fn routes() -> Vec<Route> {
    let document: Value = serde_json::from_str(api::DOCUMENT).expect("a JSON document");
    let mut routes = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let route = Route::new(method, path, operation);
            let scheme = match route.guard {
                Guard::Open => None,
                Guard::Session | Guard::EndedSession => Some("bearer"),
                Guard::Iam => Some("iam"),
            };
            let documented = operation["security"][0].as_object();
            let documented = documented.and_then(|schemes| schemes.keys().next());
            assert_eq!(documented.map(String::as_str), scheme, "{}", route.id);
            routes.push(route);
        }
    }
    for (id, _) in EXCEPTIONS {
        assert!(
            routes.iter().any(|route| route.id == id),
            "{id} is no route"
        );
    }
    routes
}

/// Returns the routes for the holder of a valid session.
#[must_use]
pub fn session_routes() -> Vec<Route> {
    let mut routes = routes();
    routes.retain(|route| route.guard == Guard::Session);
    routes
}
