//! The stable address of the API and of the socket: a reverse proxy on 127.0.0.1.
//! The local gateway gets new addresses at each start, and sees only the proxy, so
//! the proxy also forwards the address of the client.

mod forward;
mod headers;
mod origin;
#[cfg(test)]
mod tests;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use forward::Forwarder;
pub use forward::{EXAMPLE_PATH, SOCKET_PATH, Upstream, Upstreams};
pub use headers::{CLIENT_ADDRESS, CLIENT_HOST};
pub use origin::LOCAL_ORIGIN;

/// The running proxy. It ends when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    serving: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Binds a port of 127.0.0.1, without serving yet; 0 stands for any free port.
///
/// # Errors
/// When the port is in use; the message names the option for another one.
pub fn listen(port: u16) -> Result<TcpListener> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            bail!("port {port} of 127.0.0.1 is in use; choose another with --port")
        }
        Err(error) => Err(error).with_context(|| format!("could not listen on port {port}")),
    }
}

impl Proxy {
    /// Starts to forward requests.
    ///
    /// # Errors
    /// When the listener can't be used asynchronously.
    pub fn serve(listener: TcpListener, upstreams: Upstreams) -> Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        Ok(Self {
            serving: tokio::spawn(accept(listener, Forwarder::new(upstreams))),
        })
    }
}

async fn accept(listener: tokio::net::TcpListener, forwarder: Forwarder) {
    // Aborting this task drops the set, which ends every connection.
    let mut connections = JoinSet::new();
    loop {
        // Accepting fails when the client has already gone, or while this process
        // has too many files open. Both pass.
        let Ok((stream, client)) = listener.accept().await else {
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        while connections.try_join_next().is_some() {}
        connections.spawn(serve(stream, client, forwarder.clone()));
    }
}

/// Serves the requests of one connection, and then its socket, if it has become
/// one. Errors are dropped: they mean that one of the two sides has gone.
async fn serve(stream: TcpStream, client: SocketAddr, forwarder: Forwarder) {
    let (opened, mut sockets) = unbounded_channel();
    let answer = service_fn(|request| forwarder.forward(request, client, &opened));
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), answer)
        .with_upgrades()
        .await;
    if let Ok(socket) = sockets.try_recv() {
        let _ = socket.copy().await;
    }
}
