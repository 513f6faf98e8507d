//! Forms (`application/x-www-form-urlencoded`), as OAuth's endpoints take them.

use std::fmt;

use zeroize::Zeroizing;

use crate::problem::Problem;

/// The parameters of a form, in the order they were sent. A value may be a secret:
/// `Debug` does not show it, and it is wiped when dropped.
pub struct Form(Vec<(String, Zeroizing<String>)>);

impl Form {
    /// Parses a form. Never fails: text that is badly encoded is taken literally
    /// (WHATWG URL, section 5.1).
    pub(crate) fn parse(body: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(body);
        Self(
            pairs
                .map(|(name, value)| (name.into_owned(), Zeroizing::new(value.into_owned())))
                .collect(),
        )
    }

    /// Returns a parameter's value. An empty value counts as absent (RFC 6749,
    /// section 3.2).
    ///
    /// # Errors
    /// `request-invalid` for a parameter that was sent more than once.
    pub fn optional(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.0.iter().filter(|(found, _)| found == name);
        let value = values.next().map(|(_, value)| value.as_str());
        if values.next().is_some() {
            return Err(Problem::invalid(name, "was sent more than once"));
        }
        Ok(value.filter(|value| !value.is_empty()))
    }

    /// Returns the value of a required parameter.
    ///
    /// # Errors
    /// `request-invalid` for a parameter that is missing or was sent more than once.
    pub fn required(&self, name: &str) -> Result<&str, Problem> {
        self.optional(name)?
            .ok_or_else(|| Problem::invalid(name, "is missing"))
    }
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_decoded() {
        let form = Form::parse(b"a=1&token=cft_%78+y&b=2");

        assert_eq!(form.required("token"), Ok("cft_x y"));
        assert_eq!(form.optional("hint"), Ok(None));
    }

    #[test]
    fn a_parameter_that_is_missing_or_empty_is_named() {
        let missing = Err(Problem::invalid("token", "is missing"));
        for body in ["", "token", "token=", "Token=x", "tok=x", "&&"] {
            assert_eq!(Form::parse(body.as_bytes()).required("token"), missing);
        }
    }

    #[test]
    fn a_parameter_that_was_sent_twice_is_named_whatever_its_values() {
        let twice = Err(Problem::invalid("token", "was sent more than once"));
        for body in ["token=x&token=x", "token=x&a=1&token=", "token&token=x"] {
            let form = Form::parse(body.as_bytes());
            assert_eq!(form.required("token"), twice, "{body}");
        }
    }

    #[test]
    fn a_form_shows_no_values() {
        let shown = format!("{:?}", Form::parse(b"token=canary"));

        assert_eq!(shown, "[\"token\"]");
    }
}
