//! The request: payload format 2.0 of an API Gateway HTTP API.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use aws_lambda_events::http::header::{HeaderMap, HeaderValue, USER_AGENT};
use domain::{AccountId, DeviceId, DeviceType, Place, Timestamp};
use origin_policy::{OriginPolicy, Proof};

use crate::log::LogFields;

use crate::problem::Problem;

/// The header by which the team's own distribution proves itself.
const DISTRIBUTION_HEADER: &str = "x-curfew-distribution";

/// The longest city name that is shown, in code points.
const MAX_CITY_CHARS: usize = 80;

/// The methods that are logged by their names.
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"];

/// A request from the gateway.
#[derive(Debug)]
pub struct Request {
    pub(crate) event: ApiGatewayV2httpRequest,
    origin_policy: OriginPolicy,
    is_through_distribution: bool,
    log: Arc<LogFields>,
}

impl Request {
    /// Wraps the gateway's event.
    #[must_use]
    pub fn new(mut event: ApiGatewayV2httpRequest, origin_policy: &OriginPolicy) -> Self {
        keep_ascii(&mut event.headers);
        // `cargo lambda watch` names no route. The gateway's `$default` has a function that
        // looks at the path alone.
        if event
            .route_key
            .as_deref()
            .is_none_or(|key| key == "$default")
        {
            event.route_key = Some(route_key(&event));
        }
        Self {
            event,
            origin_policy: origin_policy.clone(),
            is_through_distribution: false,
            log: Arc::default(),
        }
    }

    /// Returns the request as sent by the person whom the caller names: with the person's
    /// address and `User-Agent`, and no other header. It shares the log line of the original.
    ///
    /// Call this only for callers that IAM has authorized.
    #[must_use]
    pub fn on_behalf_of(&self, ip: IpAddr, user_agent: Option<&str>) -> Self {
        let mut event = self.event.clone();
        event.headers = HeaderMap::new();
        event.cookies = None;
        if let Some(value) = user_agent.and_then(|text| HeaderValue::from_str(text).ok()) {
            event.headers.insert(USER_AGENT, value);
        }
        keep_ascii(&mut event.headers);
        event.request_context.http.source_ip = Some(ip.to_string());
        Self {
            event,
            origin_policy: self.origin_policy.clone(),
            is_through_distribution: false,
            log: self.log.clone(),
        }
    }

    /// Returns the key of the route that the gateway chose, such as
    /// `GET /v1/session` or `POST /v1/devices/{device_id}/sign-out`.
    #[must_use]
    pub fn route(&self) -> &str {
        self.event.route_key.as_deref().unwrap_or_default()
    }

    /// Returns the method.
    #[must_use]
    pub fn method(&self) -> &str {
        self.event.request_context.http.method.as_str()
    }

    /// Returns the path, without the query: from the first `/v1/` on, because the
    /// gateway leaves the mapping key of a custom domain in front.
    #[must_use]
    pub fn path(&self) -> &str {
        let path = self
            .event
            .raw_path
            .as_deref()
            .or(self.event.request_context.http.path.as_deref())
            .unwrap_or("/");
        path.find("/v1/").map_or(path, |start| &path[start..])
    }

