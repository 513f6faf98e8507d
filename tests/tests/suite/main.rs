//! The one integration-test binary: a file for each function and concern.

mod clients;
mod contract;
mod cost;
mod crowd;
mod emulator;
mod end_to_end;
mod enumeration;
mod example;
mod fanout;
mod faults;
mod gateway;
mod http;
mod introspect;
mod least_privilege;
mod logs;
mod moments;
mod nothing_lost;
mod openapi;
mod races;
mod receipts;
mod route_keys;
mod sockets;
mod subscribing;
mod template;
mod transport;
mod user_agents;
