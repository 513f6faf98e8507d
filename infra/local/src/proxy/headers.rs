//! The headers that the proxy adds, replaces and removes.

use std::net::IpAddr;

use http::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};

/// The header that carries the client's address to the local gateway. The proxy
/// replaces a client's own. `infra/local/emulator.py` reads it.
pub const CLIENT_ADDRESS: HeaderName = HeaderName::from_static("x-curfew-client-address");

/// The header that carries the host that the client has sent, for signatures.
pub const CLIENT_HOST: HeaderName = HeaderName::from_static("x-curfew-client-host");

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// Headers that apply to one connection only (RFC 9110, section 7.6.1), besides
/// those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 7] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Removes the headers that apply to one connection only. Those of a handshake are
/// written again for the next connection.
pub(super) fn next_hop(headers: &mut HeaderMap, is_socket: bool) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.into_iter().chain(HOP_BY_HOP) {
        headers.remove(name);
    }
    if is_socket {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, WEBSOCKET);
    }
}

/// Replaces every value that a client has sent for a header.
pub(super) fn replace(headers: &mut HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    headers.remove(&name);
    if let Some(value) = value {
        headers.insert(name, value);
    }
}

/// Returns an address as the value of a header.
pub(super) fn address(address: IpAddr) -> HeaderValue {
    HeaderValue::from_str(&address.to_string()).expect("an address is plain text")
}
