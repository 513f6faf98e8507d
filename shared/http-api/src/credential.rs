//! The token of a request: in the `Authorization` header or in the session cookie.

use domain::Token;

use crate::cookies::{SESSION_COOKIE, Transport};
use crate::problem::Problem;
use crate::request::Request;

impl Request {
    /// Returns the token, which comes in one of the two ways. With a cookie, every
    /// method but `GET` needs an allowed origin, too.
    ///
    /// # Errors
    /// `token-missing`, `token-invalid`, or `request-invalid` for a token that was
    /// sent more than once or from an origin that is not allowed.
    pub fn token(&self) -> Result<Token, Problem> {
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
                Token::parse(token).map_err(|_| Problem::TokenInvalid)
            }
            ([], [cookie]) => {
                let token = Token::parse(cookie).map_err(|_| Problem::TokenInvalid)?;
                if self.method() != "GET" {
                    self.require_origin()?;
                }
                Ok(token)
            }
            ([], _) => Err(Problem::invalid(SESSION_COOKIE, "was sent more than once")),
            (_, []) => Err(Problem::invalid("Authorization", "was sent more than once")),
            (_, _) => Err(Problem::invalid(
                "Authorization",
                "was sent together with the session cookie: send only one of them",
            )),
        }
    }

    /// Returns how the token came.
    #[must_use]
    pub fn transport(&self) -> Transport {
        if self.cookies(SESSION_COOKIE).is_empty() {
            Transport::Bearer
        } else {
            Transport::Cookie
        }
    }

    /// Returns every value of a cookie. Callers reject duplicates: which of them
    /// counts would be a matter of taste, and an attacker's subdomain can add one.
    #[must_use]
    pub fn cookies(&self, name: &str) -> Vec<&str> {
        let listed = self.event.cookies.iter().flatten().map(String::as_str);
        // The gateway moves cookies out of the headers; the local AWS leaves them in.
        let in_headers = self
            .event
            .headers
            .get_all("cookie")
            .iter()
            .filter(|_| self.event.cookies.is_none())
            .filter_map(|header| header.to_str().ok());
        listed
            .chain(in_headers)
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| value_of(pair, name))
            .collect()
    }
}

fn value_of<'a>(pair: &'a str, name: &str) -> Option<&'a str> {
    let (found, value) = pair.split_once('=')?;
    (found.trim() == name).then(|| value.trim())
}

#[cfg(test)]
mod tests;
