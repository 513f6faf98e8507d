//! What comes in: headers, parameters, the body, and the secret presented.

use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Instant;

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::{AccountId, DeviceId, OriginPolicy, Place, Token};
use serde::de::DeserializeOwned;

use crate::answer::SESSION_COOKIE;
use crate::form::Form;
use crate::object::Object;
use crate::problem::Problem;

/// The most bytes in a body; the gateway itself lets 10 MB through.
pub const MAX_BODY_BYTES: usize = 16 * 1024;

/// The cookie that keeps a page's device key across sign-outs.
pub const DEVICE_COOKIE: &str = "__Host-curfew-device";

/// The header by which the team's own distribution proves itself.
const DISTRIBUTION_HEADER: &str = "x-curfew-distribution";

/// How the token came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// In the `Authorization` header.
    Bearer,
    /// In the page's cookie.
    Cookie,
}

/// A token that was presented, and how.
#[derive(Debug)]
pub struct Presented {
    /// The token.
    pub token: Token,
    /// How it came.
    pub transport: Transport,
}

/// What the log tells of a request, beside its route and outcome.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Notes {
    pub(crate) account: Option<AccountId>,
    pub(crate) device: Option<DeviceId>,
    pub(crate) outcome: Option<&'static str>,
}

/// A request, as the gateway hands it on.
#[derive(Debug)]
pub struct Request {
    event: ApiGatewayV2httpRequest,
    origin_policy: OriginPolicy,
    notes: Mutex<Notes>,
}

/// A body that was read, or the problem with it.
pub type Body<T> = Result<T, Problem>;

impl Request {
    /// Takes what the gateway sent.
    #[must_use]
    pub fn new(event: ApiGatewayV2httpRequest, origin_policy: &OriginPolicy) -> Self {
        Self {
            event,
            origin_policy: origin_policy.clone(),
            notes: Mutex::default(),
        }
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &str {
        self.event.request_context.http.method.as_str()
    }

    /// The path, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.event
            .raw_path
            .as_deref()
            .or(self.event.request_context.http.path.as_deref())
            .unwrap_or("/")
    }

    /// The id that the gateway gave the request.
    #[must_use]
    pub fn id(&self) -> &str {
        self.event
            .request_context
            .request_id
            .as_deref()
            .unwrap_or_default()
    }

