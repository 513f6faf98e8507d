//! The one integration-test binary: a file for each function and concern.

mod emulator;
mod contract;
mod end_to_end;
mod logs;
mod http;
mod least_privilege;
mod openapi;
mod template;