    /// Returns a header's value by its lower-case name. A value that is not text
    /// counts as absent.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.event.headers.get(name)?.to_str().ok()
    }

    /// Returns a path parameter by its name in the route.
    #[must_use]
    pub fn path_parameter(&self, name: &str) -> Option<&str> {
        self.event.path_parameters.get(name).map(String::as_str)
    }

    /// Returns the query parameters in the order they were sent.
    pub fn query(&self) -> impl Iterator<Item = (&str, &str)> {
        self.event.query_string_parameters.iter()
    }

    /// Returns the web origin that the request says it comes from.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.event
            .headers
            .get("origin")
            .map(|origin| origin.to_str().unwrap_or("(not text)"))
    }

    /// Rejects a web origin that is not allowed. A request without an origin passes.
    ///
    /// # Errors
    /// `request-invalid` for the field `Origin`.
    pub fn check_origin(&self) -> Result<(), Problem> {
        match self.origin() {
            Some(origin) if self.is_own(origin) || self.origin_policy.allows(origin) => Ok(()),
            Some(_) => Err(not_allowed()),
            None => Ok(()),
        }
    }

    /// Returns whether an origin is the API's own address, at which the page is served.
    /// The gateway names the domain, and answers only for its own ones.
    fn is_own(&self, origin: &str) -> bool {
        let domain = self.event.request_context.domain_name.as_deref();
        domain.is_some_and(|domain| {
            !domain.is_empty() && origin.strip_prefix("https://") == Some(domain)
        })
    }

    /// Requires the allowed web origin of a page. A cookie alone does not prove that
    /// the owner's own page sent the request (cross-site request forgery).
    ///
    /// # Errors
    /// `request-invalid` for the field `Origin`.
    pub fn require_origin(&self) -> Result<(), Problem> {
        match self.origin() {
            None => Err(Problem::invalid("Origin", "is required with a cookie")),
            Some(origin) if OriginPolicy::is_opaque(origin) => Err(not_allowed()),
            Some(_) => self.check_origin(),
        }
    }

    /// Requires a caller that the gateway has authenticated by IAM. The gateway
    /// writes this part of the event; no client can.
    ///
    /// # Errors
    /// `caller-not-allowed`.
    pub fn require_iam(&self) -> Result<(), Problem> {
        let authorizer = self.event.request_context.authorizer.as_ref();
        let iam = authorizer.and_then(|authorizer| authorizer.iam.as_ref());
        let account = iam.and_then(|caller| caller.account_id.as_deref());
        match account {
            Some(account) if !account.is_empty() => Ok(()),
            Some(_) | None => Err(Problem::CallerNotAllowed),
        }
    }

    /// Finds out whether the request came through the team's own distribution. If it did
    /// not, the headers of a distribution are ignored, and it is rejected where the
    /// distribution is required.
    ///
    /// # Errors
    /// `distribution-required`; [`Problem::Unavailable`] when that could not be decided.
    pub(crate) async fn check_distribution(&mut self, now: Timestamp) -> Result<(), Problem> {
        let presented = self.header(DISTRIBUTION_HEADER);
        let proof = self.origin_policy.prove_distribution(presented, now).await;
        self.is_through_distribution = proof == Proof::Valid;
        match proof {
            Proof::None if self.origin_policy.requires_distribution() => {
                Err(Problem::DistributionRequired)
            }
            Proof::Unknown if self.origin_policy.requires_distribution() => {
                Err(Problem::Unavailable)
            }
            Proof::Valid | Proof::None | Proof::Unknown => Ok(()),
        }
    }

    /// Returns the type of the caller's device, if the team's own distribution reports
    /// it. More than one type may be reported: tablets count as mobile too.
    #[must_use]
    pub fn viewer_type(&self) -> Option<DeviceType> {
        if !self.is_through_distribution {
            return None;
        }
        let types = [
            ("cloudfront-is-smarttv-viewer", DeviceType::Tv),
            ("cloudfront-is-tablet-viewer", DeviceType::Tablet),
            ("cloudfront-is-mobile-viewer", DeviceType::Phone),
            ("cloudfront-is-desktop-viewer", DeviceType::Computer),
        ];
        let is_true = |(name, _): &&(&str, DeviceType)| self.header(name) == Some("true");
        types.iter().find(is_true).map(|(_, viewer)| *viewer)
    }

    /// Returns the caller's place: the address that the gateway saw, or what the
    /// team's own distribution reports, if the request proves that it came through
    /// it. Any client can send the other forwarding headers, so they are ignored.
    #[must_use]
    pub fn place(&self) -> Place {
        if self.is_through_distribution {
            let viewer = self.header("cloudfront-viewer-address").and_then(viewer_ip);
            return Place {
                ip: viewer.map(|ip| ip.to_string()),
                city: self.header("cloudfront-viewer-city").and_then(city_name),
                country: self
                    .header("cloudfront-viewer-country")
                    .filter(|code| code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase()))
                    .map(str::to_owned),
            };
        }
        let source = self.event.request_context.http.source_ip.as_deref();
        let ip: Option<IpAddr> = source.and_then(|ip| ip.parse().ok());
        Place {
            ip: ip.map(|ip| ip.to_canonical().to_string()),
            ..Place::default()
        }
    }

    /// Returns the caller's address, as [`Request::place`] has it.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.place().ip?.parse().ok()
    }

    /// Sets the account of the log line.
    pub fn note_account(&self, account: AccountId) {
        self.log.set_account(account);
    }

    /// Sets the device of the log line.
    pub fn note_device(&self, device: DeviceId) {
        self.log.set_device(device);
    }

    /// Sets the group of the caller's network in the log line: one of 256, each of many
    /// networks, so that it shows no address.
    pub fn note_network(&self, group: u8) {
        self.log.set_network(group);
    }

    /// Sets an outcome of the log line that the answer does not show.
    pub fn note_outcome(&self, outcome: &'static str) {
        self.log.set_outcome(outcome);
    }

    /// Writes the request's one log line. An outcome that was noted wins over
    /// `outcome`.
    pub fn log(&self, status: Option<u16>, outcome: &'static str, began: Instant) {
        let id = self.event.request_context.request_id.as_deref();
        let id = id.unwrap_or_default();
        let method = self.logged_method();
        self.log.write(id, method, status, outcome, began);
    }

    /// Returns the method for the log: any client can make one up.
    fn logged_method(&self) -> &'static str {
        let known = METHODS.iter().find(|known| **known == self.method());
        known.copied().unwrap_or("other")
    }
}