    /// A header's value, by its name in lower case; none when it is not there or
    /// not text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.event.headers.get(name)?.to_str().ok()
    }

    /// A part of the path, by its name in the route.
    #[must_use]
    pub fn path_parameter(&self, name: &str) -> Option<&str> {
        self.event.path_parameters.get(name).map(String::as_str)
    }

    /// The parameters of the query, in their order.
    pub fn query(&self) -> impl Iterator<Item = (&str, &str)> {
        self.event.query_string_parameters.iter()
    }

    /// The web origin that the request says it comes from.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.event
            .headers
            .get("origin")
            .map(|origin| origin.to_str().unwrap_or("(not text)"))
    }

    /// Refuses a request of a web origin that is not allowed.
    pub(crate) fn check_origin(&self) -> Result<(), Problem> {
        match self.origin() {
            Some(origin) if !self.origin_policy.allows(origin) => {
                Err(Problem::invalid("Origin", "is not an allowed origin"))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a request that does not say which allowed web origin it comes
    /// from, as everything that acts by a cookie must.
    ///
    /// # Errors
    /// A problem that names the header.
    pub fn require_origin(&self) -> Result<(), Problem> {
        if self.origin().is_none() {
            return Err(Problem::invalid("Origin", "is needed with a cookie"));
        }
        self.check_origin()
    }

    /// The token that was presented, in one of the two ways.
    ///
    /// # Errors
    /// `token-missing`, `token-invalid`, or `request-invalid` when it came in
    /// both.
    pub fn token(&self) -> Result<Presented, Problem> {
        let headers: Vec<_> = self.event.headers.get_all("authorization").iter().collect();
        let cookies = self.cookies(SESSION_COOKIE);
        match (headers.as_slice(), cookies.as_slice()) {
            ([], []) => Err(Problem::TokenMissing),
            ([header], []) => {
                let text = header.to_str().map_err(|_| Problem::TokenInvalid)?;
                let (scheme, token) = text.split_once(' ').ok_or(Problem::TokenInvalid)?;
                if !scheme.eq_ignore_ascii_case("bearer") {
                    return Err(Problem::TokenInvalid);
                }
                let token = Token::parse(token).map_err(|_| Problem::TokenInvalid)?;
                Ok(Presented {
                    token,
                    transport: Transport::Bearer,
                })
            }
            ([], [cookie]) => {
                let token = Token::parse(cookie).map_err(|_| Problem::TokenInvalid)?;
                Ok(Presented {
                    token,
                    transport: Transport::Cookie,
                })
            }
            ([], _) => Err(Problem::invalid(SESSION_COOKIE, "stands more than once")),
            (_, []) => Err(Problem::invalid("Authorization", "stands more than once")),
            (_, _) => Err(Problem::invalid(
                "Authorization",
                "came together with the session's cookie: send one of them",
            )),
        }
    }

    /// The values of a cookie: more than one is somebody's trick.
    #[must_use]
    pub fn cookies(&self, name: &str) -> Vec<&str> {
        let listed = self.event.cookies.iter().flatten().map(String::as_str);
        // The gateway lifts cookies out of the headers; what stands in for it
        // locally leaves them in.
        let in_headers = self
            .event
            .headers
            .get_all("cookie")
            .iter()
            .filter_map(|header| header.to_str().ok());
        let mut found: Vec<&str> = listed
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| value_of(pair, name))
            .collect();
        if self.event.cookies.is_none() {
            found.extend(
                in_headers
                    .flat_map(|line| line.split(';'))
                    .filter_map(|pair| value_of(pair, name)),
            );
        }
        found
    }

    /// Reads the JSON of the body.
    ///
    /// # Errors
    /// `request-too-large`, or `request-invalid` naming the field.
    pub fn json<T: DeserializeOwned>(&self) -> Body<T> {
        let bytes = self.body_bytes()?;
        self.require_content_type("application/json")?;
        object(&bytes)
    }

    /// Reads the form of the body (WHATWG URL, section 5), its parameters in
    /// their order.
    ///
    /// # Errors
    /// `request-too-large`, or `request-invalid` naming what is wrong.
    pub fn form(&self) -> Body<Form> {
        let bytes = self.body_bytes()?;
        self.require_content_type("application/x-www-form-urlencoded")?;
        Ok(Form::parse(&bytes))
    }

    fn require_content_type(&self, wanted: &str) -> Body<()> {
        let is_wanted = self
            .header("content-type")
            .and_then(|kind| kind.split(';').next())
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case(wanted));
        if is_wanted {
            return Ok(());
        }
        Err(Problem::invalid(
            "Content-Type",
            format!("must be {wanted}"),
        ))
    }

    /// Refuses a request that the gateway has not authenticated by IAM. What the
    /// gateway says of the caller stands where no client can write.
    ///
    /// # Errors
    /// `caller-not-allowed`.
    pub fn require_iam(&self) -> Result<(), Problem> {
        let authorizer = self.event.request_context.authorizer.as_ref();
        let iam = authorizer.and_then(|authorizer| authorizer.iam.as_ref());
        let account = iam.and_then(|caller| caller.account_id.as_deref());
        match account {
            Some(account) if !account.is_empty() => Ok(()),
            _ => Err(Problem::CallerNotAllowed),
        }
    }

    /// Refuses a body where none is taken, but for an empty object: a member that
    /// is silently passed over could have been meant.
    ///
    /// # Errors
    /// As [`Request::json`].
    pub fn no_body(&self) -> Body<()> {
        if self.body_bytes()?.is_empty() {
            return Ok(());
        }
        self.json::<crate::answer::Empty>().map(|_| ())
    }

    fn body_bytes(&self) -> Body<Vec<u8>> {
        let body = self.event.body.as_deref().unwrap_or_default();
        if !self.event.is_base64_encoded {
            if body.len() > MAX_BODY_BYTES {
                return Err(Problem::RequestTooLarge);
            }
            return Ok(body.as_bytes().to_vec());
        }
        if body.len() > MAX_BODY_BYTES.div_ceil(3) * 4 {
            return Err(Problem::RequestTooLarge);
        }
        let bytes = STANDARD
            .decode(body)
            .map_err(|_| Problem::invalid("body", "is not what was announced"))?;
        if bytes.len() > MAX_BODY_BYTES {
            return Err(Problem::RequestTooLarge);
        }
        Ok(bytes)
    }

    /// Where the caller is: the address that the gateway saw, or what the team's
    /// own distribution says, when the request proves that it came through it.
    /// Headers that anybody can send count for nothing.
    #[must_use]
    pub fn place(&self) -> Place {
        let through_distribution = self
            .header(DISTRIBUTION_HEADER)
            .is_some_and(|secret| self.origin_policy.is_distribution(secret));
        if through_distribution {
            let viewer = self.header("cloudfront-viewer-address").and_then(viewer_ip);
            return Place {
                ip: viewer.map(|ip| ip.to_string()),
                city: self.header("cloudfront-viewer-city").and_then(place_name),
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

    /// Writes down, for the log, whose request this is.
    pub fn note_account(&self, account: AccountId) {
        self.with_notes(|notes| notes.account = Some(account));
    }

    /// Writes down, for the log, which device's request this is.
    pub fn note_device(&self, device: DeviceId) {
        self.with_notes(|notes| notes.device = Some(device));
    }

    /// Writes down, for the log, what the answer does not tell.
    pub fn note_outcome(&self, outcome: &'static str) {
        self.with_notes(|notes| notes.outcome = Some(outcome));
    }

    /// Writes the one line that the log has for a request: what, who (ids only),
    /// what came of it and how long it took. An outcome that was noted before
    /// says more than the one given here.
    pub fn log(&self, said: &str, status: Option<u16>, outcome: &'static str, began: Instant) {
        let mut notes = Notes::default();
        self.with_notes(|noted| notes = *noted);
        tracing::info!(
            request = self.id(),
            method = self.method(),
            status,
            outcome = notes.outcome.unwrap_or(outcome),
            account = notes.account.map(tracing::field::display),
            device = notes.device.map(tracing::field::display),
            duration_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
            "{said}"
        );
    }

    fn with_notes(&self, write: impl FnOnce(&mut Notes)) {
        let mut notes = self
            .notes
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        write(&mut notes);
    }
}

/// Reads a JSON object, and nothing else in its place. What is wrong with the
/// whole of it is said of the field `body`.
///
/// # Errors
/// `request-invalid` naming the field, without any value that was sent.
pub fn object<T: DeserializeOwned>(bytes: &[u8]) -> Body<T> {
    if bytes.is_empty() {
        return Err(Problem::invalid(
            "body",
            "is empty, and must be a JSON object",
        ));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let Object(read) = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| refused(bytes, &error.path().to_string(), error.inner()))?;
    reader
        .end()
        .map_err(|error| Problem::invalid("body", said(&error)))?;
    Ok(read)
}

fn value_of<'a>(pair: &'a str, name: &str) -> Option<&'a str> {
    let (found, value) = pair.split_once('=')?;
    (found.trim() == name).then(|| value.trim())
}

/// The problem for what `serde_json` says: the field by its path, and what is
/// wrong with it, without any value that was sent, which may be a password.
fn refused(body: &[u8], path: &str, error: &serde_json::Error) -> Problem {
    let at = if path == "." { "body" } else { path };
    if error.classify() != serde_json::error::Category::Data {
        // A number where a word belongs counts as bad syntax there.
        return match serde_json::from_slice::<serde::de::IgnoredAny>(body) {
            Ok(_) => Problem::invalid(at, "is of the wrong type"),
            Err(error) => Problem::invalid("body", said(&error)),
        };
    }
    let text = error.to_string();
    let text = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(said, _)| said);
    let inside = |name: &str| {
        let name = name.trim_matches('`');
        if path == "." {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        }
    };
    if let Some(name) = text.strip_prefix("missing field ") {
        return Problem::invalid(inside(name), "is missing");
    }
    if let Some(name) = text.strip_prefix("duplicate field ") {
        return Problem::invalid(inside(name), "stands more than once");
    }
    // The path tells the unknown name; the rest tells the known ones.
    if let Some((_, known)) = text
        .strip_prefix("unknown field ")
        .and_then(|rest| rest.split_once(", expected "))
    {
        return Problem::invalid(at, format!("is not known here, only {known}"));
    }
    let expected = text
        .rsplit_once("expected ")
        .map_or("something else", |(_, expected)| expected);
    Problem::invalid(at, format!("must be {expected}"))
}

