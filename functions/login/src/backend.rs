//! The request of a team's own backend that signs a person in.
//!
//! The gateway has checked the backend's signature. What is counted and shown is the
//! person's address, which only the backend has seen.

use std::net::IpAddr;

use domain::Timestamp;
use http_api::{Object, Problem, Request, parse_auth_time};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::attempt::Attempt;
use crate::{Login, TokenTransport};

/// The longest `User-Agent`, in bytes.
const MAX_USER_AGENT: usize = 1024;

/// The body of the request.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct BackendLogin {
    /// The person who signs in.
    #[schema(value_type = Person)]
    pub person: Object<Person>,
    /// The proof by your own login, with which the sign-in counts as a verification. For
    /// deployments with `ExternalVerification`.
    #[serde(default)]
    #[schema(value_type = Option<LoginProof>)]
    pub proof: Option<Object<LoginProof>>,
    /// What `POST /v1/login` takes. `transport` can't be `cookie`.
    #[schema(value_type = Login)]
    pub sign_in: Object<Login>,
}

/// What the team's own login has proven.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct LoginProof {
    /// The account of the person that your login has recognized. Take it from your own records,
    /// never from the request of the app.
    #[schema(format = Uuid, example = "8b0f4f0e-59d5-4f0e-9c3a-52f2b7c1d9aa")]
    pub account: String,
    /// The time when your login has proven who the person is, in seconds since 1970, less than five
    /// minutes ago. As `auth_time` of `OpenID` Connect (Core 1.0, section 2).
    #[schema(example = 1_795_167_000)]
    pub auth_time: i64,
}

/// The person who signs in, as the backend sees them.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct Person {
    /// The address from which the person reaches the backend: of their own connection, never
    /// from a header that the person could write. Wrong passwords are counted for it.
    #[schema(max_length = 45, example = "203.0.113.7")]
    pub ip: String,
    /// The `User-Agent` of the person's browser or app.
    #[serde(default)]
    #[schema(max_length = 1024)]
    pub user_agent: Option<String>,
}

/// Reads the body. Returns the attempt, and the request as if the person had sent it.
pub(crate) fn read(
    request: &Request,
    external: Option<&'static str>,
    now: Timestamp,
) -> Result<(Attempt, Request), Problem> {
    let body: BackendLogin = request.json()?;
    let (Object(person), Object(sign_in)) = (body.person, body.sign_in);
    let ip: IpAddr = person
        .ip
        .parse()
        .map_err(|_| Problem::invalid("person.ip", "must be an IPv4 or IPv6 address"))?;
    let user_agent = person.user_agent.as_deref();
    if user_agent.is_some_and(|agent| agent.len() > MAX_USER_AGENT) {
        let detail = format!("must have at most {MAX_USER_AGENT} bytes");
        return Err(Problem::invalid("person.user_agent", detail));
    }
    if sign_in.transport == TokenTransport::Cookie {
        return Err(Problem::invalid("sign_in.transport", "must be `bearer`"));
    }
    let by_person = request.on_behalf_of(ip, user_agent);
    let mut attempt = Attempt::new(&by_person, sign_in).map_err(within_sign_in)?;
    if let Some(Object(proof)) = body.proof {
        let account = proof.account.parse();
        let account = account.map_err(|_| Problem::invalid("proof.account", "must be a UUID"))?;
        let at = parse_auth_time(("proof.auth_time", proof.auth_time), external, now)?;
        attempt.proven = Some((account, at));
    }
    Ok((attempt, by_person))
}

/// Returns the problem of a field of `sign_in`.
fn within_sign_in(problem: Problem) -> Problem {
    match problem {
        Problem::RequestInvalid { field, detail } => {
            Problem::invalid(format!("sign_in.{field}"), detail)
        }
        other => other,
    }
}
