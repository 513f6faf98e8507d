//! The messages of the queue: an event of the topic, or a task of our own.

use domain::{AccountId, ConnectionId, Epoch, SessionId};
use events::{Event, Revoked, SecurityEventToken};
use sockets::SocketTask;
use store::Connection;

/// The work that a message asks for.
#[derive(Debug)]
pub(crate) enum Task {
    /// Sessions may have ended: notify the devices that have sockets open.
    Notify(AccountId, Affected),
    /// Check one socket, and notify its device if its session has ended.
    Check(AccountId, ConnectionId),
    /// Close sockets whose devices were notified.
    Close(AccountId, Vec<ConnectionId>),
    /// The event ends no session.
    Nothing,
}

/// The sessions that an event is about. Whether and when they ended is read from
/// the tables.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Affected {
    Session(SessionId),
    /// Every session born in this epoch or before, except the kept one.
    Epoch {
        ended: Epoch,
        kept: Option<SessionId>,
    },
}

impl Task {
    /// Parses the body of a message.
    ///
    /// # Errors
    /// The error of `serde_json`, when it is neither a task of our own nor an event.
    pub(crate) fn parse(body: &str) -> Result<Self, serde_json::Error> {
        if let Ok(task) = serde_json::from_str(body) {
            return Ok(match task {
                SocketTask::Check {
                    account_id,
                    connection_id,
                } => Self::Check(account_id, connection_id),
                SocketTask::Close {
                    account_id,
                    connection_ids,
                } => Self::Close(account_id, connection_ids),
            });
        }
        let token: SecurityEventToken = serde_json::from_str(body)?;
        let affected = match token.events {
            Event::SessionRevoked(event) => match event.revoked {
                Revoked::Session { session_id, .. } => Affected::Session(session_id),
                Revoked::Account { ended_epoch } => Affected::Epoch {
                    ended: Epoch(ended_epoch),
                    kept: None,
                },
            },
            Event::OtherSessionsRevoked(event) => Affected::Epoch {
                ended: Epoch(event.ended_epoch),
                kept: Some(event.kept_session),
            },
            Event::CredentialChange(_)
            | Event::SessionEstablished(_)
            | Event::AddressChanged(_) => return Ok(Self::Nothing),
        };
        Ok(Self::Notify(token.sub_id.user.id, affected))
    }

    /// Returns the name for the log.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Notify(..) => "notify",
            Self::Check(..) => "check",
            Self::Close(..) => "close",
            Self::Nothing => "nothing",
        }
    }

    /// Returns the owner of the sockets, for the log.
    pub(crate) fn account(&self) -> Option<AccountId> {
        match self {
            Self::Notify(account, _) | Self::Check(account, _) | Self::Close(account, _) => {
                Some(*account)
            }
            Self::Nothing => None,
        }
    }
}

impl Affected {
    /// Returns whether the session of a connection is one of them.
    pub(crate) fn contains(self, connection: &Connection) -> bool {
        let session = &connection.session;
        match self {
            Self::Session(one) => session.session == one,
            Self::Epoch { ended, kept } => session.epoch <= ended && kept != Some(session.session),
        }
    }
}
