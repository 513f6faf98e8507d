//! The one integration-test binary: a file for each function and concern.

mod emulator;
mod http;
mod least_privilege;
mod openapi;
mod template;
