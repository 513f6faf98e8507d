//! The one integration-test binary: a file for each function and concern.

mod emulator;
mod openapi;
