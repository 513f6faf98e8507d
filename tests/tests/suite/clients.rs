//! The device's side: the module for JavaScript in a browser, and any client
//! against the one suite.

mod conformance;
mod pages;
