//! Races: operations of the product against each other, in every order of their
//! calls, on the embedded `DynamoDB`.

pub mod clauses;
pub mod operations;
pub mod oracle;
pub mod pairs;
pub mod schedule;
pub mod second_steps;
