//! Pages of a list: `limit` and `cursor`.

use std::str::FromStr;

use crate::problem::Problem;
use crate::request::Request;

/// The page that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paging<T> {
    /// The most entries to return.
    pub limit: usize,
    /// The entry after which the page begins.
    pub cursor: Option<T>,
}

impl<T: FromStr> Paging<T> {
    /// Reads `limit` and `cursor` from the query. Parameters that only one list has
    /// go to `other`, which returns whether it knows the name.
    ///
    /// # Errors
    /// `request-invalid` for a parameter that is unknown, was sent more than once, or
    /// has a value that is not allowed.
    pub fn read(
        request: &Request,
        default_limit: usize,
        max_limit: usize,
        mut other: impl FnMut(&str, &str) -> Result<bool, Problem>,
    ) -> Result<Self, Problem> {
        let mut paging = Self {
            limit: default_limit,
            cursor: None,
        };
        let mut seen = Vec::new();
        for (name, value) in request.query() {
            if seen.contains(&name) {
                return Err(Problem::invalid(name, "was sent more than once"));
            }
            seen.push(name);
            match name {
                "limit" => {
                    let limit = value.parse().ok();
                    paging.limit = limit
                        .filter(|limit| (1..=max_limit).contains(limit))
                        .ok_or_else(|| {
                            Problem::invalid(name, format!("must be between 1 and {max_limit}"))
                        })?;
                }
                "cursor" => {
                    let cursor = value.parse();
                    paging.cursor = Some(cursor.map_err(|_| {
                        Problem::invalid(name, "must be the `next_cursor` of another page")
                    })?);
                }
                _ if other(name, value)? => {}
                _ => return Err(Problem::invalid(name, "is not a parameter of this route")),
            }
        }
        Ok(paging)
    }
}
