//! The page "Manage access and devices": the stories of people, what it looks like, and
//! what an attacker gets.

mod attacks;
mod files;
mod look;
mod mails;
mod old;
mod scanner;
mod security;
mod stories;
mod thefts;
mod verification;
