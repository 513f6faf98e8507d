//! Lists page by page: how many entries an answer has, and where it goes on.

use domain::DeviceId;

use crate::problem::Problem;
use crate::request::Request;

/// The page of a list that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paging {
    /// How many entries at the most.
    pub limit: usize,
    /// After which device to go on.
    pub cursor: Option<DeviceId>,
}

impl Paging {
    /// Reads `limit` and `cursor` from the query. A list that has parameters of its
    /// own takes them in `other`, which says whether it knows one.
    ///
    /// # Errors
    /// [`Problem::invalid`], naming the parameter: it is unknown, stands more than
    /// once, or has a value that it can't have.
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
                return Err(Problem::invalid(name, "stands more than once"));
            }
            seen.push(name);
            match name {
                "limit" => {
                    let limit = value.parse().ok();
                    paging.limit = limit
                        .filter(|limit| (1..=max_limit).contains(limit))
                        .ok_or_else(|| {
                            Problem::invalid(name, format!("must be from 1 to {max_limit}"))
                        })?;
                }
                "cursor" => {
                    let cursor = value.parse();
                    paging.cursor =
                        Some(cursor.map_err(|_| Problem::invalid(name, "is not a cursor"))?);
                }
                _ if other(name, value)? => {}
                _ => return Err(Problem::invalid(name, "is not a parameter of this path")),
            }
        }
        Ok(paging)
    }
}
