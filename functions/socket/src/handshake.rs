//! The handshake: authenticates the device that opens a socket.
//!
//! A native client sends its token in the `Authorization` header, a page a ticket as
//! a subprotocol. Nothing is accepted in the URL, which logs would keep.
//!
//! No page can set `Authorization`, so a token is accepted with any `Origin`: native
//! WebSocket libraries send the socket's own address, packaged apps `null` or
//! `file://`. A ticket of a page opens a socket only from the origin that requested it.

use aws_lambda_events::http::HeaderMap;
use domain::{AuthError, ConnectionId, Device, EndedSession, SocketTicket, Step, Timestamp, Token};
use http_api::{Problem, bearer, check_token, outcome, record_contact};
use store::{Connection, StoreError};

use crate::caps::make_room;
use crate::session::{CheckedSession, check_session};
use crate::{Deps, Event, LogIds};

/// The subprotocol of this version's frames.
const PROTOCOL: &str = "curfew.v1";
/// The prefix of a ticket, which is offered as a subprotocol of its own.
const TICKET_PREFIX: &str = "curfew.ticket.";
/// The header of the subprotocols, of the request and of the answer.
const PROTOCOL_HEADER: &str = "Sec-WebSocket-Protocol";

/// The header of the answer to a handshake: the chosen subprotocol, if one was offered.
pub(crate) type Protocol = Option<(String, String)>;

/// Reasons to refuse a handshake. The texts are for the log alone.
pub(crate) enum Refused {
    Malformed(&'static str),
    /// The web origin is not the one that requested the ticket.
    Origin,
    Credential(&'static str),
    /// Newer sockets of the device, or of others of the account, have taken its place.
    TooMany,
    /// The session could not be read, which is no verdict on it.
    Store(StoreError),
}

impl Refused {
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Malformed(fault) | Self::Credential(fault) => fault,
            Self::Origin => "origin-not-allowed",
            Self::TooMany => "too-many-sockets",
            Self::Store(_) => "unavailable",
        }
    }

    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::Credential(_) => 401,
            Self::Origin => 403,
            Self::TooMany => 429,
            Self::Store(_) => 500,
        }
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

enum Credential {
    Token(Token),
    Ticket(SocketTicket),
}

/// Accepts a connection: checks the session, writes the connection's row, checks the
/// session again, and closes the sockets that are too many. A session that ends in between
/// is either seen by the second check, or its push finds the row: no socket outlives its
/// session unnoticed.
///
/// # Errors
/// [`Refused`]: then there is no connection.
pub(crate) async fn connect(
    deps: &Deps,
    event: &Event,
    id: ConnectionId,
    now: Timestamp,
    ids: &mut LogIds,
) -> Result<Protocol, Refused> {
    let headers = headers(event)?;
    let (credential, protocol) = parse(headers)?;
    let device = match credential {
        Credential::Token(token) => by_token(deps, &token, now, ids).await?,
        Credential::Ticket(ticket) => by_ticket(deps, &ticket, headers, now, ids).await?,
    };
    ids.set(device.account, device.id);
    let connection = Connection {
        account: device.account,
        id,
        session: EndedSession::from(&device),
        connected_at: now,
    };
    deps.store.connect(&connection).await?;
    let (account, session) = (device.account, device.session);
    let refused = match check_session(deps, account, device.id, session, now).await {
        Ok(CheckedSession::SignedIn(_)) => match make_room(deps, &connection, now).await {
            Ok(true) => return Ok(protocol),
            Ok(false) => Refused::TooMany,
            Err(error) => error.into(),
        },
        Ok(ended) => refused(deps, ended, now).await,
        Err(error) => error.into(),
    };
    if let Err(error) = deps.store.disconnect(account, &connection.id).await {
        // The socket never opens, so the row does no harm: the next push or the TTL
        // deletes it.
        tracing::warn!(cause = error.chain(), "connection not deleted");
    }
    Err(refused)
}

/// Authenticates by the token of the `Authorization` header.
async fn by_token(
    deps: &Deps,
    token: &Token,
    now: Timestamp,
    ids: &mut LogIds,
) -> Result<Device, Refused> {
    match check_token(&deps.store, token, &deps.limits, now).await? {
        Ok(caller) => Ok(caller.device),
        Err(error) => {
            if error != AuthError::Unknown {
                // The caller holds the secret, so the ids in its token are its own.
                ids.set(token.account(), token.device());
            }
            Err(Refused::Credential(outcome(&error)))
        }
    }
}

