//! The clients: the JavaScript module in a browser, and the facts that must hold for
//! every client.

mod conformance;
mod package;
mod pages;
mod terminal;
