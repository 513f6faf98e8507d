//! The token of a request: in the `Authorization` header or in the session cookie.

use aws_lambda_events::http::HeaderValue;
use domain::Token;

use crate::cookies::{ENDED_COOKIE, SESSION_COOKIE, Transport};
use crate::problem::Problem;
use crate::request::Request;

/// Parses an `Authorization` header: `Bearer`, one or more spaces, and the token
/// (RFC 6750, section 2.1).
///
/// # Errors
/// `token-invalid` for a token that is not one of ours. `request-invalid` for a header
/// of another form: what a library or a proxy made of it says nothing about the
/// session, and a client must not forget a session because of it.
pub fn bearer(header: &HeaderValue) -> Result<Token, Problem> {
    let text = header.to_str().unwrap_or_default();
    match text.trim_matches([' ', '\t']).split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            let token = token.trim_start_matches(' ');
            if is_token68(token) {
                return Token::parse(token).map_err(|_| Problem::TokenInvalid);
            }
        }
        Some(_) | None => {}
    }
    Err(Problem::invalid(
        "Authorization",
        "must be `Bearer` and one token",
    ))
}

/// Returns whether a text is a `token68` (RFC 9110, section 11.2).
fn is_token68(text: &str) -> bool {
    let text = text.trim_end_matches('=');
    let mut bytes = text.bytes();
    !text.is_empty() && bytes.all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b))
}

impl Request {
    /// Returns the token, which comes in one of the two ways. With a cookie, an origin
    /// must be allowed, and every method but `GET` needs one.
    ///
    /// # Errors
    /// `token-missing`, `token-invalid`, or `request-invalid` for a token that was
    /// sent more than once, in a malformed header or from an origin that is not allowed.
    pub fn token(&self) -> Result<Token, Problem> {
        let headers: Vec<_> = self.event.headers.get_all("authorization").iter().collect();
        let cookies = self.cookies(SESSION_COOKIE);
        match (headers.as_slice(), cookies.as_slice()) {
            ([], []) => Err(Problem::TokenMissing),
            ([header], []) => bearer(header),
            ([], [cookie]) => self.cookie_token(cookie),
            ([], _) => Err(Problem::invalid(SESSION_COOKIE, "was sent more than once")),
            (_, []) => Err(Problem::invalid("Authorization", "was sent more than once")),
            (_, _) => Err(Problem::invalid(
                "Authorization",
                "was sent together with the session cookie: send only one of them",
            )),
        }
    }

    /// Returns the token in the cookie to which the answer `session-signed-out` moved
    /// it; none without such a cookie or beside an `Authorization` header.
    ///
    /// # Errors
    /// As [`Request::token`].
    pub fn ended_token(&self) -> Result<Option<Token>, Problem> {
        match (self.transport(), self.cookies(ENDED_COOKIE).as_slice()) {
            (Transport::Cookie, [cookie]) => self.cookie_token(cookie).map(Some),
            _ => Ok(None),
        }
    }

    /// Returns whether the browser has missed the answer to its page's own sign-out: its session
    /// cookie has the token that the ended cookie has. The answer sets the one and deletes the
    /// other, and no later session has this token.
    #[must_use]
    pub fn missed_own_sign_out(&self) -> bool {
        let session = self.cookies(SESSION_COOKIE);
        !session.is_empty() && session == self.cookies(ENDED_COOKIE)
    }

    fn cookie_token(&self, cookie: &str) -> Result<Token, Problem> {
        let token = Token::parse(cookie).map_err(|_| Problem::TokenInvalid)?;
        if self.method() != "GET" || self.origin().is_some() {
            self.require_origin()?;
        }
        Ok(token)
    }

    /// Returns how the token came.
    #[must_use]
    pub fn transport(&self) -> Transport {
        if self.event.headers.contains_key("authorization") {
            Transport::Bearer
        } else {
            Transport::Cookie
        }
    }

    /// Returns every value of a cookie; one that is not text counts as empty. Callers
    /// reject duplicates: which of them counts would be a matter of taste, and an
    /// attacker's subdomain can add one.
    #[must_use]
    pub fn cookies(&self, name: &str) -> Vec<&str> {
        let listed = self.event.cookies.iter().flatten().map(String::as_bytes);
        // The gateway moves cookies out of the headers; the local AWS leaves them in.
        let in_headers = self
            .event
            .headers
            .get_all("cookie")
            .iter()
            .filter(|_| self.event.cookies.is_none())
            .map(HeaderValue::as_bytes);
        listed
            .chain(in_headers)
            .flat_map(|line| line.split(|byte| *byte == b';'))
            .filter_map(|pair| value_of(pair, name))
            .collect()
    }
}

fn value_of<'a>(pair: &'a [u8], name: &str) -> Option<&'a str> {
    let (found, value) = pair.split_at(pair.iter().position(|byte| *byte == b'=')?);
    let is_wanted = found.trim_ascii() == name.as_bytes();
    is_wanted.then(|| str::from_utf8(value[1..].trim_ascii()).unwrap_or_default())
}

#[cfg(test)]
mod tests;
