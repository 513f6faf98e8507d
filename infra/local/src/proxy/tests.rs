use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::{CLIENT_ADDRESS, CLIENT_HOST, Proxy, SOCKET_PATH, Upstream, Upstreams, listen};

/// Starts a gateway, and the proxy in front of it.
async fn start() -> (TcpListener, Proxy, SocketAddr) {
    let gateway = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = gateway.local_addr().unwrap().to_string();
    let listener = listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let below = |prefix: &str| Upstream {
        authority: authority.clone(),
        prefix: prefix.into(),
    };
    let upstreams = Upstreams {
        api: below("/api"),
        socket: below("/socket/v1"),
        example: below("/films"),
    };
    let proxy = Proxy::serve(listener, upstreams).unwrap();
    (gateway, proxy, address)
}

/// Returns what is received next, in lower case.
async fn next(stream: &mut TcpStream) -> String {
    let mut seen = vec![0; 4096];
    let length = stream.read(&mut seen).await.unwrap();
    String::from_utf8_lossy(&seen[..length]).to_lowercase()
}

/// Returns what the gateway receives when a client sends a request.
async fn forwarded(request: &str) -> String {
    let (gateway, _proxy, address) = start().await;

    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    let (mut stream, _) = gateway.accept().await.unwrap();
    next(&mut stream).await
}

#[tokio::test]
async fn the_gateway_receives_the_real_address_of_the_client() {
    let seen = forwarded(&format!(
        "GET /v1/session?x=1 HTTP/1.1\r\nHost: other.example\r\n{CLIENT_ADDRESS}: 6.6.6.6\r\n\
         {CLIENT_HOST}: 6.6.6.6\r\n\r\n"
    ))
    .await;

    assert!(
        seen.starts_with("get /api/v1/session?x=1 http/1.1\r\n"),
        "{seen}"
    );
    assert!(
        seen.contains(&format!("{CLIENT_ADDRESS}: 127.0.0.1\r\n")),
        "{seen}"
    );
    assert!(!seen.contains("6.6.6.6"), "{seen}");
    assert_eq!(seen.matches("other.example").count(), 1, "{seen}");
    assert!(
        seen.contains(&format!("{CLIENT_HOST}: other.example\r\n")),
        "{seen}"
    );
}

#[tokio::test]
async fn requests_to_the_example_reach_its_own_gateway() {
    for (path, reaches) in [
        ("/example/films?x=1", "/films/films?x=1"),
        ("/example/", "/films/"),
        ("/example", "/api/example"),
        ("/examples/films", "/api/examples/films"),
        ("/v1/example/films", "/api/v1/example/films"),
    ] {
        let seen = forwarded(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;

        assert!(seen.starts_with(&format!("get {reaches} http")), "{seen}");
    }
}

const HANDSHAKE: &str = "Host: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Protocol: a, b\r\nAuthorization: Bearer c\r\nOrigin: https://d\r\n\
    X-Curfew-Client-Address: 6.6.6.6\r\n\r\n";

/// Sends a handshake, which the gateway receives. Returns the ends of the connections.
async fn handshake() -> (TcpListener, Proxy, TcpStream, TcpStream) {
    let (gateway, proxy, address) = start().await;
    let mut client = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {SOCKET_PATH} HTTP/1.1\r\n{HANDSHAKE}");
    client.write_all(request.as_bytes()).await.unwrap();
    let (mut stream, _) = gateway.accept().await.unwrap();
    next(&mut stream).await;
    (gateway, proxy, client, stream)
}

#[tokio::test]
async fn a_handshake_reaches_the_gateway_of_sockets_unchanged() {
    let seen = forwarded(&format!("GET {SOCKET_PATH}?x=1 HTTP/1.1\r\n{HANDSHAKE}")).await;

    assert!(
        seen.starts_with("get /socket/v1?x=1 http/1.1\r\n"),
        "{seen}"
    );
    for header in [
        "connection: upgrade",
        "upgrade: websocket",
        "sec-websocket-protocol: a, b",
        "authorization: bearer c",
        "origin: https://d",
        "x-curfew-client-address: 127.0.0.1",
    ] {
        assert!(seen.contains(&format!("\r\n{header}\r\n")), "{seen}");
    }
    assert!(!seen.contains("6.6.6.6"), "{seen}");
}

#[tokio::test]
async fn other_requests_are_not_taken_for_a_handshake() {
    let plain = forwarded(&format!("GET {SOCKET_PATH} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    let elsewhere = forwarded(&format!("GET /v1/session HTTP/1.1\r\n{HANDSHAKE}")).await;

    assert!(plain.starts_with("get /api/v1/socket http"), "{plain}");
    assert!(
        elsewhere.starts_with("get /api/v1/session http"),
        "{elsewhere}"
    );
    assert!(!elsewhere.contains("upgrade"), "{elsewhere}");
}

#[tokio::test]
async fn an_accepted_socket_carries_both_ways_until_one_end_closes() {
    let (_gateway, _proxy, mut client, mut stream) = handshake().await;
    let accepted = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
        Upgrade: WebSocket\r\nSec-WebSocket-Accept: e\r\n\r\n";
    stream.write_all(accepted.as_bytes()).await.unwrap();
    let answer = next(&mut client).await;
    assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    assert!(answer.contains("\r\nconnection: upgrade\r\n"), "{answer}");
    assert!(
        answer.contains("\r\nsec-websocket-accept: e\r\n"),
        "{answer}"
    );

    client.write_all(b"from the device").await.unwrap();
    assert_eq!(next(&mut stream).await, "from the device");
    stream.write_all(b"to the device").await.unwrap();
    assert_eq!(next(&mut client).await, "to the device");

    drop(client);
    assert_eq!(next(&mut stream).await, "");
}

#[tokio::test]
async fn a_rejected_handshake_is_answered_and_its_connection_is_not_reused() {
    let handshakes = format!("GET {SOCKET_PATH} HTTP/1.1\r\n{HANDSHAKE}");
    let plain = "GET /v1/session HTTP/1.1\r\nHost: x\r\n\r\n".to_owned();
    for next_request in [&plain, &handshakes] {
        let (gateway, _proxy, mut client, mut rejecting) = handshake().await;
        let rejection = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
        rejecting.write_all(rejection).await.unwrap();
        let answer = next(&mut client).await;
        assert!(answer.starts_with("http/1.1 401 "), "{answer}");

        client.write_all(next_request.as_bytes()).await.unwrap();

        let another = timeout(Duration::from_secs(5), gateway.accept()).await;
        let (mut stream, _) = another.unwrap().unwrap();
        assert!(next(&mut stream).await.starts_with("get /"));
    }
}

#[tokio::test]
async fn sockets_end_with_the_proxy() {
    let (_gateway, proxy, mut client, mut stream) = handshake().await;
    let accepted = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
        Upgrade: WebSocket\r\n\r\n";
    stream.write_all(accepted.as_bytes()).await.unwrap();
    next(&mut client).await;

    drop(proxy);

    assert_eq!(next(&mut client).await, "");
}

#[tokio::test]
async fn hop_by_hop_headers_are_not_forwarded() {
    let seen = forwarded(
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: X-Own\r\nX-Own: 1\r\nX-Other: 2\r\n\r\n",
    )
    .await;

    assert!(
        !seen.contains("x-own") && seen.contains("x-other: 2"),
        "{seen}"
    );
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = listen(0).unwrap();
    let port = taken.local_addr().unwrap().port();

    let error = listen(port).unwrap_err();

    assert!(
        error
            .to_string()
            .contains(&format!("port {port} of 127.0.0.1 is in use"))
    );
}
