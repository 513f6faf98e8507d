//! Pages of this machine, on any port: the API allows one origin for all of them, and
//! the proxy writes it in place of theirs. The deployed functions compare whole
//! origins, so no such rule exists outside the local stack.

use std::net::IpAddr;

use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, HeaderMap, HeaderValue, ORIGIN};
use http::uri::Authority;

/// The allowed origin of the local stack that stands for every page of this machine.
pub const LOCAL_ORIGIN: &str = "http://localhost";

/// Replaces the origin of a page of this machine. Returns the page's own.
pub(super) fn replace(headers: &mut HeaderMap) -> Option<HeaderValue> {
    let mut origins = headers.get_all(ORIGIN).iter();
    let page = origins.next().filter(|_| origins.next().is_none())?.clone();
    page.to_str().ok().filter(|page| is_local(page))?;
    headers.insert(ORIGIN, HeaderValue::from_static(LOCAL_ORIGIN));
    Some(page)
}

/// Names the page's own origin where the answer allows the one that replaced it.
pub(super) fn restore(headers: &mut HeaderMap, page: Option<HeaderValue>) {
    if let Some(page) = page
        && headers
            .get(ACCESS_CONTROL_ALLOW_ORIGIN)
            .is_some_and(|allowed| allowed == LOCAL_ORIGIN)
    {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, page);
    }
}

/// Returns whether only this machine can serve a page of an origin: from a loopback
/// address, or from a name that stands for one (RFC 6761, section 6.3).
fn is_local(origin: &str) -> bool {
    let schemes = ["http://", "https://"];
    let mut rest = schemes
        .iter()
        .filter_map(|scheme| origin.strip_prefix(scheme));
    let Some(Ok(authority)) = rest.next().map(str::parse::<Authority>) else {
        return false;
    };
    let host = authority.host();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = address.parse().is_ok_and(|it: IpAddr| it.is_loopback());
    let is_named = host == "localhost" || host.ends_with(".localhost");
    (is_loopback || is_named) && !origin.contains('@')
}

#[cfg(test)]
mod tests {
    use super::is_local;

    #[test]
    fn only_pages_of_this_machine_are_local() {
        for origin in [
            "http://localhost",
            "http://localhost:5173",
            "https://localhost:8443",
            "http://app.localhost:3000",
            "http://127.0.0.1:8080",
            "http://127.1.2.3",
            "http://[::1]:3000",
        ] {
            assert!(is_local(origin), "{origin}");
        }
        for origin in [
            "",
            "null",
            "file://",
            "localhost:5173",
            "capacitor://localhost",
            "http://localhost.example.com",
            "http://notlocalhost",
            "http://localhost@example.com",
            "http://example.com@localhost",
            "http://localhost:5173/",
            "http://127.0.0.1.example.com",
            "http://128.0.0.1",
            "http://0.0.0.0:8080",
            "http://192.168.1.7:5173",
            "http://[::2]:3000",
            "http://[::ffff:10.0.0.1]",
        ] {
            assert!(!is_local(origin), "{origin}");
        }
    }
}
