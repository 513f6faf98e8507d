//! The handshake: who may open a socket.
//!
//! A device shows its token in the `Authorization` header, or, a page, a ticket as
//! a subprotocol. Nothing is taken from the URL, where logs would keep it.

use aws_lambda_events::http::{HeaderMap, HeaderValue};
use domain::{AuthError, ConnectionId, Device, EndedSession, SocketTicket, Timestamp};
use http_api::{Denied, OriginPolicy, Request, check_token};
use store::{Connection, StoreError};

use crate::standing::{Stands, contacted, judge};
use crate::{Deps, Event, Notes};

/// The subprotocol: the frames of this version.
const PROTOCOL: &str = "curfew.v1";
/// What a ticket follows, as a subprotocol of its own.
const TICKET_PREFIX: &str = "curfew.ticket.";
/// The header of subprotocols, as the gateway copies it into its answer.
const PROTOCOL_HEADER: &str = "Sec-WebSocket-Protocol";

/// The header that the answer to a handshake carries, if any.
pub(crate) type Protocol = Option<(String, String)>;

/// Why a handshake is refused. The words are for the log alone.
pub(crate) enum Refused {
    /// The request is not as it has to be.
    Malformed(&'static str),
    /// It comes from a web origin that is not allowed.
    Origin,
    /// What it shows opens nothing.
    Credential(&'static str),
    /// It could not be judged.
    Store(StoreError),
}

impl Refused {
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Malformed(what) | Self::Credential(what) => what,
            Self::Origin => "origin-not-allowed",
            Self::Store(_) => "unavailable",
        }
    }

    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::Credential(_) => 401,
            Self::Origin => 403,
            Self::Store(_) => 500,
        }
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What a handshake shows.
enum Credential {
    Token(HeaderValue),
    Ticket(SocketTicket),
}

/// Lets a device connect: checks its session, writes the connection down, and
/// checks again. A session that ends in between is caught by the second check, or
/// whoever ended it finds the connection: nothing survives between the two.
///
/// # Errors
/// [`Refused`]: then there is no connection.
pub(crate) async fn connect(
    deps: &Deps,
    event: &Event,
    id: ConnectionId,
    now: Timestamp,
    notes: &mut Notes,
) -> Result<Protocol, Refused> {
    let (credential, protocol) = read(event, &deps.origin_policy)?;
    let device = match credential {
        Credential::Token(header) => by_token(deps, header, now, notes).await?,
        Credential::Ticket(ticket) => by_ticket(deps, &ticket, now, notes).await?,
    };
    notes.of(device.account, device.id);
    let connection = Connection {
        account: device.account,
        id,
        session: EndedSession::from(&device),
        connected_at: now,
    };
    deps.store.connect(&connection).await?;
    let (account, session) = (device.account, device.session);
    let refused = match judge(deps, account, device.id, session, now).await {
        Ok(Stands::SignedIn(_)) => return Ok(protocol),
        Ok(stands) => refused(deps, stands, now).await,
        Err(error) => error.into(),
    };
    if let Err(error) = deps.store.disconnect(account, &connection.id).await {
        // There is no such socket: the next push, or the TTL, takes the row.
        tracing::warn!(cause = error.chain(), "A connection was not forgotten.");
    }
    Err(refused)
}

/// The device whose token this is.
async fn by_token(
    deps: &Deps,
    header: HeaderValue,
    now: Timestamp,
    notes: &mut Notes,
) -> Result<Device, Refused> {
    let mut asked = http_api::Event::default();
    asked.headers.insert("authorization", header);
    let presented = Request::new(asked, &deps.origin_policy).token();
    let token = presented
        .map_err(|problem| Refused::Credential(problem.name()))?
        .token;
    match check_token(&deps.store, &token, &deps.limits, now).await {
        Ok(caller) => Ok(caller.device),
        Err(Denied::Store(error)) => Err(error.into()),
        Err(denied) => {
            if !matches!(denied, Denied::Refused(AuthError::Unknown)) {
                // The caller holds the secret, so the ids in its token are its own.
                notes.of(token.account(), token.device());
            }
            Err(Refused::Credential(denied.outcome()))
        }
    }
}

/// The device whose ticket this is, which nobody can use again. It belongs to the
/// session that asked for it.
async fn by_ticket(
    deps: &Deps,
    ticket: &SocketTicket,
    now: Timestamp,
    notes: &mut Notes,
) -> Result<Device, Refused> {
    let Some(ticket) = deps.store.redeem_ticket(&ticket.hash()).await? else {
        return Err(Refused::Credential("ticket-unknown"));
    };
    notes.of(ticket.account, ticket.device);
    if now >= ticket.expires_at {
        return Err(Refused::Credential("ticket-expired"));
    }
    match judge(deps, ticket.account, ticket.device, ticket.session, now).await? {
        Stands::SignedIn(device) => Ok(*device),
        stands => Err(refused(deps, stands, now).await),
    }
}

/// The refusal of a session that is over; the receipt has the contact.
async fn refused(deps: &Deps, stands: Stands, now: Timestamp) -> Refused {
    match stands {
        Stands::EndInfo(device, ended) => {
            contacted(deps, &device, &ended, now).await;
            Refused::Credential("session-signed-out")
        }
        Stands::SignedIn(_) | Stands::Over => Refused::Credential("session-over"),
    }
}

/// Reads what a handshake shows, and which subprotocol it is answered with.
fn read(event: &Event, origin_policy: &OriginPolicy) -> Result<(Credential, Protocol), Refused> {
    if !event.query_string_parameters.is_empty()
        || !event.multi_value_query_string_parameters.is_empty()
    {
        return Err(Refused::Malformed("query-not-taken"));
    }
    // The one has the last value of a header that stands more than once.
    let headers = if event.multi_value_headers.is_empty() {
        &event.headers
    } else {
        &event.multi_value_headers
    };
    if !headers.get_all("origin").iter().all(|origin| {
        origin
            .to_str()
            .is_ok_and(|origin| origin_policy.allows(origin))
    }) {
        return Err(Refused::Origin);
    }
    let (is_offered, ticket) = offers(headers)?;
    let mut tokens = headers.get_all("authorization").iter();
    let credential = match (tokens.next(), tokens.next(), ticket) {
        (None, None, None) => return Err(Refused::Credential("token-missing")),
        (Some(header), None, None) => Credential::Token(header.clone()),
        (None, None, Some(text)) => Credential::Ticket(
            SocketTicket::parse(text).map_err(|_| Refused::Credential("ticket-invalid"))?,
        ),
        (_, Some(_), _) => return Err(Refused::Malformed("token-twice")),
        (Some(_), None, Some(_)) => return Err(Refused::Malformed("token-and-ticket")),
    };
    let protocol = is_offered.then(|| (PROTOCOL_HEADER.to_owned(), PROTOCOL.to_owned()));
    Ok((credential, protocol))
}

/// Whether our subprotocol is offered, and the ticket, if there is one. Others are
/// passed over; a client that offers others alone, or a ticket alone, would take
/// no answer of ours (RFC 6455, section 4.1).
fn offers(headers: &HeaderMap) -> Result<(bool, Option<&str>), Refused> {
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
                    return Err(Refused::Malformed("ticket-twice"));
                }
            } else {
                others = true;
            }
        }
    }
    if !is_offered && (ticket.is_some() || others) {
        return Err(Refused::Malformed("protocol-not-spoken"));
    }
    Ok((is_offered, ticket))
}
