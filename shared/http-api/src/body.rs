//! The body of a request: JSON or a form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;

use crate::answer::Empty;
use crate::form::Form;
use crate::object::Object;
use crate::problem::Problem;
use crate::request::Request;

/// The most bytes in a body. The gateway itself allows 10 MB.
pub const MAX_BODY_BYTES: usize = 16 * 1024;

const TOO_LARGE: Problem = Problem::RequestTooLarge {
    max_bytes: MAX_BODY_BYTES,
};

impl Request {
    /// Reads a JSON body.
    ///
    /// # Errors
    /// `request-too-large`, or `request-invalid` naming the field.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let bytes = self.body_bytes()?;
        self.require_content_type("application/json")?;
        object(&bytes)
    }

    /// Reads a JSON body, which may be missing.
    ///
    /// # Errors
    /// As [`Request::json`].
    pub fn optional_json<T: DeserializeOwned + Default>(&self) -> Result<T, Problem> {
        if self.body_bytes()?.is_empty() {
            return Ok(T::default());
        }
        self.json()
    }

    /// Reads the body of a form (WHATWG URL, section 5).
    ///
    /// # Errors
    /// `request-too-large`, or `request-invalid` naming the fault.
    pub fn form(&self) -> Result<Form, Problem> {
        let bytes = self.body_bytes()?;
        self.require_content_type("application/x-www-form-urlencoded")?;
        Ok(Form::parse(&bytes))
    }

    /// Rejects a body on a route that takes none, except an empty object. A member
    /// that was silently ignored could have been meant.
    ///
    /// # Errors
    /// As [`Request::json`].
    pub fn no_body(&self) -> Result<(), Problem> {
        if self.body_bytes()?.is_empty() {
            return Ok(());
        }
        self.json::<Empty>().map(|Empty {}| ())
    }

    fn require_content_type(&self, wanted: &str) -> Result<(), Problem> {
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

    fn body_bytes(&self) -> Result<Vec<u8>, Problem> {
        let body = self.event.body.as_deref().unwrap_or_default();
        if !self.event.is_base64_encoded {
            if body.len() > MAX_BODY_BYTES {
                return Err(TOO_LARGE);
            }
            return Ok(body.as_bytes().to_vec());
        }
        // Checked before decoding, so that no large buffer is filled.
        if body.len() > MAX_BODY_BYTES.div_ceil(3) * 4 {
            return Err(TOO_LARGE);
        }
        let bytes = STANDARD
            .decode(body)
            .map_err(|_| Problem::invalid("body", "is not valid base64"))?;
        if bytes.len() > MAX_BODY_BYTES {
            return Err(TOO_LARGE);
        }
        Ok(bytes)
    }
}

/// Reads a JSON object and nothing else in its place. Faults of the whole text are
/// reported for the field `body`.
///
/// # Errors
/// `request-invalid` naming the field, without any value that was sent.
pub fn object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    if bytes.is_empty() {
        return Err(Problem::invalid("body", "is empty: send a JSON object"));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let Object(read) = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| invalid_field(bytes, &error.path().to_string(), error.inner()))?;
    reader
        .end()
        .map_err(|error| Problem::invalid("body", syntax_fault(&error)))?;
    Ok(read)
}

/// Converts an error of `serde_json` to a problem that names the field by its path
/// and the fault. Leaves out the value that was sent, which may be a password.
fn invalid_field(body: &[u8], path: &str, error: &serde_json::Error) -> Problem {
    let at = if path == "." { "body" } else { path };
    if error.classify() != serde_json::error::Category::Data {
        // serde_json reports a number in the place of a word as bad syntax.
        return match serde_json::from_slice::<serde::de::IgnoredAny>(body) {
            Ok(_) => Problem::invalid(at, "has the wrong type"),
            Err(error) => Problem::invalid("body", syntax_fault(&error)),
        };
    }
    let text = error.to_string();
    let text = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(text, _position)| text);
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
        return Problem::invalid(inside(name), "was sent more than once");
    }
    // The path already names the unknown field; the text lists the known ones.
    if let Some(rest) = text.strip_prefix("unknown field ") {
        return match rest.split_once(", expected ") {
            Some((_, known)) => Problem::invalid(at, format!("is unknown: expected {known}")),
            None => Problem::invalid(at, "is unknown"),
        };
    }
    let expected = text
        .rsplit_once("expected ")
        .map_or("something else", |(_, expected)| expected);
    Problem::invalid(at, format!("must be {expected}"))
}

/// Returns the fault of a text that is not JSON.
fn syntax_fault(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Eof => "ends too early",
        serde_json::error::Category::Io => "could not be read",
        serde_json::error::Category::Syntax | serde_json::error::Category::Data => {
            "is not well-formed JSON"
        }
    }
}

#[cfg(test)]
mod tests;