/// Authenticates by a ticket, which is used up, as the session that the ticket was
/// issued to.
async fn by_ticket(
    deps: &Deps,
    ticket: &SocketTicket,
    headers: &HeaderMap,
    now: Timestamp,
    ids: &mut LogIds,
) -> Result<Device, Refused> {
    let Some(ticket) = deps.store.redeem_ticket(ticket).await? else {
        return Err(Refused::Credential("ticket-unknown"));
    };
    ids.set(ticket.account, ticket.device);
    if now >= ticket.expires_at {
        return Err(Refused::Credential("ticket-expired"));
    }
    let mut origins = headers.get_all("origin").iter();
    if let Some(origin) = &ticket.origin
        && (origins.next().is_none_or(|sent| sent != origin) || origins.next().is_some())
    {
        return Err(Refused::Origin);
    }
    match check_session(deps, ticket.account, ticket.device, ticket.session, now).await? {
        CheckedSession::SignedIn(device) => Ok(*device),
        ended => Err(refused(deps, ended, now).await),
    }
}

/// Returns the refusal of a session that has ended, and records the contact in its
/// receipt.
async fn refused(deps: &Deps, session: CheckedSession, now: Timestamp) -> Refused {
    match session {
        CheckedSession::SignedOut(device, end) => {
            record_contact(&deps.store, &device, &end, Step::Seen, &deps.limits, now).await;
            Refused::Credential("session-signed-out")
        }
        CheckedSession::SignedIn(_) | CheckedSession::Ended => Refused::Credential("session-ended"),
    }
}

/// Returns the headers of a handshake without a query.
fn headers(event: &Event) -> Result<&HeaderMap, Refused> {
    if !event.query_string_parameters.is_empty()
        || !event.multi_value_query_string_parameters.is_empty()
    {
        return Err(Refused::Malformed("query-not-allowed"));
    }
    // The gateway's `headers` has only the last value of a header that was sent twice.
    Ok(if event.multi_value_headers.is_empty() {
        &event.headers
    } else {
        &event.multi_value_headers
    })
}

/// Parses the credential of a handshake, and chooses the subprotocol of the answer.
fn parse(headers: &HeaderMap) -> Result<(Credential, Protocol), Refused> {
    let (is_offered, ticket) = parse_protocols(headers)?;
    let mut tokens = headers.get_all("authorization").iter();
    let credential = match (tokens.next(), tokens.next(), ticket) {
        (None, None, None) => return Err(Refused::Credential("token-missing")),
        (Some(header), None, None) => {
            Credential::Token(bearer(header).map_err(|problem| match problem {
                Problem::TokenInvalid => Refused::Credential("token-invalid"),
                _ => Refused::Malformed("token-malformed"),
            })?)
        }
        (None, None, Some(text)) => Credential::Ticket(
            SocketTicket::parse(text).map_err(|_| Refused::Credential("ticket-invalid"))?,
        ),
        (_, Some(_), _) => return Err(Refused::Malformed("token-duplicated")),
        (Some(_), None, Some(_)) => return Err(Refused::Malformed("token-and-ticket")),
    };
    let protocol = is_offered.then(|| (PROTOCOL_HEADER.to_owned(), PROTOCOL.to_owned()));
    Ok((credential, protocol))
}

/// Returns whether our subprotocol is offered, and the ticket, if there is one. Skips
/// other subprotocols; a client that offers only those, or only a ticket, is refused,
/// because it would not accept our answer (RFC 6455, section 4.1).
fn parse_protocols(headers: &HeaderMap) -> Result<(bool, Option<&str>), Refused> {
    let (mut is_offered, mut ticket, mut others) = (false, None, false);
    for header in headers.get_all(PROTOCOL_HEADER) {
        let offered = header
            .to_str()
            .map_err(|_| Refused::Malformed("protocol-not-text"))?;
        for offer in offered.split(',').map(str::trim) {
            if offer == PROTOCOL {
                is_offered = true;
            } else if let Some(text) = offer.strip_prefix(TICKET_PREFIX) {
                if ticket.replace(text).is_some() {
                    return Err(Refused::Malformed("ticket-duplicated"));
                }
            } else {
                others = true;
            }
        }
    }
    if !is_offered && (ticket.is_some() || others) {
        return Err(Refused::Malformed("protocol-not-supported"));
    }
    Ok((is_offered, ticket))
}
