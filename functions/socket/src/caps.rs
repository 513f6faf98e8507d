//! The caps of open sockets: of a device, and of a group of an account's devices. The
//! oldest give way.
//!
//! Each handshake writes its row before it reads the group, so of concurrent ones the last
//! to read sees all of them. More sockets than the caps stay open only if they were still
//! in their handshakes then; the next handshake of the group closes them.

use std::cmp::Reverse;
use std::collections::HashMap;

use domain::limits::{SOCKETS_PER_DEVICE, SOCKETS_PER_GROUP};
use domain::{AccountId, Timestamp};
use futures_util::future::join_all;
use sockets::{HANDSHAKE, SocketOutcome};
use store::{Cause, Connection, OpenSocket, StoreError, chain};

use crate::Deps;

/// The sockets of a group that one handshake reads: some more than may stay, so that
/// leftovers of concurrent handshakes are closed, too.
const READ: usize = SOCKETS_PER_GROUP + 8;

/// Closes the sockets of the group of a new one that are too many. Returns false if the new
/// one is itself one of them.
///
/// # Errors
/// [`StoreError`] when the group could not be read. A socket that could not be closed is
/// logged, and closed by the next handshake.
pub(crate) async fn make_room(
    deps: &Deps,
    new: &Connection,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let (account, device) = (new.account, new.session.device);
    let limit = i32::try_from(READ).unwrap_or(i32::MAX);
    let sockets = deps.store.newest_sockets(account, device, limit).await?;
    let (staying, surplus) = split(sockets);
    if !staying.iter().any(|socket| socket.id == new.id) {
        return Ok(false);
    }
    let closes = surplus.iter().map(async |socket| {
        if let Err(cause) = close(deps, account, socket, now).await {
            let cause = chain(cause.as_ref());
            tracing::warn!(cause, connection = %socket.id, "surplus socket not closed");
        }
    });
    join_all(closes).await;
    Ok(true)
}

/// Splits sockets into those that stay and those that give way. The newest of each device
/// come first, then the second newest of each, and so on: a device with many sockets loses
/// its oldest before one with few loses any.
fn split(mut sockets: Vec<OpenSocket>) -> (Vec<OpenSocket>, Vec<OpenSocket>) {
    sockets.sort_by_key(|socket| Reverse((socket.connected_at, socket.id.clone())));
    let mut newer = HashMap::new();
    let mut ranked: Vec<(usize, OpenSocket)> = sockets
        .into_iter()
        .map(|socket| {
            let newer: &mut usize = newer.entry(socket.device).or_default();
            *newer += 1;
            (*newer, socket)
        })
        .collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    let within = ranked.partition_point(|(rank, _)| *rank <= SOCKETS_PER_DEVICE);
    let surplus = ranked.split_off(within.min(SOCKETS_PER_GROUP));
    let unranked =
        |ranked: Vec<(usize, OpenSocket)>| ranked.into_iter().map(|(_, it)| it).collect();
    (unranked(ranked), unranked(surplus))
}

/// Closes a socket and deletes its row, unless its handshake may still be in progress: it
/// could open afterwards, and without its row no push would find it.
async fn close(
    deps: &Deps,
    account: AccountId,
    socket: &OpenSocket,
    now: Timestamp,
) -> Result<(), Cause> {
    let is_new = now.duration_since(socket.connected_at) < HANDSHAKE;
    if deps.sockets.close(&socket.id).await? == SocketOutcome::Gone && is_new {
        return Ok(());
    }
    deps.store.disconnect(account, &socket.id).await?;
    Ok(())
}
