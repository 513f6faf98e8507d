//! Every place that asks for the token of a valid session.

use domain::Step;
use http_api::Reply;

use crate::account::TestDevice;
use crate::app::{Boxed, TestApp};
use crate::bundle::{event, json_of};
use crate::routes::{Route, session_routes};

/// A place that checks a session and answers at once.
#[derive(Debug, Clone)]
pub enum Door {
    /// A route of the API.
    Route(Route),
    /// The authorizer of another service's API.
    Authorizer,
    /// The introspection endpoint.
    Introspection,
}

/// The answer of a door.
#[derive(Debug)]
pub enum DoorAnswer {
    /// The answer of a route.
    Reply(Reply),
    /// The decision of the authorizer.
    Decision(bool),
    /// The answer of introspection.
    Introspected(Reply),
}

impl DoorAnswer {
    /// Returns whether the session was accepted. A route must refuse an ended session
    /// by `session-signed-out` and the id of its sign-out.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        match self {
            Self::Reply(reply) if reply.status_code != 401 => true,
            Self::Reply(reply) => {
                let problem = json_of(reply);
                assert_eq!(problem["type"], "urn:curfew:problem:session-signed-out");
                assert!(problem["sign_out"].is_string());
                false
            }
            Self::Decision(is_authorized) => *is_authorized,
            Self::Introspected(reply) => {
                let active = json_of(reply)["active"].as_bool();
                active.expect("`active` is a boolean")
            }
        }
    }
}

impl Door {
    /// Returns every door.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let routes = session_routes().into_iter().map(Self::Route);
        routes
            .chain([Self::Authorizer, Self::Introspection])
            .collect()
    }

    /// Returns the doors that change nothing but a touch or a ticket.
    #[must_use]
    pub fn harmless() -> Vec<Self> {
        let mut doors = Self::all();
        doors.retain(|door| match door {
            Self::Route(route) => route.method == "GET" || route.id == "createSocketTicket",
            Self::Authorizer | Self::Introspection => true,
        });
        doors
    }

    /// Returns its name: the operation id of a route.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Route(route) => &route.id,
            Self::Authorizer => "authorizer",
            Self::Introspection => "introspection",
        }
    }

    /// Returns the contact that it records of an ended session.
    #[must_use]
    pub fn contact(&self) -> Step {
        match self {
            Self::Route(_) => Step::Notified,
            Self::Authorizer | Self::Introspection => Step::Seen,
        }
    }

    /// Presents the token of a device. A path that names a device or a sign-out gets
    /// the id.
    #[must_use]
    pub fn knock<'a>(
        &'a self,
        app: &'a TestApp,
        device: &'a TestDevice,
        id: &'a str,
    ) -> Boxed<'a, DoorAnswer> {
        Box::pin(async move {
            let (bundle, token) = (&app.bundle, device.token.as_str());
            match self {
                Self::Route(route) => {
                    DoorAnswer::Reply(bundle.send(route.event(Some(token), id)).await)
                }
                Self::Authorizer => {
                    let event = event("GET", "/films", Some(token), None);
                    let decision = authorizer::handle(&bundle.authorizer, event).await;
                    DoorAnswer::Decision(decision.expect("the tables answer").is_authorized)
                }
                Self::Introspection => DoorAnswer::Introspected(bundle.introspect(token).await),
            }
        })
    }
}
