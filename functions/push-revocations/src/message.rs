//! What a message of the queue asks for: an event of the topic, or one of our own.

use domain::{AccountId, ConnectionId, Epoch, SessionId};
use events::{Event, Revoked, SecurityEventToken};
use sockets::Asked;
use store::Connection;

/// What is to be done for a message.
#[derive(Debug)]
pub(crate) enum Task {
    /// Sessions may have ended: tell the devices that have sockets open.
    Tell(AccountId, Concerned),
    /// Look at one socket.
    Check(AccountId, ConnectionId),
    /// End sockets whose devices were told.
    Close(AccountId, Vec<ConnectionId>),
    /// The event ends no session.
    Nothing,
}

/// Which sessions an event is about. Whether they are over, and since when, is
/// read from the tables.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Concerned {
    /// One.
    Session(SessionId),
    /// Every one born in this epoch or before, but the kept one.
    Epoch {
        ended: Epoch,
        kept: Option<SessionId>,
    },
}

impl Task {
    /// Reads a message's body.
    ///
    /// # Errors
    /// `serde_json`'s, when it is no message of this queue.
    pub(crate) fn read(body: &str) -> Result<Self, serde_json::Error> {
        if let Ok(asked) = serde_json::from_str(body) {
            return Ok(match asked {
                Asked::Check {
                    account_id,
                    connection_id,
                } => Self::Check(account_id, connection_id),
                Asked::Close {
                    account_id,
                    connection_ids,
                } => Self::Close(account_id, connection_ids),
            });
        }
        let token: SecurityEventToken = serde_json::from_str(body)?;
        let concerned = match token.events {
            Event::SessionRevoked(event) => match event.revoked {
                Revoked::Session { session_id, .. } => Concerned::Session(session_id),
                Revoked::Account { ended_epoch } => Concerned::Epoch {
                    ended: Epoch(ended_epoch),
                    kept: None,
                },
            },
            Event::OtherSessionsRevoked(event) => Concerned::Epoch {
                ended: Epoch(event.ended_epoch),
                kept: Some(event.kept_session),
            },
            Event::CredentialChange(_) | Event::SessionEstablished(_) => return Ok(Self::Nothing),
        };
        Ok(Self::Tell(token.sub_id.user.id, concerned))
    }

    /// The word for the log.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Tell(..) => "tell",
            Self::Check(..) => "check",
            Self::Close(..) => "close",
            Self::Nothing => "nothing",
        }
    }

    /// Whose sockets, for the log.
    pub(crate) fn account(&self) -> Option<AccountId> {
        match self {
            Self::Tell(account, _) | Self::Check(account, _) | Self::Close(account, _) => {
                Some(*account)
            }
            Self::Nothing => None,
        }
    }
}

impl Concerned {
    /// Whether the session of a connection is one of them.
    pub(crate) fn has(self, connection: &Connection) -> bool {
        let session = &connection.session;
        match self {
            Self::Session(one) => session.session == one,
            Self::Epoch { ended, kept } => session.epoch <= ended && kept != Some(session.session),
        }
    }
}