/// What `serde_json` says of text that is no JSON.
fn said(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Eof => "ends too early",
        serde_json::error::Category::Io => "could not be read",
        serde_json::error::Category::Syntax | serde_json::error::Category::Data => {
            "is not well-formed JSON"
        }
    }
}

/// The address in `CloudFront-Viewer-Address`: an address, a colon and a port,
/// without brackets for IPv6.
fn viewer_ip(header: &str) -> Option<IpAddr> {
    let (ip, _port) = header.rsplit_once(':')?;
    ip.trim_matches(['[', ']'])
        .parse::<IpAddr>()
        .ok()
        .map(|ip| ip.to_canonical())
}

/// A place's name, percent-decoding left to nobody: what is not plain text is
/// not shown.
fn place_name(header: &str) -> Option<String> {
    let name: String = header.trim().chars().take(80).collect();
    (!name.is_empty() && !name.chars().any(char::is_control)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lambda_events::http::HeaderValue;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, expecting = "an object")]
    struct Sample {
        #[expect(dead_code, reason = "it is only read")]
        scope: Inner,
        #[expect(dead_code, reason = "it is only read")]
        secret: Option<String>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Inner {
        Others,
        Global,
    }

    fn request(headers: &[(&'static str, &str)], body: Option<&str>) -> Request {
        let mut event = ApiGatewayV2httpRequest::default();
        for (name, value) in headers {
            event
                .headers
                .append(*name, HeaderValue::from_str(value).unwrap());
        }
        event.body = body.map(str::to_owned);
        event.request_context.http.source_ip = Some("203.0.113.7".to_owned());
        let secret = "0123456789abcdef0123456789abcdef".to_owned();
        Request::new(
            event,
            &OriginPolicy::new(Some("https://app.example.com"), Some(secret)),
        )
    }

    fn wrong_with(body: &str) -> (String, String) {
        let request = request(&[("content-type", "application/json")], Some(body));
        match request.json::<Sample>() {
            Err(Problem::RequestInvalid { field, detail }) => (field, detail),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_wrong_body_is_answered_with_the_field_and_never_with_its_value() {
        let wrong = |body, field: &str, detail: &str| {
            assert_eq!(
                wrong_with(body),
                (field.to_owned(), detail.to_owned()),
                "{body}"
            );
        };
        wrong("{}", "scope", "is missing");
        wrong("[]", "body", "must be an object");
        wrong(r#"["global", null]"#, "body", "must be an object");
        wrong("\"global\"", "body", "must be an object");
        wrong("", "body", "is empty, and must be a JSON object");
        wrong("{", "body", "ends too early");
        wrong("{]", "body", "is not well-formed JSON");
        wrong(r#"{"scope":"global"} x"#, "body", "is not well-formed JSON");
        wrong(
            r#"{"scope":"canary"}"#,
            "scope",
            "must be `others` or `global`",
        );
        wrong(r#"{"scope":7}"#, "scope", "is of the wrong type");
        wrong(
            r#"{"scop":"global"}"#,
            "scop",
            "is not known here, only `scope` or `secret`",
        );
        wrong(
            r#"{"scope":"global","scope":"others"}"#,
            "scope",
            "stands more than once",
        );
        wrong(
            r#"{"scope":"global","secret":["canary"]}"#,
            "secret",
            "must be a string",
        );
        let deep = format!(r#"{{"scope":{}}}"#, "[".repeat(10_000));
        assert_eq!(wrong_with(&deep).0, "body");
    }

    #[test]
    fn a_body_of_more_than_16_kib_is_too_large() {
        let body = " ".repeat(MAX_BODY_BYTES + 1);
        let request = request(&[("content-type", "application/json")], Some(&body));
        assert_eq!(
            request.json::<Sample>().unwrap_err(),
            Problem::RequestTooLarge
        );
    }

    #[test]
    fn a_body_needs_a_json_content_type() {
        for kind in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/jsonx",
        ] {
            let request = request(&[("content-type", kind)], Some(r#"{"scope":"global"}"#));
            let problem = request.json::<Sample>().unwrap_err();
            assert_eq!(
                problem,
                Problem::invalid("Content-Type", "must be application/json")
            );
        }
        let with_charset = [("content-type", "Application/JSON; charset=utf-8")];
        assert!(
            request(&with_charset, Some(r#"{"scope":"global"}"#))
                .json::<Sample>()
                .is_ok()
        );
    }

    #[test]
    fn a_token_comes_in_one_way_only() {
        let bearer = ("authorization", "Bearer cft_x");
        let cookie = ("cookie", "__Host-curfew=cft_x");
        assert_eq!(
            request(&[], None).token().unwrap_err(),
            Problem::TokenMissing
        );
        let both = request(&[bearer, cookie], None).token().unwrap_err();
        assert_eq!(both.name(), "request-invalid");
        let twice = request(&[bearer, bearer], None).token().unwrap_err();
        assert_eq!(twice.name(), "request-invalid");
        let two_cookies = ("cookie", "__Host-curfew=a; __Host-curfew=b");
        assert_eq!(
            request(&[two_cookies], None).token().unwrap_err().name(),
            "request-invalid"
        );
        for scheme in ["Basic cft_x", "Bearer", "cft_x", "Bearer  cft_x", ""] {
            let problem = request(&[("authorization", scheme)], None)
                .token()
                .unwrap_err();
            assert_eq!(problem, Problem::TokenInvalid, "{scheme}");
        }
    }

    #[test]
    fn a_place_comes_from_the_gateway_and_never_from_a_header_that_anybody_can_send() {
        let forged = [
            ("x-forwarded-for", "198.51.100.1"),
            ("forwarded", "for=198.51.100.1"),
            ("cloudfront-viewer-address", "198.51.100.1:443"),
            ("cloudfront-viewer-country", "PT"),
            ("x-curfew-distribution", "0123456789abcdef0123456789abcdee"),
        ];
        let place = request(&forged, None).place();
        assert_eq!(place.ip.as_deref(), Some("203.0.113.7"));
        assert_eq!((place.city, place.country), (None, None));
    }

    #[test]
    fn a_request_through_the_teams_own_distribution_tells_the_viewers_place() {
        let headers = [
            ("x-curfew-distribution", "0123456789abcdef0123456789abcdef"),
            ("cloudfront-viewer-address", "2001:db8:0:0::7:50000"),
            ("cloudfront-viewer-city", "Lisbon"),
            ("cloudfront-viewer-country", "PT"),
        ];
        let place = request(&headers, None).place();
        assert_eq!(place.ip.as_deref(), Some("2001:db8::7"));
        assert_eq!(place.city.as_deref(), Some("Lisbon"));
        assert_eq!(place.country.as_deref(), Some("PT"));
    }

    #[test]
    fn only_a_listed_origin_is_allowed() {
        let from = |origin| request(&[("origin", origin)], None).check_origin().is_ok();
        assert!(from("https://app.example.com"));
        for origin in [
            "https://app.example.com.evil.example",
            "http://app.example.com",
            "https://APP.example.com:444",
            "null",
            "",
            "https://evil.example",
        ] {
            assert!(!from(origin), "{origin}");
        }
        assert!(request(&[], None).check_origin().is_ok());
        assert!(request(&[], None).require_origin().is_err());
    }
}
