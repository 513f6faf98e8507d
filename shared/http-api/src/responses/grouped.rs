//! The responses of the `OpenAPI` document, made from problems.

use std::collections::BTreeMap;

use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::{Object, Ref, RefOr, Response, Type};

use crate::problem::Problem;

/// The responses of a route, by status.
pub(super) type Responses = BTreeMap<String, RefOr<Response>>;

/// Returns one response for each status, with an example of each problem.
pub(super) fn grouped(problems: &[Problem]) -> Responses {
    let mut by_status: BTreeMap<String, Vec<&Problem>> = BTreeMap::new();
    for problem in problems {
        let status = problem.status().to_string();
        by_status.entry(status).or_default().push(problem);
    }
    let responses = by_status.into_iter();
    responses
        .map(|(status, problems)| (status, RefOr::T(response(&problems))))
        .collect()
}

fn response(problems: &[&Problem]) -> Response {
    let names: Vec<String> = problems
        .iter()
        .map(|problem| format!("`{}`", problem.name()))
        .collect();
    let examples = problems.iter().map(|problem| {
        let document = serde_json::to_value(problem.document()).expect("a problem is JSON");
        let example = ExampleBuilder::new().value(Some(document)).build();
        (problem.name(), example)
    });
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .examples_from_iter(examples)
        .build();
    let mut response = ResponseBuilder::new()
        .description(names.join(", "))
        .content("application/problem+json", content);
    if problems.iter().any(|problem| problem.status() == 401) {
        let challenge = HeaderBuilder::new()
            .description(Some("The challenge (RFC 6750, section 3)."))
            .schema(Some(Object::with_type(Type::String)))
            .build();
        response = response.header("WWW-Authenticate", challenge);
    }
    response.build()
}