/// Returns the key of a request's route, by its path and the parameters that were found
/// in it.
fn route_key(event: &ApiGatewayV2httpRequest) -> String {
    let path = event.raw_path.as_deref().unwrap_or("/");
    let parameters = &event.path_parameters;
    let (path, rest) = match parameters
        .get("proxy")
        .and_then(|rest| path.strip_suffix(&**rest))
    {
        Some(before) => (before, "{proxy+}"),
        None => (path, ""),
    };
    let named = |part: &str| {
        let found = parameters.iter().find(|(_, value)| *value == part);
        found.map_or_else(|| part.to_owned(), |(name, _)| format!("{{{name}}}"))
    };
    let path = path.split('/').map(named).collect::<Vec<_>>().join("/");
    format!("{} {path}{rest}", event.request_context.http.method)
}

/// Drops the characters that a `User-Agent` or a client hint can't have, so that the
/// rest of it can be read.
fn keep_ascii(headers: &mut HeaderMap) {
    for (name, value) in headers {
        let is_description = name == USER_AGENT || name.as_str().starts_with("sec-ch-ua");
        if is_description && !value.as_bytes().is_ascii() {
            let ascii = value.as_bytes().iter().copied().filter(u8::is_ascii);
            if let Ok(ascii) = HeaderValue::from_bytes(&ascii.collect::<Vec<u8>>()) {
                *value = ascii;
            }
        }
    }
}

fn not_allowed() -> Problem {
    Problem::invalid("Origin", "is not an allowed origin")
}

/// Parses `CloudFront-Viewer-Address`: an address, a colon and a port, without
/// brackets for IPv6.
fn viewer_ip(header: &str) -> Option<IpAddr> {
    let (ip, _port) = header.rsplit_once(':')?;
    ip.trim_matches(['[', ']'])
        .parse::<IpAddr>()
        .ok()
        .map(|ip| ip.to_canonical())
}

/// Decodes a city's name, which `CloudFront` percent-encodes, and cuts it to a bounded
/// length; none when it is not well encoded, or has control characters.
fn city_name(header: &str) -> Option<String> {
    let mut sent = header.trim().bytes();
    let mut bytes = Vec::new();
    while let Some(byte) = sent.next() {
        bytes.push(match byte {
            b'%' => hex_digit(sent.next()?)? << 4 | hex_digit(sent.next()?)?,
            byte => byte,
        });
    }
    let name = String::from_utf8(bytes).ok()?;
    let name: String = name.trim().chars().take(MAX_CITY_CHARS).collect();
    (!name.is_empty() && !name.chars().any(char::is_control)).then_some(name)
}

fn hex_digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

#[cfg(test)]
pub(crate) mod tests;
